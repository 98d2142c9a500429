/** From reset to L2: what the board is, which flavour to be, EL2 set up, and the loop that runs the vCPU. */
#include "hypervisor.h"

struct shared shared __attribute__((section(".shared"), aligned(4096)));
volatile u64 fault_stale_elr __attribute__((section(".shared")));

/* Two pages a CPU: struct cpu, and its stack. */
union cpu_pages { struct cpu cpu; char bytes[8192]; };
union cpu_pages cpu_pages[CPUS_MAX] __attribute__((section(".percpu"), aligned(8192)));
_Static_assert(sizeof(struct cpu) <= 4096, "struct cpu is one page");

struct cpu *cpu_of(u32 index) { return &cpu_pages[index].cpu; }

#define MMFR1_VH(value)   ((value) >> 8 & 15)
#define MMFR4_E2H0(value) ((value) >> 24 & 15)

#define CPTR_NVHE_RES1 0x33ffUL
#define CPTR_NVHE_TFP  BIT(10)
#define CPTR_VHE_FPEN  (3UL << 20)
#define CNTHCTL_NVHE   3UL           /* EL1PCTEN, EL1PCEN */
#define CNTHCTL_VHE    (3UL << 10)   /* EL1PCTEN, EL1PTEN */
#define CNTHCTL_VHE_EL0 3UL          /* EL0PCTEN, EL0VCTEN, while TGE is set */

/* The value of `key=` in the boot arguments, up to a space; 0 if there is none. */
static const char *argument(const char *args, const char *key)
{
  while (*args) {
    const char *k = key;
    while (*k && *args == *k) { args++; k++; }
    if (!*k && *args == '=') return args + 1;
    while (*args && *args != ' ') args++;
    while (*args == ' ') args++;
  }
  return 0;
}

static int is(const char *value, const char *word)
{
  if (!value) return 0;
  while (*word) if (*value++ != *word++) return 0;
  return !*value || *value == ' ';
}

static void copy_word(char *to, const char *from, u32 bytes)
{
  while (--bytes && from && *from && *from != ' ') *to++ = *from++;
  *to = 0;
}

static int flavour(const char *args)
{
  if (!MMFR1_VH(read_sysreg(ID_AA64MMFR1_EL1))) return 0;
  if (MMFR4_E2H0(read_sysreg(ID_AA64MMFR4_EL1))) return 1; /* E2H is RES1 */
  return !is(argument(args, "l1"), "nvhe");
}

/* PSCI CPU_ON as L2 sees it; also how its first vCPU begins. */
void vcpu_reset(struct cpu *cpu, u64 entry, u64 argument)
{
  cpu->on = 1;
  cpu->pc = entry;
  cpu->pstate = PSTATE_EL1H_MASKED;
  cpu->x[0] = argument;
  cpu->x[1] = shared.cpus;
  cpu->el1.sctlr = 0x30d00800; /* RES1 and the like; MMU off */
  cpu->vmcr = 0;
}

/* EL2 of this CPU: flavour, vectors, MMU, controls of host and guest, timers. */
static void el2_init(struct cpu *cpu)
{
  int vhe = cpu->vhe = shared.vhe;
  cpu->host.hcr = vhe ? HCR_RW | HCR_E2H | HCR_TGE : HCR_RW | HCR_AMO | HCR_IMO | HCR_FMO;
  write_sysreg(HCR_EL2, cpu->host.hcr);
  isb();
  write_sysreg(TPIDR_EL2, cpu);
  if (vhe) write_sysreg(VBAR_EL1, vectors);
  else write_sysreg(VBAR_EL2, vectors);
  stage1_enable(vhe);

  cpu->host.cptr = vhe ? CPTR_VHE_FPEN : CPTR_NVHE_RES1;
  cpu->host.mdcr = read_sysreg(MDCR_EL2) & MDCR_HPMN;
  cpu->host.cnthctl = vhe ? CNTHCTL_VHE | CNTHCTL_VHE_EL0 : CNTHCTL_NVHE;

  cpu->guest.hcr = HCR_RW | HCR_VM | HCR_SWIO | HCR_AMO | HCR_IMO | HCR_FMO | HCR_FB | HCR_BSU_IS |
                   HCR_TWI | HCR_TSC | HCR_TIDCP | HCR_TACR | (vhe ? HCR_E2H : 0);
  cpu->guest.vttbr = stage2_vttbr();
  cpu->guest.vtcr = stage2_vtcr();
  cpu->guest.cptr = vhe ? 0 : CPTR_NVHE_RES1 | CPTR_NVHE_TFP;
  cpu->guest.mdcr = cpu->host.mdcr | MDCR_TPM | MDCR_TPMCR | MDCR_TDRA | MDCR_TDOSA;
  cpu->guest.cnthctl = vhe ? CNTHCTL_VHE : CNTHCTL_NVHE;
  cpu->guest.cntvoff = shared.vm_offset;
  cpu->guest.vpidr = read_sysreg(MIDR_EL1);
  cpu->guest.vmpidr = BIT(31) | cpu->index;

  write_sysreg(VTTBR_EL2, 0);
  if (vhe) write_sysreg(CPACR_EL1, cpu->host.cptr);
  else write_sysreg(CPTR_EL2, cpu->host.cptr);
  write_sysreg(MDCR_EL2, cpu->host.mdcr);
  write_sysreg(HSTR_EL2, 0);
  write_sysreg(CNTHCTL_EL2, cpu->host.cnthctl);
  write_sysreg(CNTVOFF_EL2, 0);
  if (vhe) write_sysreg(CNTP_CTL_EL0, 0);
  else write_sysreg(CNTHP_CTL_EL2, 0);
  isb();
  asm volatile("tlbi alle1is\n dsb ish\n isb" : : : "memory");
}

static void __attribute__((noreturn)) run(struct cpu *cpu)
{
  for (;;) {
    vgic_flush(cpu);
    handle_exit(cpu, world_switch(cpu));
  }
}

/* The MMU is off until el2_init. */
void __attribute__((noreturn)) boot_primary(const void *fdt)
{
  struct fdt_facts facts = { "", 1 };
  struct cpu *cpu = cpu_of(0);
  if (!fdt_read(fdt, &facts)) fdt_read((const void *)RAM, &facts); /* where QEMU puts it for an ELF image */
  shared.cpus = facts.cpus < CPUS_MAX ? facts.cpus : CPUS_MAX;
  shared.vhe = flavour(facts.bootargs);
  shared.vm_offset = read_sysreg(CNTPCT_EL0);
  const char *payload = argument(facts.bootargs, "payload");
  copy_word(shared.payload, payload ? payload : "unnamed", sizeof shared.payload);
  fault_stale_elr = is(argument(facts.bootargs, "fault"), "stale-elr");
  stage1_build(shared.vhe);
  stage2_build();

  el2_init(cpu);
  console_init();
  put("tiny-hypervisor: l1=");
  put(shared.vhe ? "vhe" : "nvhe");
  put(" cpus=");
  put_decimal(shared.cpus);
  put(" payload=");
  put(shared.payload);
  put_char('\n');
  gic_distributor_init();
  gic_cpu_init(cpu);
  vcpu_reset(cpu, L2_RAM, 0);
  run(cpu);
}

void __attribute__((noreturn)) boot_secondary(u32 index)
{
  struct cpu *cpu = cpu_of(index);
  el2_init(cpu);
  gic_cpu_init(cpu);
  run(cpu);
}
