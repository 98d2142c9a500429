/* Pages that L1 maps when L2 touches them, makes writable when L2 writes, and a stage-1 table that itself is such a page. */
#include "payload.h"

#define PAGE 0x1000
#define OWN_PAGES 3
#define SHARED_PAGE (L2_DEMAND + 0x80000)
#define TABLES      (L2_DEMAND + 0x90000)
#define BEHIND_TABLE 0x40800000UL

static volatile u64 faults[VCPUS_MAX], fault_address[VCPUS_MAX];

u64 on_sync(u64 esr, u64 elr, u64 far, u64 spsr)
{
  (void)spsr;
  if ((esr >> 26) != 0x25 || (esr & 0x3f) != 0x07) done("not the stage-1 translation fault of level 3 that was asked for");
  faults[my_index()]++;
  fault_address[my_index()] = far;
  return elr + 4;
}

const char *payload(u32 index, u32 count)
{
  volatile u64 *own = (u64 *)(L2_DEMAND + index * 0x10000UL);
  volatile u64 *read_only = (u64 *)(L2_READ_ONLY + index * 0x1000UL);
  volatile u64 *shared = (u64 *)(SHARED_PAGE + index * 8UL);
  u64 behind = BEHIND_TABLE + index * 0x200000UL + 0x5128, low, high;
  (void)count;
  mmu_on();
  marker(1);

  for (u64 i = 0; i < OWN_PAGES; i++) own[i * PAGE / 8 + i] = 0x1111111111111111 * (i + 1) + index;
  for (u64 i = 0; i < OWN_PAGES; i++)
    if (own[i * PAGE / 8 + i] != 0x1111111111111111 * (i + 1) + index) return "a page does not hold what was written";
  /* No valid syndrome: a pair, across into a page not yet touched. */
  asm volatile("stp %1, %2, [%0]" : : "r"(&own[OWN_PAGES * PAGE / 8 - 1]), "r"(0xaaUL), "r"(0xbbUL) : "memory");
  asm volatile("ldp %0, %1, [%2]" : "=&r"(low), "=&r"(high) : "r"(&own[OWN_PAGES * PAGE / 8 - 1]) : "memory");
  if (low != 0xaa || high != 0xbb) return "a pair across two pages came back different";
  if (hvc(HYPERCALL_COUNT, COUNT_DEMAND_MAPS, 0, 0) != OWN_PAGES + 1) return "L1 mapped another number of pages";

  marker(2);
  if (*read_only != 0) return "a fresh page is not zero";
  if (hvc(HYPERCALL_COUNT, COUNT_UPGRADES, 0, 0) != 0) return "a read made a page writable";
  *read_only = 0x5a45;
  read_only[1] = 0x4e4f;
  if (*read_only != 0x5a45 || read_only[1] != 0x4e4f) return "the write to the read-only page was lost";
  if (hvc(HYPERCALL_COUNT, COUNT_UPGRADES, 0, 0) != 1) return "L1 upgraded another number of pages";

  marker(3);
  *shared = index + 1; /* both vCPUs may fault here at once */
  if (*shared != index + 1) return "the shared page does not hold what was written";

  marker(4);
  mmu_map_table(behind, TABLES + index * PAGE);
  asm volatile("ldr %0, [%1]" : "=r"(low) : "r"(behind) : "memory");
  if (faults[index] != 1 || fault_address[index] != behind) return "the walk through an untouched table did not fault in stage 1";
  if (index == 0) print("stage2-fault: ok");
  return 0;
}
