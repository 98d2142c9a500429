/** L1's own address space: identity, 2 MiB blocks, code read-only and executable, the rest writable and never executable. */
#include "hypervisor.h"

/* Descriptors. AP[1] (bit 6) is RES1 in EL2's own regime and makes the same tables good in the EL1&0 regime, where the
 * paravirtual mechanism runs an nvhe L1: a page writable at EL0 is never executable at EL1, hence code apart from data. */
#define VALID     BIT(0)
#define TABLE     BIT(1)
#define ATTRIBUTE(n) ((u64)(n) << 2)
#define AP_EL1    BIT(6)
#define READ_ONLY BIT(7)
#define INNER     (3UL << 8)
#define ACCESSED  BIT(10)
#define PXN       BIT(53)
#define XN        BIT(54)

#define MAIR      0xff04UL /* 0: Device-nGnRE, 1: Normal write-back */
#define DEVICE    (VALID | ATTRIBUTE(0) | ACCESSED | XN)
#define DATA      (VALID | ATTRIBUTE(1) | INNER | ACCESSED | XN)
#define CODE      (VALID | ATTRIBUTE(1) | INNER | ACCESSED | READ_ONLY)

#define TCR_COMMON (25UL | 1UL << 8 | 1UL << 10 | 3UL << 12) /* T0SZ, IRGN0, ORGN0, SH0: 39 bits, 4 KiB granule */
#define TCR_NVHE_RES1 (BIT(31) | BIT(23))
#define TCR_VHE_NO_TTBR1 (25UL << 16 | BIT(23) | 2UL << 30) /* T1SZ, EPD1, TG1 */

#define SCTLR_ON  (BIT(0) | BIT(2) | BIT(3) | BIT(12)) /* M, C, SA, I */
#define SCTLR_NVHE_RES1 0x30c50830UL
#define SCTLR_VHE_RES1  0x30d00800UL /* LSMAOE, nTLSMD, SPAN, EIS, TSCXT, EOS */

static u64 level1[512] __attribute__((section(".tables"), aligned(4096)));
static u64 level2_devices[512] __attribute__((section(".tables"), aligned(4096)));
static u64 level2_ram[512] __attribute__((section(".tables"), aligned(4096)));

static void map(u64 *level2, u64 address, u64 kind, int vhe)
{
  /* EL2&0 has the EL1&0 format: EL0 gets nothing, and XN for EL2 is PXN. */
  kind |= vhe ? (kind & XN ? PXN : 0) : AP_EL1;
  level2[address >> 21 & 511] = address | kind;
}

/* Runs once, MMU off. */
void stage1_build(int vhe)
{
  level1[0] = (u64)level2_devices | TABLE | VALID;
  level1[1] = (u64)level2_ram | TABLE | VALID;
  map(level2_devices, GICD, DEVICE, vhe); /* and GICR */
  map(level2_devices, UART, DEVICE, vhe);
  map(level2_ram, 0x40000000, DATA, vhe);
  map(level2_ram, 0x40200000, CODE, vhe);
  map(level2_ram, 0x40400000, DATA, vhe);
  map(level2_ram, L2_RAM_PA, DATA, vhe);
  dsb(sy);
}

/* TCR_EL2.PS, VTCR_EL2.PS: what the CPU has, at most 48 bits. */
u64 physical_range(void)
{
  u64 range = read_sysreg(ID_AA64MMFR0_EL1) & 15;
  return range > 5 ? 5 : range;
}

void stage1_enable(int vhe)
{
  u64 range = physical_range();
  if (vhe) {
    write_sysreg(MAIR_EL1, MAIR);
    write_sysreg(TCR_EL1, TCR_COMMON | TCR_VHE_NO_TTBR1 | range << 32);
    write_sysreg(TTBR0_EL1, level1);
  } else {
    write_sysreg(MAIR_EL2, MAIR);
    write_sysreg(TCR_EL2, TCR_COMMON | TCR_NVHE_RES1 | range << 16);
    write_sysreg(TTBR0_EL2, level1);
  }
  isb();
  asm volatile("tlbi alle2\n dsb nsh\n isb" : : : "memory");
  if (vhe) write_sysreg(SCTLR_EL1, SCTLR_VHE_RES1 | SCTLR_ON);
  else write_sysreg(SCTLR_EL2, SCTLR_NVHE_RES1 | SCTLR_ON);
  isb();
}
