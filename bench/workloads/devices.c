/** Devices: registers of the UART written and read back, with some work between. */

#include "workload.h"

#define IBRD (*(volatile u32 *)0x09000024ul)
#define FBRD (*(volatile u32 *)0x09000028ul)

u64 main(void)
{
	u64 sum = 0, seed = 0xbf58476d1ce4e5b9ul;

	for (u64 round = 0; round < rounds; round++) {
		IBRD = (u32)draw(&seed) & 0xffff;
		FBRD = (u32)draw(&seed) & 63;
		for (u64 i = 0; i < size; i++)
			sum = mix(sum, i);
		sum = mix(sum, IBRD);
		sum = mix(sum, FBRD);
	}
	return sum;
}
