/* Why L2 left, and what L1 does about it. */
#include "hypervisor.h"

#define CLASS_WFX     0x01
#define CLASS_FP      0x07
#define CLASS_HVC     0x16
#define CLASS_SMC     0x17
#define CLASS_SYSREG  0x18
#define CLASS_DATA_ABORT 0x24

#define UNDEFINED_SYNDROME BIT(25) /* EC 0, IL */
#define VECTOR_CURRENT_SPX 0x200
#define VECTOR_LOWER       0x400

#define SMCCC_NOT_SUPPORTED (~0UL)
#define PSCI_INVALID_PARAMETERS (-2UL)
#define PSCI_ALREADY_ON (-4UL)

/* ISS of a trapped MSR: Op0, Op2, Op1, CRn, CRm; Rt and direction (0: write) left out. */
#define ISS_SYSREG(op0, op1, crn, crm, op2) ((op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 | (crm) << 1)
#define ISS_SYSREG_MASK 0x3ffc1eU
#define ISS_SGI1R ISS_SYSREG(3, 0, 12, 11, 5)

static u64 get(struct cpu *cpu, u32 n) { return n == 31 ? 0 : cpu->x[n]; }
static void set(struct cpu *cpu, u32 n, u64 value) { if (n != 31) cpu->x[n] = value; }

static void skip(struct cpu *cpu) { cpu->pc += 4; }

/* L2's WFI: L1 sleeps in its place. Interrupts stay masked from the check to the WFI, which a pending one ends all the same. */
static void wait_for_interrupt(struct cpu *cpu)
{
  while (!vgic_pending(cpu) && !timers_expired(cpu)) {
    timer_background_start(cpu);
    dsb(sy);
    asm volatile("wfi" : : : "memory");
    timer_background_stop(cpu);
    gic_handle(cpu, gic_acknowledge());
  }
}

/* The instruction is UNDEFINED to L2: what the CPU would do, done by hand in the saved context. */
static void forward_undefined(struct cpu *cpu)
{
  if ((cpu->pstate & PSTATE_DAIF) == PSTATE_DAIF && cpu->el1.elr == cpu->pc && cpu->el1.esr == UNDEFINED_SYNDROME)
    result("exception lost, L2 was resumed at the instruction that trapped:", cpu, cpu->pc);
  cpu->count[COUNT_FORWARDED]++;
  cpu->el1.elr = cpu->pc;
  cpu->el1.spsr = cpu->pstate;
  cpu->el1.esr = UNDEFINED_SYNDROME;
  u64 handler = cpu->el1.vbar + ((cpu->pstate & 15) ? VECTOR_CURRENT_SPX : VECTOR_LOWER);
  cpu->pstate = PSTATE_EL1H_MASKED;
  if (fault_stale_elr && cpu->index == 1) return; /* the demonstration's bug: ELR_EL2 keeps the value from before */
  cpu->pc = handler;
}

static u64 sign_extend(u64 value, u32 bytes)
{
  u32 shift = 64 - 8 * bytes;
  return (u64)((long)(value << shift) >> shift);
}

static void device_access(struct cpu *cpu, u32 offset)
{
  u32 bytes = 1U << (cpu->esr >> 22 & 3), rt = cpu->esr >> 16 & 31, write = cpu->esr >> 6 & 1;
  u64 mask = bytes == 8 ? ~0UL : BIT(8 * bytes) - 1, value = 0;
  u32 shift = 8 * (offset & 7), in_scratch = offset >= DEVICE_SCRATCH && offset + bytes <= DEVICE_SCRATCH + 8;
  if (!(cpu->esr & BIT(24))) panic(cpu->esr, cpu->pc, cpu->far);
  if (write) {
    value = get(cpu, rt) & mask;
    if (in_scratch) cpu->scratch = (cpu->scratch & ~(mask << shift)) | value << shift;
    else if (offset == DEVICE_PUTCHAR) {
      /* A line at a time, so that those of two vCPUs do not mix. */
      if (value != '\n' && cpu->line_used < LINE_MAX - 1) { cpu->line[cpu->line_used++] = (char)value; }
      else {
        cpu->line[cpu->line_used] = 0;
        lock(&shared.console_lock);
        put(cpu->line);
        put_char('\n');
        unlock(&shared.console_lock);
        cpu->line_used = 0;
      }
    }
  } else {
    if (in_scratch) value = cpu->scratch >> shift & mask;
    else if (offset == DEVICE_ID) value = DEVICE_ID_VALUE & mask;
    if (cpu->esr & BIT(21)) value = sign_extend(value, bytes);
    set(cpu, rt, cpu->esr & BIT(15) ? value : (u32)value);
  }
  skip(cpu);
}

