/*
 * A guest of KVM with two vCPUs and a GICv2: they interrupt each other, vCPU 0 takes its virtual timer three times, and each number
 * found goes to REPORT, which is nobody's address, so that the monitor hears of it.
 */

#define RAM     0x40000000
#define GICD    0x08000000
#define GICC    0x08010000
#define REPORT  0x10000000
#define SECOND  0x100
#define VECTORS 0x800

/* x20, x21: the distributor and the interface. x24: the INTID taken last; x25: as it was acknowledged. */
	.globl	guest_begin, guest_end
	.balign	4096
guest_begin:
	ldr	x20, =GICD
	mov	w1, #1
	str	w1, [x20]
	bl	open
	ldr	x0, =0xc4000003		// PSCI CPU_ON
	mov	x1, #1
	ldr	x2, =RAM + SECOND
	hvc	#0
	bl	report
	ldr	w1, =0x20005		// SGI 5 to vCPU 1
	str	w1, [x20, #0xf00]
	mov	x1, #6
	bl	await
	mov	x22, #3
timer:	mov	x1, #0x2000
	msr	cntv_tval_el0, x1
	mov	x1, #1
	msr	cntv_ctl_el0, x1
	mov	x1, #27
	bl	await
	subs	x22, x22, #1
	b.ne	timer
	ldr	w0, [x21]		// GICC_CTLR, PMR, RPR and IAR, all of them GICV's
	bl	report
	ldr	w0, [x21, #0x04]
	bl	report
	ldr	w0, [x21, #0x14]
	bl	report
	ldr	w0, [x21, #0x0c]
	bl	report
	ldr	x0, =0x84000008		// PSCI SYSTEM_OFF
	hvc	#0

	.org	guest_begin + SECOND
	bl	open
	mov	x1, #5
	bl	await
	ldr	w1, =0x10006		// SGI 6 to vCPU 0
	str	w1, [x20, #0xf00]
1:	wfi
	b	1b

report:	ldr	x9, =REPORT
	str	w0, [x9]
	ret

/* Vectors; the interface open to all priorities; PPI 27 and all SGIs enabled. */
open:	ldr	x20, =GICD
	ldr	x21, =GICC
	ldr	x1, =RAM + VECTORS
	msr	vbar_el1, x1
	mov	w1, #0xf0
	str	w1, [x21, #0x04]
	mov	w1, #1
	str	w1, [x21]
	ldr	w1, =0x0800ffff
	str	w1, [x20, #0x100]
	ret

/* Until INTID x1 was taken, which is then reported as it was acknowledged. */
await:	mov	x24, #-1
1:	wfi
	msr	daifclr, #2
	isb
	msr	daifset, #2
	cmp	x24, x1
	b.ne	1b
	mov	w0, w25
	b	report
	.ltorg

	.org	guest_begin + VECTORS + 0x280
	ldr	w25, [x21, #0x0c]
	and	x24, x25, #0x3ff
	cmp	x24, #27
	b.ne	1f
	msr	cntv_ctl_el0, xzr
	isb
1:	str	w25, [x21, #0x10]
	eret
	.org	guest_begin + 0x1000
guest_end:
