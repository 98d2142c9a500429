/* Builds translation tables of 4, 16 and 64 KiB granules at EL2, with stage 2 and without, and has EL1 and EL0 take every kind of fault in them. */

#include "program.h"

/* Zero when the program begins, and given out once. */
static uint64_t pool[80 * 8192] __attribute__((aligned(65536)));
static uint64_t used __attribute__((section(".data")));
static uint64_t faults __attribute__((section(".data"))), sum __attribute__((section(".data")));

static uint64_t *allocate(uint64_t bytes)
{
  used = (used + bytes - 1) & ~(bytes - 1);
  uint64_t *table = pool + used / 8;
  used += bytes;
  return table;
}

struct space { uint64_t *root; int granule, bits, start; };

static int shift_of(const struct space *space, int level) { return space->granule + (3 - level) * (space->granule - 3); }

static struct space make(int granule, int bits)
{
  struct space space = { 0, granule, bits, 4 - (bits - granule + granule - 4) / (granule - 3) };
  uint64_t bytes = 8ul << (bits - shift_of(&space, space.start));
  space.root = allocate(bytes < 64 ? 64 : bytes);
  return space;
}

static void map(const struct space *space, uint64_t va, uint64_t descriptor, int level)
{
  uint64_t *table = space->root;
  for (int at = space->start; ; at += 1) {
    int shift = shift_of(space, at);
    int width = at == space->start ? space->bits - shift : space->granule - 3;
    uint64_t *entry = table + ((va >> shift) & ((1ul << width) - 1));
    if (at == level) { *entry = descriptor; return; }
    if (!(*entry & VALID)) *entry = (uint64_t)allocate(1ul << space->granule) | TABLE;
    table = (uint64_t *)(*entry & 0xfffffffff000ul);
  }
}

static void identity(const struct space *space, uint64_t from, uint64_t bytes, uint64_t attributes)
{
  for (uint64_t at = from; at < from + bytes; at += 1ul << space->granule) map(space, at, at | attributes | PAGE, 3);
}

#define WINDOW 0x60000000ul
#define TARGET 0x43000000ul

/* One page of each kind in the window: permissions, access flag, memory types, invalid, reserved, and an output that is too wide. */
static void window(const struct space *space, int stage2)
{
  uint64_t page = 1ul << space->granule;
  for (int kind = 0; kind < 24; kind += 1) {
    uint64_t out = TARGET + (kind & 3) * page;
    uint64_t descriptor = out | AF | SHARED | PAGE | AP(kind & 3);
    if (kind >= 4 && kind < 8) descriptor |= stage2 ? (uint64_t)(kind & 3) << 2 : ATTRIBUTE(kind - 3);
    else if (stage2) descriptor |= 15 << 2;
    if (kind == 8) descriptor &= ~(uint64_t)AF;
    if (kind == 9) descriptor = 0;
    if (kind == 10) descriptor = (descriptor & ~3ul) | 1;
    if (kind == 11) descriptor |= 1ul << 47;
    if (kind == 12) descriptor |= UXN;
    if (kind == 13) descriptor |= PXN;
    if (kind == 14) descriptor |= NG;
    map(space, WINDOW + kind * page, descriptor, 3);
  }
}

/* At EL1, and once more at EL0: touches every page of the window in every way, in order and out of it. */
static uint64_t explore(uint64_t argument)
{
  uint64_t page = 1ul << argument;
  uint64_t total = 0;
  for (uint64_t kind = 0; kind < 25; kind += 1) {
    /* Device memory: QEMU does not look at alignment, and across its border all is CONSTRAINED UNPREDICTABLE. */
    int device = kind >= 4 && kind < 8;
    for (uint64_t how = 0; how < (device ? 4 : 7); how += 1) total = total * 31 + touch(WINDOW + kind * page + how * 8, how);
    if (!device && kind != 3) total += touch(WINDOW + (kind + 1) * page - 3, 0);
  }
  total += touch(1ul << 52, 0) + touch(0xffff000000000000ul, 0) + touch(0x7f00000000ul, 0) + touch((0x5aul << 56) | WINDOW, 0);
  return total;
}

