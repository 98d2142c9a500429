/* L2's interrupts: a queue by priority, list registers filled on entry, folded back on exit. L2 has no distributor. */
#include "hypervisor.h"

#define FOR_EACH_LIST_REGISTER(DO) \
  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)

static u64 lr_read(u32 n)
{
#define READ(n) case n: return read_sysreg(ICH_LR##n##_EL2);
  switch (n) { FOR_EACH_LIST_REGISTER(READ) }
  return 0;
}

static void lr_write(u32 n, u64 value)
{
#define WRITE(n) case n: write_sysreg(ICH_LR##n##_EL2, value); break;
  switch (n) { FOR_EACH_LIST_REGISTER(WRITE) }
}

/* Makes vintid pending on this CPU's vCPU. One that waits in the queue or in a list register stays one. */
void vgic_queue(struct cpu *cpu, u32 vintid, u8 priority, int hardware)
{
  u32 at;
  if (!hardware)
    for (u32 i = 0; i < cpu->lr_used; i++)
      if ((u32)cpu->lr[i] == vintid) { cpu->lr[i] |= LR_PENDING; return; }
  for (u32 i = 0; i < cpu->queue_used; i++)
    if (cpu->queue[i].vintid == vintid) return;
  if (cpu->queue_used == QUEUE_MAX) return;
  for (at = cpu->queue_used++; at > 0 && cpu->queue[at - 1].priority > priority; at--) cpu->queue[at] = cpu->queue[at - 1];
  cpu->queue[at] = (struct queued){ vintid, priority, (u8)hardware };
}

/* L2 wrote ICC_SGI1R_EL1. Affinities above 0 are not looked at: the board has one cluster. */
void vgic_send_sgi(struct cpu *cpu, u64 sgi1r)
{
  u64 targets = sgi1r & BIT(40) ? ~BIT(cpu->index) : sgi1r & 0xffff;
  u64 sgi = BIT(sgi1r >> 24 & 15);
  for (u32 i = 0; i < shared.cpus; i++) {
    if (!(targets & BIT(i))) continue;
    atomic_or(&shared.sgi_pending[i], sgi);
    if (i != cpu->index) gic_kick(i);
  }
}

static void take_sgis(struct cpu *cpu)
{
  u64 *word = &shared.sgi_pending[cpu->index];
  if (!*(volatile u64 *)word) return;
  u64 pending = atomic_take(word);
  for (u32 sgi = 0; sgi < 16; sgi++)
    if (pending & BIT(sgi)) vgic_queue(cpu, sgi, PRIORITY, 0);
}

/* With more interrupts than list registers, priority decides which wait: what is only pending goes back in the queue. */
static void recall_pending(struct cpu *cpu)
{
  u64 lr[LIST_REGISTERS_MAX];
  u32 used = cpu->lr_used;
  cpu->lr_used = 0;
  for (u32 i = 0; i < used; i++) lr[i] = cpu->lr[i];
  for (u32 i = 0; i < used; i++) {
    if ((lr[i] & (LR_PENDING | LR_ACTIVE)) == LR_PENDING) vgic_queue(cpu, (u32)lr[i], lr[i] >> 48, (lr[i] & LR_HW) != 0);
    else cpu->lr[cpu->lr_used++] = lr[i];
  }
}

/* Before entry: the queue's head into free list registers; if some must wait, a maintenance interrupt when they run low. */
void vgic_flush(struct cpu *cpu)
{
  u32 moved = 0;
  take_sgis(cpu);
  if (cpu->queue_used > cpu->lr_count - cpu->lr_used) recall_pending(cpu);
  while (moved < cpu->queue_used && cpu->lr_used < cpu->lr_count) {
    struct queued *q = &cpu->queue[moved++];
    u64 lr = q->vintid | (u64)q->priority << 48 | LR_GROUP1 | LR_PENDING;
    if (q->hardware) lr |= LR_HW | (u64)q->vintid << 32;
    cpu->lr[cpu->lr_used++] = lr;
  }
  for (u32 i = moved; i < cpu->queue_used; i++) cpu->queue[i - moved] = cpu->queue[i];
  cpu->queue_used -= moved;
  cpu->ich_hcr = ICH_HCR_EN;
  if (!cpu->queue_used) return;
  /* "At most one in use" always holds with one list register: there, ask at its deactivation. */
  if (cpu->lr_count > 1) cpu->ich_hcr |= ICH_HCR_UIE;
  else if (!(cpu->lr[0] & LR_HW)) cpu->lr[0] |= LR_EOI;
}

/* Whether a WFI of L2 has something to wake for. */
int vgic_pending(struct cpu *cpu)
{
  take_sgis(cpu);
  if (cpu->queue_used) return 1;
  for (u32 i = 0; i < cpu->lr_used; i++) if (cpu->lr[i] & LR_PENDING) return 1;
  return 0;
}

void vgic_restore(struct cpu *cpu)
{
  write_sysreg(ICH_VMCR_EL2, cpu->vmcr);
  write_sysreg(ICH_AP0R0_EL2, cpu->ap0r0);
  write_sysreg(ICH_AP1R0_EL2, cpu->ap1r0);
  write_sysreg(ICH_HCR_EL2, cpu->ich_hcr);
  for (u32 i = 0; i < cpu->lr_used; i++) lr_write(i, cpu->lr[i]);
}

/* After an exit: what became inactive leaves, the rest moves down. */
void vgic_save(struct cpu *cpu)
{
  u32 kept = 0;
  if (cpu->acknowledged == INTID_MAINTENANCE) {
    (void)read_sysreg(ICH_MISR_EL2);
    (void)read_sysreg(ICH_EISR_EL2);
  }
  if (cpu->lr_used) {
    u64 empty = read_sysreg(ICH_ELRSR_EL2);
    for (u32 i = 0; i < cpu->lr_used; i++) {
      u64 lr = empty & BIT(i) ? 0 : lr_read(i) & ~LR_EOI;
      lr_write(i, 0);
      if (lr & (LR_PENDING | LR_ACTIVE)) cpu->lr[kept++] = lr;
    }
    cpu->lr_used = kept;
  }
  cpu->vmcr = read_sysreg(ICH_VMCR_EL2);
  cpu->ap0r0 = read_sysreg(ICH_AP0R0_EL2);
  cpu->ap1r0 = read_sysreg(ICH_AP1R0_EL2);
  write_sysreg(ICH_HCR_EL2, 0);
}
