/** Flags and carries: sums and products of 1024-bit numbers, comparisons chained without branches, saturation, signed overflow. */

#include "workload.h"

#define LIMBS 16
#define NOINLINE __attribute__((noinline))

static u64 x[LIMBS], y[LIMBS], product[2 * LIMBS];

static NOINLINE u64 add(u64 *to, const u64 *from)
{
	u64 carry = 0;

	for (int i = 0; i < LIMBS; i += 4)
		__asm__ volatile(
			"ldp	x9, x10, [%1]\n\tldp	x11, x12, [%1, #16]\n\tldp	x13, x14, [%2]\n\tldp	x15, x16, [%2, #16]\n\t"
			"cmp	%0, #1\n\tadcs	x9, x9, x13\n\tadcs	x10, x10, x14\n\tadcs	x11, x11, x15\n\tadcs	x12, x12, x16\n\tcset	%0, cs\n\t"
			"stp	x9, x10, [%1]\n\tstp	x11, x12, [%1, #16]"
			: "+&r"(carry) : "r"(to + i), "r"(from + i) : "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "cc", "memory");
	return carry;
}

static NOINLINE void multiply(void)
{
	for (int i = 0; i < 2 * LIMBS; i++)
		product[i] = 0;
	for (int i = 0; i < LIMBS; i++) {
		u64 carry = 0;

		for (int j = 0; j < LIMBS; j++) {
			unsigned __int128 sum = (unsigned __int128)x[i] * y[j] + product[i + j] + carry;

			product[i + j] = (u64)sum;
			carry = (u64)(sum >> 64);
		}
		product[i + LIMBS] = carry;
	}
}

static NOINLINE u64 classify(s64 a, s64 b, u64 c)
{
	u64 sum = 0;

	for (int i = 0; i < 64; i++) {
		s64 total, low = a < b ? a : b, high = a > b ? a : b;

		if (a > 0 && b < (s64)c && (u64)a >= c)
			sum += 3;
		sum += __builtin_add_overflow(a, b, &total) ? 7 : (u64)(total < 0);
		sum ^= (u64)(low < -100 ? -100 : high > 1000 ? 1000 : low);
		a = (s64)((u64)a << 1 | (u64)a >> 63);
		b -= (s64)(c | 1);
		c = c * 3 + (a == b) + (c > (u64)b);
	}
	return sum;
}

u64 main(void)
{
	u64 sum = 0, seed = 0x165667b19e3779f9ul;

	for (u64 round = 0; round < rounds; round++) {
		for (int i = 0; i < LIMBS; i++) {
			x[i] = draw(&seed);
			y[i] = draw(&seed);
		}
		for (int i = 0; i < 100; i++)
			sum += add(x, y);
		multiply();
		for (int i = 0; i < 2 * LIMBS; i++)
			sum = mix(sum, product[i]);
		for (int i = 0; i < 20; i++)
			sum = mix(sum, classify((s64)draw(&seed), (s64)draw(&seed), draw(&seed)));
	}
	return sum;
}
