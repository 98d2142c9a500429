/** Atomics: read-modify-write by single instructions and by exclusive pairs, compare and swap, a lock taken and given back. */

#include "workload.h"

static u64 words[64];
static u32 lock;

static inline u64 exclusive_add(u64 *at, u64 value)
{
	u64 old, sum;
	u32 failed;

	do
		__asm__ volatile("ldaxr %0, [%3]\n\tadd %1, %0, %4\n\tstlxr %w2, %1, [%3]" : "=&r"(old), "=&r"(sum), "=&r"(failed) : "r"(at), "r"(value) : "memory");
	while (failed);
	return old;
}

u64 main(void)
{
	u64 sum = 0, seed = 0x94d049bb133111ebul;

	for (u64 round = 0; round < rounds; round++)
		for (u64 i = 0; i < 256; i++) {
			u64 value = draw(&seed), expected, *at = &words[value & 63];

			sum = mix(sum, __atomic_fetch_add(at, value, __ATOMIC_ACQ_REL));
			sum ^= __atomic_fetch_xor(&words[i & 63], sum, __ATOMIC_RELAXED);
			sum += __atomic_exchange_n(&words[(value >> 8) & 63], value, __ATOMIC_ACQUIRE);
			expected = words[1];
			sum += __atomic_compare_exchange_n(&words[1], &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
			sum += exclusive_add(&words[2 + (value & 7)], i);
			while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
				;
			words[20]++;
			__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
		}
	for (int i = 0; i < 64; i++)
		sum = mix(sum, words[i]);
	return sum;
}
