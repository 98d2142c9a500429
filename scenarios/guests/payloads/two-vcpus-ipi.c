/* The smallest race: vCPU 1 goes to sleep, vCPU 0 wakes it with one SGI, both are done. For exhaustive exploration: no spinning, no counter, no handler.
 * Interrupts stay masked, so WFI ends and the interrupt is acknowledged by hand. A lone vCPU sends to itself first. */
#include "payload.h"

#define SGI 1

/* Set by the vCPU that was woken; in a page of its own. */
volatile u64 woken __attribute__((section(".percpu"), aligned(4096)));

const char *payload(u32 index, u32 count)
{
  u32 sleeper = count > 1;
  if (index == sleeper) gic_on(0);
  marker(index);
  if (index == 0) write_sysreg(ICC_SGI1R_EL1, (u64)SGI << 24 | 1UL << sleeper);
  if (index == sleeper) {
    u32 intid;
    do { asm volatile("wfi"); intid = acknowledge(); } while (intid == SPURIOUS);
    if (intid != SGI) return "another interrupt than the SGI";
    end_of_interrupt(intid);
    woken = 1;
  }
  return 0;
}
