/* Where each CPU of L1 begins: a stack of its own, then C. Entered at EL2 (or virtual EL2), MMU off, interrupts masked.
 * CurrentEL is not asked: under the paravirtual mechanism it says EL1. */
	.section .text.start, "ax"
	.global _start
_start:
	msr	daifset, #0xf
	msr	spsel, #1
	adrp	x1, cpu_pages + 8192
	mov	sp, x1
	bl	boot_primary
	b	.

/* x0 = CPU index, from CPU_ON's context_id. */
	.global secondary_start
secondary_start:
	msr	daifset, #0xf
	msr	spsel, #1
	adrp	x1, cpu_pages + 8192
	add	x1, x1, x0, lsl #13
	mov	sp, x1
	bl	boot_secondary
	b	.

/* u64 smc(function, a, b, c): PSCI, SMCCC. x4 to x17 may change. */
	.text
	.global smc
smc:
	smc	#0
	ret
