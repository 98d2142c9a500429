/* The physical GICv3, as L1 owns it: EOImode 1, interrupts taken only by leaving L2 or waking from WFI. */
#include "hypervisor.h"

#define GICD_CTLR       (*(volatile u32 *)(GICD + 0))
#define GICR_WAKER(r)      (*(volatile u32 *)((r) + 0x14))
#define GICR_IGROUPR0(r)   (*(volatile u32 *)((r) + 0x10080))
#define GICR_ISENABLER0(r) (*(volatile u32 *)((r) + 0x10100))
#define GICR_PRIORITY(r, intid) (*(volatile u32 *)((r) + 0x10400 + (intid))) /* of four */

#define PROCESSOR_SLEEP BIT(1)
#define CHILDREN_ASLEEP BIT(2)
#define FOUR_PRIORITIES (PRIORITY * 0x01010101U)
#define SPECIAL 1020

void gic_distributor_init(void)
{
  GICD_CTLR = 0x12; /* ARE_NS, EnableGrp1 */
}

void gic_cpu_init(struct cpu *cpu)
{
  u64 r = GICR + cpu->index * GICR_CPU;
  GICR_WAKER(r) &= ~PROCESSOR_SLEEP;
  while (GICR_WAKER(r) & CHILDREN_ASLEEP) ;
  GICR_IGROUPR0(r) = ~0U;
  GICR_PRIORITY(r, 0) = FOUR_PRIORITIES;  /* KICK_SGI */
  GICR_PRIORITY(r, 24) = FOUR_PRIORITIES; /* maintenance, timers */
  GICR_PRIORITY(r, 28) = FOUR_PRIORITIES;
  GICR_ISENABLER0(r) = BIT(KICK_SGI) | BIT(INTID_MAINTENANCE) | BIT(INTID_HYP_TIMER) | BIT(INTID_VIRTUAL_TIMER) | BIT(INTID_PHYSICAL_TIMER);
  dsb(sy);
  write_sysreg(ICC_SRE_EL2, 0xf); /* SRE, DFB, DIB, Enable */
  isb();
  write_sysreg(ICC_CTLR_EL1, 2);  /* EOImode: EOIR drops the priority, DIR deactivates */
  write_sysreg(ICC_PMR_EL1, 0xff);
  write_sysreg(ICC_IGRPEN1_EL1, 1);
  write_sysreg(ICH_HCR_EL2, 0);
  isb();
  cpu->lr_count = (read_sysreg(ICH_VTR_EL2) & 0x1f) + 1;
}

u32 gic_acknowledge(void)
{
  u32 intid = read_sysreg(ICC_IAR1_EL1) & 0xffffff;
  dsb(sy);
  return intid;
}

void gic_kick(u32 index)
{
  dsb(ishst); /* what the kick is about, before the kick */
  write_sysreg(ICC_SGI1R_EL1, (u64)KICK_SGI << 24 | 1UL << index);
  isb();
}

/* A timer's interrupt stays active: L2's deactivation reaches it through the list register's HW bit. */
void gic_handle(struct cpu *cpu, u32 intid)
{
  if (intid >= SPECIAL) return;
  write_sysreg(ICC_EOIR1_EL1, intid);
  isb();
  if (intid == INTID_VIRTUAL_TIMER || intid == INTID_PHYSICAL_TIMER) {
    vgic_queue(cpu, intid, PRIORITY, 1);
    return;
  }
  if (intid == INTID_MAINTENANCE) cpu->count[COUNT_MAINTENANCE]++; /* vgic_flush refills the list registers */
  write_sysreg(ICC_DIR_EL1, intid);
  isb();
}