static uint64_t at_el1(uint64_t argument)
{
  uint64_t total = explore(argument);
  DO("msr pan, #1");
  total += explore(argument);
  DO("msr uao, #1");
  total += explore(argument);
  DO("msr pan, #0; msr uao, #0");
  uint64_t page = 1ul << argument;
  for (uint64_t kind = 0; kind < 24; kind += 1) {
    __asm__ volatile("at s1e1r, %0" :: "r"(WINDOW + kind * page));
    ISB();
    total = total * 31 + READ(par_el1);
    __asm__ volatile("at s1e0w, %0" :: "r"(WINDOW + kind * page));
    ISB();
    total = total * 31 + READ(par_el1);
  }
  __asm__ volatile("mov x0, %0; hvc #0x7f" :: "r"(total) : "x0");
  return total;
}

static uint64_t at_el0(uint64_t argument)
{
  uint64_t total = explore(argument);
  __asm__ volatile("mov x0, %0; svc #0x7f" :: "r"(total) : "x0");
  return total;
}

static void note(uint64_t esr, uint64_t far)
{
  faults += 1;
  sum = sum * 0x9e3779b97f4a7c15ul + esr + (far ^ (far >> 7));
}

void taken_el1(struct frame *frame, uint64_t vector)
{
  uint64_t esr = READ(esr_el1);
  note(esr + vector, READ(far_el1));
  if (esr >> 26 == 0x15) __asm__ volatile("mov x0, %0; hvc #0x7f" :: "r"(frame->x[0]) : "x0");
  WRITE(elr_el1, READ(elr_el1) + 4);
}

void taken_el2(struct frame *frame, uint64_t vector)
{
  uint64_t esr = READ(esr_el2);
  note(esr + vector, READ(far_el2) + READ(hpfar_el2));
  if (esr >> 26 == 0x16 && (esr & 0xffff) == 0x7f) leave_lower(frame->x[0]);
  WRITE(elr_el2, READ(elr_el2) + 4);
}

static void round(int granule, int bits, int staged)
{
  struct space one = make(granule, bits);
  identity(&one, 0x40200000, 0x10000, AF | SHARED | AP(2));
  identity(&one, 0x40210000, 0x10000, AF | SHARED | AP(0));
  identity(&one, (uint64_t)stack_el1 - 0x10000, 0x10000, AF | SHARED | AP(0));
  identity(&one, (uint64_t)stack_el0 - 0x10000, 0x10000, AF | SHARED | AP(1));
  window(&one, 0);
  static const uint64_t tg0[] = { [12] = 0, [14] = 2, [16] = 1 };
  WRITE(ttbr0_el1, one.root);
  WRITE(tcr_el1, (64 - bits) | tg0[granule] << 14 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 23 | 5ul << 32 | 1ul << 37);
  WRITE(mair_el1, 0x44bb0c080400ff);
  WRITE(sctlr_el1, 0x30d00981 | 1 << 4 | 1 << 14 | 1 << 15 | 1 << 26);
  uint64_t hcr = 1ul << 31;
  if (staged) {
    struct space two = make(granule == 16 ? 12 : granule, 36);
    for (uint64_t at = 0x40000000; at < 0x44000000; at += 1ul << shift_of(&two, 2)) map(&two, at, at | AF | SHARED | 15 << 2 | AP(3) | VALID, 2);
    window(&two, 1);
    WRITE(vttbr_el2, two.root);
    WRITE(vtcr_el2, 1ul << 31 | 28 | 1 << 6 | tg0[two.granule] << 14 | 3 << 12 | 5 << 16);
    hcr |= 1;
  }
  WRITE(hcr_el2, hcr);
  WRITE(sp_el1, stack_el1);
  WRITE(sp_el0, stack_el0);
  DSB();
  DO("tlbi alle1");
  DSB();
  ISB();
  sum += run_lower(at_el1, granule, 0x3c5);
  sum += run_lower(at_el0, granule, 0x3c0);
}

void main(void)
{
  WRITE(cptr_el2, 0x33ff & ~0x400);
  WRITE(cpacr_el1, 3 << 20);
  for (int staged = 0; staged < 2; staged += 1) {
    round(12, 39, staged);
    round(12, 48, staged);
    round(14, 36, staged);
    round(16, 42, staged);
  }
  WRITE(tpidr_el2, sum);
}
