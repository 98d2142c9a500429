/* The common part of the payloads. */
#include "payload.h"

/* A page a vCPU. */
char stacks[VCPUS_MAX][4096] __attribute__((section(".percpu"), aligned(4096)));

extern char _start[];

void payload_start(u32 index, u32 count)
{
  if (index == 0)
    for (u32 i = 1; i < count; i++)
      if (hvc(PSCI_CPU_ON, i, (u64)_start, i)) done("CPU_ON refused");
  done(payload(index, count));
}

void done(const char *reason) { for (;;) hvc(HYPERCALL_DONE, (u64)reason, 0, 0); }
void marker(u64 number) { hvc(HYPERCALL_MARKER, number, 0, 0); }
void print(const char *line) { hvc(HYPERCALL_PRINT, (u64)line, 0, 0); }

u32 my_index(void) { return read_sysreg(MPIDR_EL1) & 0xff; }

void unexpected(void) { done("an exception at a vector L2 does not use"); }
u64 __attribute__((weak)) on_sync(u64 esr, u64 elr, u64 far, u64 spsr)
{
  (void)esr, (void)elr, (void)far, (void)spsr;
  done("a synchronous exception L2 did not ask for");
}
void __attribute__((weak)) on_irq(void) { done("an interrupt L2 did not ask for"); }

void gic_on(u32 eoi_mode)
{
  write_sysreg(ICC_CTLR_EL1, eoi_mode << 1);
  write_sysreg(ICC_PMR_EL1, 0xf0);
  write_sysreg(ICC_IGRPEN1_EL1, 1);
  isb();
}

void send_sgi(u32 target, u32 sgi)
{
  dsb(ishst);
  write_sysreg(ICC_SGI1R_EL1, (u64)sgi << 24 | 1UL << target);
  isb();
}

/* L2's stage 1: identity, 2 MiB blocks, each vCPU builds the same. */
#define BLOCK   (BIT(0) | BIT(10))
#define TABLE   3UL
#define NORMAL  (1UL << 2 | 3UL << 8)
#define DEVICE  (BIT(53) | BIT(54))

static u64 level1[512] __attribute__((section(".tables"), aligned(4096)));
static u64 level2_low[512] __attribute__((section(".tables"), aligned(4096)));
static u64 level2_ram[512] __attribute__((section(".tables"), aligned(4096)));

void mmu_map_table(u64 va, u64 table)
{
  level2_ram[va >> 21 & 511] = table | TABLE;
  dsb(ishst);
  isb();
}

void mmu_on(void)
{
  level1[0] = (u64)level2_low | TABLE;
  level1[1] = (u64)level2_ram | TABLE;
  level2_low[L2_DEVICE >> 21 & 511] = L2_DEVICE | BLOCK | DEVICE;
  level2_ram[L2_RAM >> 21 & 511] = L2_RAM | BLOCK | NORMAL;
  level2_ram[L2_DEMAND >> 21 & 511] = L2_DEMAND | BLOCK | NORMAL | BIT(53) | BIT(54);
  dsb(ish);
  write_sysreg(MAIR_EL1, 0xff04);
  write_sysreg(TCR_EL1, 25UL | 1UL << 8 | 1UL << 10 | 3UL << 12 | 25UL << 16 | BIT(23) | 2UL << 30 | 1UL << 32);
  write_sysreg(TTBR0_EL1, level1);
  isb();
  asm volatile("tlbi vmalle1\n dsb nsh\n isb" : : : "memory");
  write_sysreg(SCTLR_EL1, read_sysreg(SCTLR_EL1) | BIT(0) | BIT(2) | BIT(12));
  isb();
}
