/** The world switch: all of L2's EL1 state in before ERET, all of it out after an exit, by the flavour's names. As KVM, nothing is left for later. */
#include "hypervisor.h"

#define RESTORE_NVHE(field, nvhe, vhe) write_sysreg(nvhe, cpu->el1.field);
#define RESTORE_VHE(field, nvhe, vhe)  write_sysreg(vhe, cpu->el1.field);
#define SAVE_NVHE(field, nvhe, vhe)    cpu->el1.field = read_sysreg(nvhe);
#define SAVE_VHE(field, nvhe, vhe)     cpu->el1.field = read_sysreg(vhe);
#define GUEST_NVHE(field, nvhe, vhe)   write_sysreg(nvhe, cpu->guest.field);
#define GUEST_VHE(field, nvhe, vhe)    write_sysreg(vhe, cpu->guest.field);
#define HOST_NVHE(field, nvhe, vhe)    write_sysreg(nvhe, cpu->host.field);
#define HOST_VHE(field, nvhe, vhe)     write_sysreg(vhe, cpu->host.field);

static void enter(struct cpu *cpu)
{
  if (cpu->vhe) {
    CONTROLS_FIXED(GUEST_VHE)
    CONTROLS_SWITCHED(GUEST_VHE)
  } else {
    CONTROLS_FIXED(GUEST_NVHE)
    CONTROLS_SWITCHED(GUEST_NVHE)
  }
  isb();
  vgic_restore(cpu);
  timers_restore(cpu); /* after CNTVOFF_EL2, or it might fire by the wrong count */
  if (cpu->vhe) {
    EL1_CONTEXT(RESTORE_VHE)
    write_sysreg(ELR_EL1, cpu->pc);
    write_sysreg(SPSR_EL1, cpu->pstate);
  } else {
    EL1_CONTEXT(RESTORE_NVHE)
    write_sysreg(ELR_EL2, cpu->pc);
    write_sysreg(SPSR_EL2, cpu->pstate);
  }
}

/* HPFAR_EL2 is UNKNOWN after a stage-2 permission fault (unless the fault was on a stage-1 walk): ask the walker again, L2's regime is still loaded. */
static u64 fault_hpfar(struct cpu *cpu)
{
  u64 class = cpu->esr >> 26;
  if (class != 0x20 && class != 0x24) return 0;
  if ((cpu->esr & 0x3c) != 0x0c || cpu->esr & BIT(7)) return read_sysreg(HPFAR_EL2);
  u64 par_kept = read_sysreg(PAR_EL1);
  asm volatile("at s1e1r, %0\n isb" : : "r"(cpu->far) : "memory");
  u64 par = read_sysreg(PAR_EL1);
  write_sysreg(PAR_EL1, par_kept);
  return par & 1 ? 0 : (par >> 12 & 0xfffffffff) << 4;
}

static void leave(struct cpu *cpu)
{
  if (cpu->vhe) {
    cpu->pc = read_sysreg(ELR_EL1);
    cpu->pstate = read_sysreg(SPSR_EL1);
    cpu->esr = read_sysreg(ESR_EL1);
    cpu->far = read_sysreg(FAR_EL1);
    cpu->hpfar = fault_hpfar(cpu);
    EL1_CONTEXT(SAVE_VHE)
    cpu->guest.hcr = read_sysreg(HCR_EL2);
    CONTROLS_SWITCHED(HOST_VHE)
  } else {
    cpu->pc = read_sysreg(ELR_EL2);
    cpu->pstate = read_sysreg(SPSR_EL2);
    cpu->esr = read_sysreg(ESR_EL2);
    cpu->far = read_sysreg(FAR_EL2);
    cpu->hpfar = fault_hpfar(cpu);
    EL1_CONTEXT(SAVE_NVHE)
    cpu->guest.hcr = read_sysreg(HCR_EL2);
    CONTROLS_SWITCHED(HOST_NVHE)
  }
  isb();
}

enum exit_code world_switch(struct cpu *cpu)
{
  enter(cpu);
  enum exit_code code = guest_enter(cpu);
  /* First of all: once L2's timer is saved and off, its level is gone and there is nothing to acknowledge. */
  cpu->acknowledged = code == EXIT_IRQ ? gic_acknowledge() : 1023;
  timers_save(cpu);
  vgic_save(cpu);
  leave(cpu);
  return code;
}
