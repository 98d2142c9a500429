/* The emulated device, by every size, register and extension that a load or store with a valid syndrome has. */
#include "payload.h"

#define AT(offset) ((void *)(u64)(L2_DEVICE + (offset)))
#define STORE(instruction, modifier, offset, value) \
  asm volatile(instruction " %" modifier "0, [%1]" : : "rZ"((u64)(value)), "r"(AT(offset)) : "memory")
#define LOAD(instruction, modifier, offset) \
  ({ u64 loaded_; asm volatile(instruction " %" modifier "0, [%1]" : "=r"(loaded_) : "r"(AT(offset)) : "memory"); loaded_; })

const char *payload(u32 index, u32 count)
{
  (void)count;
  mmu_on();
  marker(1);
  if (LOAD("ldr", "w", DEVICE_ID) != DEVICE_ID_VALUE) return "the device's id is wrong";
  STORE("str", "x", DEVICE_SCRATCH, 0x8182838485868788 + index);
  if (LOAD("ldr", "x", DEVICE_SCRATCH) != 0x8182838485868788 + index) return "8 bytes came back different";
  STORE("str", "w", DEVICE_SCRATCH + 4, 0xf1f2f3f4);
  STORE("strh", "w", DEVICE_SCRATCH + 2, 0xe1e2);
  STORE("strb", "w", DEVICE_SCRATCH + 1, 0xd1);
  STORE("strb", "w", DEVICE_SCRATCH, 0); /* from WZR */
  if (LOAD("ldr", "x", DEVICE_SCRATCH) != 0xf1f2f3f4e1e2d100) return "4, 2 and 1 bytes did not land in their places";
  if (LOAD("ldr", "w", DEVICE_SCRATCH + 4) != 0xf1f2f3f4) return "LDR W is wrong";
  if (LOAD("ldrh", "w", DEVICE_SCRATCH + 2) != 0xe1e2) return "LDRH is wrong";
  if (LOAD("ldrb", "w", DEVICE_SCRATCH + 1) != 0xd1) return "LDRB is wrong";
  if (LOAD("ldrsw", "x", DEVICE_SCRATCH + 4) != 0xfffffffff1f2f3f4) return "LDRSW is wrong";
  if (LOAD("ldrsh", "x", DEVICE_SCRATCH + 2) != 0xffffffffffffe1e2) return "LDRSH X is wrong";
  if (LOAD("ldrsb", "x", DEVICE_SCRATCH + 1) != 0xffffffffffffffd1) return "LDRSB X is wrong";
  if (LOAD("ldrsb", "w", DEVICE_SCRATCH + 1) != 0xffffffd1) return "LDRSB W is wrong";
  marker(2);
  if (index == 0) for (const char *c = "device: ok\n"; *c; c++) STORE("strb", "w", DEVICE_PUTCHAR, *c);
  return 0;
}
