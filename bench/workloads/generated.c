/**
 * Code that is written while it runs: functions are generated, called `size` times each, and written over by others. What a compiler in
 * the guest does; and much code that runs seldom, where `size` is small.
 */

#include "workload.h"

#define SLOTS 64
#define WORDS 256

/* A page for four functions, in pages that EL1 may write and execute. */
static u32 code[SLOTS][WORDS] __attribute__((aligned(4096)));

static u64 write(u32 *at, u64 *seed)
{
	int count = 40 + (int)(draw(seed) & 127);

	for (int i = 0; i < count; i++) {
		u32 d = (u32)draw(seed) & 7, n = (u32)draw(seed) & 7, m = (u32)draw(seed) & 7;

		switch (draw(seed) & 7) {
		case 0: *at++ = 0x8b000000 | m << 16 | n << 5 | d; break;		/* ADD */
		case 1: *at++ = 0xcb000000 | m << 16 | n << 5 | d; break;		/* SUB */
		case 2: *at++ = 0xca000000 | m << 16 | n << 5 | d; break;		/* EOR */
		case 3: *at++ = 0x9b007c00 | m << 16 | n << 5 | d; break;		/* MUL */
		case 4: *at++ = 0x93c00000 | m << 16 | (u32)(draw(seed) & 63) << 10 | n << 5 | d; break;	/* EXTR */
		case 5: *at++ = 0xd2800000 | (u32)(draw(seed) & 0xffff) << 5 | d; break;	/* MOVZ */
		case 6: *at++ = 0xeb00001f | m << 16 | n << 5; *at++ = 0x9a800000 | m << 16 | 0xb << 12 | n << 5 | d; i++; break;	/* CMP, CSEL lt */
		default: *at++ = 0xb6000000 | (u32)(draw(seed) & 31) << 19 | 2 << 5 | d; *at++ = 0x91000400 | d << 5 | d; i++; break;	/* TBZ over ADD #1 */
		}
	}
	*at++ = 0xd65f03c0;
	return (u64)count;
}

static void publish(const u32 *from, u64 words)
{
	for (u64 at = 0; at < words; at += 16)
		__asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic ivau, %0" : : "r"(from + at) : "memory");
	__asm__ volatile("dsb ish\n\tisb" : : : "memory");
}

static u64 call(const u32 *function, u64 value)
{
	register u64 x0 __asm__("x0") = value;

	__asm__ volatile(
		"mov x1, #1\n\tmov x2, #2\n\tmov x3, #3\n\tmov x4, #4\n\tmov x5, #5\n\tmov x6, #6\n\tmov x7, #7\n\tblr %1"
		: "+r"(x0) : "r"(function) : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x30", "cc", "memory");
	return x0;
}

u64 main(void)
{
	u64 sum = 0, seed = 0x27d4eb2f165667c5ul;

	for (u64 round = 0; round < rounds; round++)
		for (int slot = 0; slot < SLOTS; slot++) {
			write(code[slot], &seed);
			publish(code[slot], WORDS);
			for (u64 i = 0; i < size; i++)
				sum = mix(sum, call(code[slot], sum));
		}
	return sum;
}
