/* L2's physical memory: one 2 MiB block for the payload, and 4 KiB pages mapped when they are touched. */
#include "hypervisor.h"

#define VALID     BIT(0)
#define TABLE     BIT(1) /* also: page, at level 3 */
#define NORMAL    (0xfUL << 2)
#define READ      BIT(6)
#define WRITE     BIT(7)
#define INNER     (3UL << 8)
#define ACCESSED  BIT(10)
#define MAPPED    (VALID | NORMAL | INNER | ACCESSED)

#define VMID 1UL

/* VTCR_EL2: 32-bit IPA from level 1, 4 KiB granule, write-back inner shareable walks. */
#define VTCR (32UL | 1UL << 6 | 1UL << 8 | 1UL << 10 | 3UL << 12 | BIT(31))

static u64 level1[512] __attribute__((section(".tables"), aligned(4096)));
static u64 level2[512] __attribute__((section(".tables"), aligned(4096)));
static u64 level3[512] __attribute__((section(".tables"), aligned(4096)));

void stage2_build(void)
{
  level1[L2_RAM >> 30] = (u64)level2 | TABLE | VALID;
  level2[L2_RAM >> 21 & 511] = L2_RAM_PA | MAPPED | READ | WRITE;
  level2[L2_DEMAND >> 21 & 511] = (u64)level3 | TABLE | VALID;
  dsb(sy);
}

u64 stage2_vttbr(void) { return VMID << 48 | (u64)level1; }
u64 stage2_vtcr(void) { return VTCR | physical_range() << 16; }

/* TLBI acts on the VMID in VTTBR_EL2 and, with E2H, on the guest's regime only while TGE is clear. */
static void invalidate(struct cpu *cpu, u64 ipa)
{
  if (cpu->vhe) write_sysreg(HCR_EL2, cpu->host.hcr & ~HCR_TGE);
  write_sysreg(VTTBR_EL2, cpu->guest.vttbr);
  isb();
  asm volatile(
    "dsb  ishst\n"
    "tlbi ipas2e1is, %0\n"
    "dsb  ish\n"
    "tlbi vmalle1is\n"
    "dsb  ish\n"
    "isb" : : "r"(ipa >> 12) : "memory");
  write_sysreg(VTTBR_EL2, cpu->host.vttbr);
  if (cpu->vhe) write_sysreg(HCR_EL2, cpu->host.hcr);
  isb();
}

/* Zero if L2 has no business there. A fault that another vCPU's has answered meanwhile only runs again. */
int stage2_fault(struct cpu *cpu, u64 ipa, int permission, int write)
{
  if (ipa < L2_DEMAND || ipa >= L2_DEMAND_END) return 0;
  volatile u64 *entry = &level3[ipa >> 12 & 511];
  u64 page = ipa & ~0xfffUL;
  lock(&shared.stage2_lock);
  if (!(*entry & VALID)) {
    u64 access = page >= L2_READ_ONLY ? READ : READ | WRITE;
    *entry = (page - L2_RAM + L2_RAM_PA) | MAPPED | TABLE | access;
    dsb(ishst);
    cpu->count[COUNT_DEMAND_MAPS]++;
  } else if (permission && write && !(*entry & WRITE)) {
    *entry |= WRITE;
    invalidate(cpu, page);
    cpu->count[COUNT_UPGRADES]++;
  }
  unlock(&shared.stage2_lock);
  return 1;
}
