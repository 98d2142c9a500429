/** Calls and returns: functions spread over many pages, called through tables that change, deep and shallow. */

#include "workload.h"

#define PAGE __attribute__((noinline, aligned(4096)))

typedef u64 (*function)(u64, u64);

static function table[16];

static PAGE u64 f0(u64 a, u64 n) { return n ? table[a & 15](a * 3 + 1, n - 1) : a; }
static PAGE u64 f1(u64 a, u64 n) { return n ? table[(a >> 4) & 15](a ^ n, n - 1) + 1 : a; }
static PAGE u64 f2(u64 a, u64 n) { return n ? table[(a >> 7) & 15](a + (a << 9), n - 1) ^ a : a; }
static PAGE u64 f3(u64 a, u64 n) { return n > 1 ? table[a & 7](a >> 3, n >> 1) + table[8 | (a & 7)](a * 5, n >> 1) : a; }
static PAGE u64 f4(u64 a, u64 n) { return n ? table[(a >> 2) & 15](~a, n - 1) - n : a; }
static PAGE u64 f5(u64 a, u64 n) { return n ? table[(a >> 11) & 15](a - 77, n - 1) * 3 : a; }
static PAGE u64 f6(u64 a, u64 n) { return n ? table[(a >> 5) & 15](a | 1, n - 1) + (a & n) : a; }
static PAGE u64 f7(u64 a, u64 n) { return a + n; }

u64 main(void)
{
	static const function all[8] = { f0, f1, f2, f3, f4, f5, f6, f7 };
	u64 sum = 0, seed = 0xc2b2ae3d27d4eb4ful;

	for (u64 round = 0; round < rounds; round++) {
		for (int i = 0; i < 16; i++)
			table[i] = all[draw(&seed) & 7];
		for (int i = 0; i < 256; i++)
			sum = mix(sum, table[i & 15](draw(&seed), 24));
	}
	return sum;
}
