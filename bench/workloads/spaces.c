/** Address spaces: the same virtual pages are other frames under each of four ASIDs; switching is frequent, and code runs in all of them. */

#include "workload.h"

#define SPACES 4
#define PAGES 64

extern u64 heap_tables[];
/* For each space a first, second and third level, by identity in RAM and as it is here. */
static u64 level1[SPACES][512] __attribute__((aligned(4096)));
static u64 level2[SPACES][512] __attribute__((aligned(4096)));
static u64 level3[SPACES][512] __attribute__((aligned(4096)));

static u64 physical(const void *at)
{
	u64 par;

	__asm__ volatile("at s1e1r, %1\n\tisb\n\tmrs %0, par_el1" : "=r"(par) : "r"(at) : "memory");
	return (par & 0xfffffffff000ul) | ((u64)at & 0xfff);
}

static void enter(u64 space)
{
	u64 ttbr = physical(level1[space]) | (space + 1) << 48;

	__asm__ volatile("msr ttbr0_el1, %0\n\tisb" : : "r"(ttbr) : "memory");
}

static __attribute__((noinline)) u64 walk(u64 sum)
{
	for (u64 page = 0; page < PAGES; page++) {
		u64 *at = (u64 *)(HEAP + page * 4096 + (sum & 0xff8));

		*at += sum ^ page;
		sum = mix(sum, *at);
	}
	return sum;
}

u64 main(void)
{
	u64 sum = 0, first, *own;

	__asm__ volatile("mrs %0, ttbr0_el1" : "=r"(first));
	own = (u64 *)first;
	for (u64 space = 0; space < SPACES; space++) {
		for (int i = 0; i < 512; i++)
			level1[space][i] = own[i];
		level1[space][3] = physical(level2[space]) | 3;
		level2[space][0] = physical(level3[space]) | 3;
		/* Not global, so that the ASID counts; each space has its own frames. */
		for (u64 page = 0; page < PAGES; page++)
			level3[space][page] = heap_tables[space * PAGES + page] | 1ul << 11;
	}
	__asm__ volatile("dsb ish\n\tisb" : : : "memory");
	for (u64 round = 0; round < rounds; round++)
		for (u64 space = 0; space < SPACES; space++) {
			enter(space);
			for (u64 i = 0; i < size; i++)
				sum = walk(sum);
		}
	__asm__ volatile("msr ttbr0_el1, %0\n\tisb" : : "r"(first) : "memory");
	return sum;
}
