/* What tiny-hypervisor (L1) and its payloads (L2) agree on: where L2's memory and device lie, and the hypercalls. */
#ifndef ABI_H
#define ABI_H

/* L2's physical map. The payload's first byte is at L2_RAM, which is also the entry point of every L2 vCPU:
 * x0 = vCPU index, x1 = number of L2 vCPUs, EL1h, DAIF set, MMU off. */
#define L2_RAM          0x40000000 /* 2 MiB, one stage-2 block, on physical L2_RAM_PA */
#define L2_RAM_BYTES    0x00200000
#define L2_DEMAND       0x40200000 /* 1 MiB, each page mapped by L1 when it is first touched */
#define L2_READ_ONLY    0x40300000 /* 1 MiB, likewise, but read-only until the first write */
#define L2_DEMAND_END   0x40400000
#define L2_DEVICE       0x0a000000 /* never mapped: L1 emulates it, offsets below */

#define DEVICE_PUTCHAR  0  /* write: a character of the console */
#define DEVICE_ID       4  /* read: DEVICE_ID_VALUE */
#define DEVICE_SCRATCH  8  /* read and write: 8 bytes, by 1, 2, 4 or 8 at natural alignment */
#define DEVICE_ID_VALUE 0x5a45

/* Hypercalls: HVC #0 with the number in x0, arguments in x1 and x2, the answer in x0. The numbers lie in SMCCC's range
 * for hypervisor services. PSCI is called the same way: VERSION, CPU_ON (x1 = vCPU index, x2 = entry, x3 = its x0). */
#define HYPERCALL_ECHO   0xc6000001 /* x0 = HYPERCALL_ECHO_OF(x1, x2) */
#define HYPERCALL_MARKER 0xc6000002 /* x1 = a number; nothing happens: a name for an instant, for timelines */
#define HYPERCALL_DONE   0xc6000003 /* x1 = 0: this vCPU passed; else the address of why it did not. Does not return */
#define HYPERCALL_PRINT  0xc6000004 /* x1 = address of a string in L2_RAM, printed as one line */
#define HYPERCALL_INJECT 0xc6000005 /* x1 = vINTID, x2 = priority: pending on this vCPU */
#define HYPERCALL_COUNT  0xc6000006 /* x0 = how often this vCPU had the kind of exit x1, a COUNT_ */

#define HYPERCALL_ECHO_OF(a, b) (((a) ^ 0x5a454e4f) + (b))

#define COUNT_DEMAND_MAPS  0 /* pages this vCPU's faults made L1 map */
#define COUNT_UPGRADES     1 /* read-only pages made writable */
#define COUNT_MAINTENANCE  2 /* maintenance interrupts, PPI 25 */
#define COUNT_FORWARDED    3 /* exceptions L1 emulated into L2's EL1 */
#define COUNT_KINDS        4

#define PSCI_VERSION    0x84000000
#define PSCI_CPU_OFF    0x84000002
#define PSCI_SYSTEM_OFF 0x84000008
#define PSCI_CPU_ON     0xc4000003

#define INTID_MAINTENANCE   25
#define INTID_HYP_TIMER     26
#define INTID_VIRTUAL_TIMER 27
#define INTID_PHYSICAL_TIMER 30

#endif