static void data_abort(struct cpu *cpu)
{
  u64 ipa = cpu->hpfar << 8 | (cpu->far & 0xfff);
  u32 status = cpu->esr & 0x3c, write = (cpu->esr >> 6 & 1) && !(cpu->esr & BIT(8));
  if (status == 0x04 && ipa >> 12 == L2_DEVICE >> 12) device_access(cpu, ipa & 0xfff);
  else if ((status != 0x04 && status != 0x0c) || !stage2_fault(cpu, ipa, status == 0x0c, write)) panic(cpu->esr, cpu->pc, cpu->far);
}

static const char *text_of_l2(u64 ipa)
{
  return ipa >= L2_RAM && ipa < L2_RAM + L2_RAM_BYTES ? (const char *)(ipa - L2_RAM + L2_RAM_PA) : "(not in L2's memory)";
}

/* The vCPU is done. The last one to be says how the run went; others switch their CPU off. */
static void done(struct cpu *cpu, u64 reason)
{
  if (reason) result(text_of_l2(reason), cpu, 0);
  if (atomic_increment(&shared.done) == shared.cpus) result(0, cpu, 0);
  smc(PSCI_CPU_OFF, 0, 0, 0);
  for (;;) asm volatile("wfi");
}

/* L2's CPU_ON: its vCPU lives on the L1 CPU of the same index, which the board brings up at EL2. */
static u64 cpu_on(u64 target, u64 entry, u64 argument)
{
  if (target >= shared.cpus) return PSCI_INVALID_PARAMETERS;
  struct cpu *cpu = cpu_of(target);
  if (cpu->on) return PSCI_ALREADY_ON;
  cpu->index = target;
  vcpu_reset(cpu, entry, argument);
  dsb(sy);
  return smc(PSCI_CPU_ON, target, (u64)secondary_start, target);
}

static u64 hypercall(struct cpu *cpu, u64 a, u64 b, u64 c)
{
  switch (cpu->x[0]) {
    case HYPERCALL_ECHO:   return HYPERCALL_ECHO_OF(a, b);
    case HYPERCALL_MARKER: return 0;
    case HYPERCALL_DONE:   done(cpu, a); return 0;
    case HYPERCALL_INJECT: vgic_queue(cpu, a, b, 0); return 0;
    case HYPERCALL_COUNT:  return a < COUNT_KINDS ? cpu->count[a] : SMCCC_NOT_SUPPORTED;
    case HYPERCALL_PRINT:
      lock(&shared.console_lock);
      put(text_of_l2(a));
      put_char('\n');
      unlock(&shared.console_lock);
      return 0;
    case PSCI_VERSION: return 0x10001;
    case PSCI_CPU_ON:  return cpu_on(a, b, c);
    case PSCI_SYSTEM_OFF: result("L2 switched itself off", cpu, 0);
    default: return SMCCC_NOT_SUPPORTED;
  }
}

static void system_register(struct cpu *cpu)
{
  if ((cpu->esr & ISS_SYSREG_MASK) == ISS_SGI1R && !(cpu->esr & 1)) {
    vgic_send_sgi(cpu, get(cpu, cpu->esr >> 5 & 31));
    skip(cpu);
  } else {
    forward_undefined(cpu);
  }
}

void handle_exit(struct cpu *cpu, enum exit_code code)
{
  if (code == EXIT_IRQ) { gic_handle(cpu, cpu->acknowledged); return; }
  if (code == EXIT_SERROR) panic(cpu->esr, cpu->pc, cpu->far);
  switch (cpu->esr >> 26 & 0x3f) {
    case CLASS_WFX:    skip(cpu); if (!(cpu->esr & 1)) wait_for_interrupt(cpu); break;
    case CLASS_HVC:    cpu->x[0] = hypercall(cpu, cpu->x[1], cpu->x[2], cpu->x[3]); break;
    case CLASS_SMC:    skip(cpu); cpu->x[0] = SMCCC_NOT_SUPPORTED; break;
    case CLASS_SYSREG: system_register(cpu); break;
    case CLASS_FP:     forward_undefined(cpu); break;
    case CLASS_DATA_ABORT: data_abort(cpu); break;
    default: panic(cpu->esr, cpu->pc, cpu->far);
  }
}
