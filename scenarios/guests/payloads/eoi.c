/* Acknowledge, priority drop and deactivation of several virtual interrupts, in EOImode 0 and 1, without a trap but L1's to refill list registers. */
#include "payload.h"

#define ICC_RPR_EL1 S3_0_C12_C11_3
#define IDLE 0xff
#define TRIES 256
#define COUNT 6

static const struct { u8 vintid, priority; } interrupts[COUNT] = { { 40, 0x80 }, { 41, 0x20 }, { 42, 0xa0 }, { 43, 0x40 }, { 44, 0x60 }, { 45, 0xc0 } };
static const u8 by_priority[COUNT] = { 1, 3, 4, 0, 2, 5 };

static void inject(u32 vintid, u32 priority) { hvc(HYPERCALL_INJECT, vintid, priority, 0); }
static u32 running_priority(void) { return read_sysreg(ICC_RPR_EL1) & 0xff; }

/* L1 may be about to refill the list registers. */
static u32 acknowledge_patiently(void)
{
  u32 intid = SPURIOUS;
  for (u32 i = 0; i < TRIES && intid == SPURIOUS; i++) intid = acknowledge();
  return intid;
}

static const char *in_order(u32 eoi_mode)
{
  for (u32 i = 0; i < COUNT; i++) inject(interrupts[i].vintid, interrupts[i].priority);
  for (u32 i = 0; i < COUNT; i++) {
    u32 vintid = interrupts[by_priority[i]].vintid;
    if (acknowledge_patiently() != vintid) return "interrupts do not come in the order of their priorities";
    if (running_priority() != interrupts[by_priority[i]].priority) return "the running priority is not the acknowledged interrupt's";
    end_of_interrupt(vintid);
    if (running_priority() != IDLE) return "EOIR did not drop the priority";
    if (eoi_mode) write_sysreg(ICC_DIR_EL1, vintid);
    isb();
  }
  if (acknowledge() != SPURIOUS) return "an interrupt came twice";
  return 0;
}

const char *payload(u32 index, u32 count)
{
  const char *reason;
  (void)count;
  marker(1);
  gic_on(0);
  if ((reason = in_order(0))) return reason;

  marker(2); /* one inside the other */
  inject(45, 0xc0);
  if (acknowledge() != 45) return "the outer interrupt did not come";
  inject(41, 0x20);
  if (acknowledge() != 41 || running_priority() != 0x20) return "the inner interrupt did not preempt";
  end_of_interrupt(41);
  if (running_priority() != 0xc0) return "the end of the inner interrupt did not bring back the outer priority";
  end_of_interrupt(45);
  if (running_priority() != IDLE) return "the end of the outer interrupt left a priority";

  marker(3);
  gic_on(1);
  if ((reason = in_order(1))) return reason;

  marker(4); /* dropped but still active: not delivered again before DIR */
  inject(46, 0x80);
  if (acknowledge() != 46) return "the interrupt to be left active did not come";
  end_of_interrupt(46);
  inject(46, 0x80);
  if (acknowledge() != SPURIOUS) return "an active interrupt was delivered again";
  write_sysreg(ICC_DIR_EL1, 46);
  isb();
  if (acknowledge_patiently() != 46) return "the interrupt that waited for DIR did not come";
  end_of_interrupt(46);
  write_sysreg(ICC_DIR_EL1, 46);
  isb();
  if (index == 0) print("eoi: ok");
  return 0;
}
