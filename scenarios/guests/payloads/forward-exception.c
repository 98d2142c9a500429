/* An instruction that traps to L1, which answers by emulating an undefined-instruction exception into L2's EL1; three times. */
#include "payload.h"

#define ROUNDS 3

extern char trapping[];
static volatile u32 taken[VCPUS_MAX];

u64 on_sync(u64 esr, u64 elr, u64 far, u64 spsr)
{
  (void)far;
  if (esr != BIT(25)) done("the syndrome is not that of an undefined instruction");
  if (elr != (u64)trapping) done("ELR_EL1 is not the instruction that trapped");
  if ((spsr & 0x3cf) != 5) done("SPSR_EL1 is not the state before");
  if ((read_sysreg(DAIF) & 0x3c0) != 0x3c0) done("interrupts are not masked in the handler");
  taken[my_index()]++;
  return elr + 4;
}

static void __attribute__((noinline)) trap(void)
{
  asm volatile("trapping: msr actlr_el1, xzr" : : : "memory");
}

const char *payload(u32 index, u32 count)
{
  (void)count;
  asm volatile("msr daifclr, #0xf");
  for (u32 round = 1; round <= ROUNDS; round++) {
    marker(round);
    trap();
    if (taken[index] != round) return "the instruction did not end in the handler once";
  }
  asm volatile("msr daifset, #0xf");
  if (hvc(HYPERCALL_COUNT, COUNT_FORWARDED, 0, 0) != ROUNDS) return "L1 forwarded another number of exceptions";
  if (index == 0) print("forward-exception: 3 times");
  return 0;
}
