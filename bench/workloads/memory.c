/** Memory-heavy: quicksort, copies by 64-bit words, a hash table with open addressing, a chase of pointers over several MiB. */

#include "workload.h"

#define NOINLINE __attribute__((noinline))

/* Several MiB each, wherever the heap's pages lie. */
#define NUMBERS ((u64 *)HEAP)
#define COPY ((u64 *)(HEAP + 0x400000))
#define TABLE ((u64 *)(HEAP + 0x800000))
#define CHAIN ((u64 *)(HEAP + 0xc00000))

static NOINLINE void quicksort(u64 *low, u64 *high)
{
	while (high - low > 12) {
		u64 pivot = low[(high - low) >> 1], *left = low, *right = high;

		for (;;) {
			while (*left < pivot)
				left++;
			while (*right > pivot)
				right--;
			if (left >= right)
				break;
			u64 swap = *left;
			*left++ = *right;
			*right-- = swap;
		}
		if (right - low < high - right - 1) {
			quicksort(low, right);
			low = right + 1;
		} else {
			quicksort(right + 1, high);
			high = right;
		}
	}
	for (u64 *at = low + 1; at <= high; at++) {
		u64 value = *at, *to = at;

		for (; to > low && to[-1] > value; to--)
			*to = to[-1];
		*to = value;
	}
}

static NOINLINE void copy(u64 *to, const u64 *from, u64 words)
{
	for (u64 at = 0; at < words; at++)
		to[at] = from[at];
}

static NOINLINE u64 look_up(u64 count, u64 seed)
{
	u64 slots = 1, found = 0;

	while (slots < 2 * count)
		slots *= 2;
	for (u64 at = 0; at < slots; at++)
		TABLE[at] = 0;
	for (u64 i = 0; i < count; i++) {
		u64 key = draw(&seed) % (4 * count) + 1, at = (key * 0x9e3779b97f4a7c15ul) & (slots - 1);

		while (TABLE[at] && TABLE[at] != key)
			at = (at + 1) & (slots - 1);
		found += TABLE[at] == key;
		TABLE[at] = key;
	}
	return found;
}

static NOINLINE u64 chase(u64 links, u64 steps)
{
	/* One cycle over all links: each goes a large odd stride on. */
	u64 at = 0;

	for (u64 i = 0; i < links; i++)
		CHAIN[i] = (i + (links / 2 - 1) * 0x3779) & (links - 1);
	while (steps--)
		at = CHAIN[at];
	return at;
}

u64 main(void)
{
	u64 sum = 0, seed = 0x853c49e6748fea9bul, links = 1;

	while (2 * links <= 2 * size)
		links *= 2;
	for (u64 round = 0; round < rounds; round++) {
		for (u64 i = 0; i < size; i++)
			NUMBERS[i] = draw(&seed);
		for (int i = 0; i < 4; i++)
			copy(COPY + i, NUMBERS, size);
		quicksort(NUMBERS, NUMBERS + size - 1);
		for (u64 i = 1; i < size; i += 97)
			sum = mix(sum, NUMBERS[i] - NUMBERS[i - 1] + COPY[i]);
		sum = mix(sum, look_up(size, draw(&seed)));
		sum = mix(sum, chase(links, 2 * size));
	}
	return sum;
}
