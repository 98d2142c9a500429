/** Starts and stops: what every run costs before and after its work. */

#include "workload.h"

u64 main(void)
{
	return rounds;
}
