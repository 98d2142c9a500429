/** What every workload has: its size as the linker was told, a heap of scattered pages, and a sum that depends on all that it did. */

#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef int s32;
typedef long s64;

/** How often, and over how much: set when the image is linked, so that one source has a short form and a long one. */
extern const u64 rounds, size;

#define HEAP ((u8 *)0xc0000000ul)

/** The next number of a sequence that is the same everywhere (xorshift). */
static inline u64 draw(u64 *state)
{
	u64 x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/** A sum in which order matters. */
static inline u64 mix(u64 sum, u64 value)
{
	return (sum ^ value) * 0x9e3779b97f4a7c15ul + (sum >> 29);
}

u64 main(void);
