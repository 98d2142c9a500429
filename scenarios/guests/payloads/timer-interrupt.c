/* The virtual timer, four times: twice while L2 sleeps in WFI, twice while it runs. */
#include "payload.h"

#define ROUNDS 4
#define TICKS_AHEAD 40

static volatile u32 fired[VCPUS_MAX];

void on_irq(void)
{
  u32 intid = acknowledge();
  if (intid == SPURIOUS) return;
  if (intid != INTID_VIRTUAL_TIMER) done("another interrupt than the virtual timer's");
  if (!(read_sysreg(CNTV_CTL_EL0) & BIT(2))) done("the timer interrupts without ISTATUS");
  write_sysreg(CNTV_CTL_EL0, 0);
  isb();
  end_of_interrupt(intid);
  fired[my_index()]++;
}

const char *payload(u32 index, u32 count)
{
  (void)count;
  u64 before = 0;
  gic_on(0);
  for (u32 round = 1; round <= ROUNDS; round++) {
    marker(round);
    isb();
    u64 now = read_sysreg(CNTVCT_EL0), deadline = now + TICKS_AHEAD;
    if (now < before) return "the counter went backwards";
    irqs_off();
    write_sysreg(CNTV_CVAL_EL0, deadline);
    write_sysreg(CNTV_CTL_EL0, TIMER_ENABLE);
    isb();
    if (round % 2) {
      WAIT_FOR(fired[index] >= round);
    } else {
      irqs_on();
      while (fired[index] < round) ;
    }
    isb();
    before = read_sysreg(CNTVCT_EL0);
    if (before < deadline) return "the timer fired before its time";
    if (fired[index] != round) return "the timer fired more than once";
  }
  if (index == 0) print("timer: fired 4 times");
  return 0;
}
