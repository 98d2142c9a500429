/** System calls and page faults: a program at EL0 calls EL1, and touches pages that EL1 maps on demand and takes away again. */

#include "workload.h"

#define USER __attribute__((section(".user"), noinline))
#define PAGES 256
#define WINDOW 32
#define HEAP_AT_EL0 0xc0000000ul

enum call { CALL_ADD, CALL_DRAW, CALL_EXIT };

/** user.S: runs `entry(x0, x1)` at EL0 with a stack, until it exits; gives what it exits with. */
u64 run_user(u64 (*entry)(u64, u64), u64 argument, u64 second, u8 *stack);
/** user.S: ends run_user with a value. */
__attribute__((noreturn)) void leave_user(u64 value);

extern u64 heap_tables[];
/** The descriptors of the pages that are away; the frames stay the same. */
static u64 kept[PAGES];
static u64 held[WINDOW], count, faults, calls, seed = 0x6a09e667f3bcc909ul;

static inline u64 *descriptor(u64 page)
{
	return heap_tables + page;
}

static inline void flush(u64 page)
{
	__asm__ volatile("dsb ishst\n\ttlbi vaae1is, %0\n\tdsb ish\n\tisb" : : "r"((HEAP_AT_EL0 >> 12) + page) : "memory");
}

/** The oldest page of the window goes, the new one comes. */
static void page_in(u64 page)
{
	u64 *slot = &held[count++ % WINDOW];

	if (*slot) {
		*descriptor(*slot - 1) = 0;
		flush(*slot - 1);
	}
	*slot = page + 1;
	*descriptor(page) = kept[page];
	__asm__ volatile("dsb ishst\n\tisb" : : : "memory");
}

/** Called with ESR, FAR and the EL0 program's X0, X1 and X8; what it gives is X0 there. */
u64 on_trap(u64 esr, u64 far, u64 x0, u64 x1, u64 x8)
{
	u64 page = (far - HEAP_AT_EL0) >> 12;

	switch (esr >> 26) {
	case 0x15:
		calls++;
		if (x8 == CALL_EXIT)
			leave_user(x0);
		return x8 == CALL_ADD ? x0 + x1 : draw(&seed);
	case 0x24:
		if (page >= PAGES || *descriptor(page))
			break;
		faults++;
		page_in(page);
		return x0;
	}
	leave_user(mix(esr, far));
}

static inline __attribute__((always_inline)) u64 call(enum call number, u64 argument, u64 second)
{
	register u64 x0 __asm__("x0") = argument;
	register u64 x1 __asm__("x1") = second;
	register u64 x8 __asm__("x8") = number;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x8) : "memory");
	return x0;
}

USER static void user(u64 repeats, u64 stride)
{
	u64 sum = 0;

	for (u64 repeat = 0; repeat < repeats; repeat++) {
		for (u64 i = 0; i < 64; i++)
			sum = call(CALL_ADD, sum, i);
		sum ^= call(CALL_DRAW, 0, 0);
		for (u64 i = 0; i < 64; i++) {
			volatile u64 *word = (volatile u64 *)(HEAP_AT_EL0 + ((i * stride) & (PAGES - 1)) * 4096 + 8 * i);

			*word += sum + i;
			sum += *word;
		}
	}
	call(CALL_EXIT, sum, 0);
}

u64 main(void)
{
	u64 sum = 0;
	/* The last pages of the heap are never taken away. */
	u8 *stack = HEAP + (PAGES + 4) * 4096;

	for (u64 page = 0; page < PAGES; page++) {
		kept[page] = *descriptor(page);
		*descriptor(page) = 0;
	}
	__asm__ volatile("dsb ish\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" : : : "memory");
	for (u64 round = 0; round < rounds; round++) {
		sum = mix(sum, run_user((u64 (*)(u64, u64))(void *)user, size, 2 * round + 1, stack));
		sum = mix(sum, faults + (calls << 32));
	}
	return sum;
}
