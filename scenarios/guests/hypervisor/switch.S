/* In and out of L2: general registers, and the vectors of EL2. struct cpu begins with x[31]; its pointer is in TPIDR_EL2. */

	.text

/* enum exit_code guest_enter(cpu): returns when L2 exits. L1's callee-saved registers wait on its stack. */
	.global guest_enter
guest_enter:
	stp	x29, x30, [sp, #-96]!
	stp	x27, x28, [sp, #16]
	stp	x25, x26, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x21, x22, [sp, #64]
	stp	x19, x20, [sp, #80]
	ldp	x2, x3, [x0, #16]
	ldp	x4, x5, [x0, #32]
	ldp	x6, x7, [x0, #48]
	ldp	x8, x9, [x0, #64]
	ldp	x10, x11, [x0, #80]
	ldp	x12, x13, [x0, #96]
	ldp	x14, x15, [x0, #112]
	ldp	x16, x17, [x0, #128]
	ldp	x18, x19, [x0, #144]
	ldp	x20, x21, [x0, #160]
	ldp	x22, x23, [x0, #176]
	ldp	x24, x25, [x0, #192]
	ldp	x26, x27, [x0, #208]
	ldp	x28, x29, [x0, #224]
	ldr	x30, [x0, #240]
	ldp	x0, x1, [x0]
	eret

/* From a vector: L2's x0 and x1 on the stack, the exit code in x0. */
guest_exit:
	mrs	x1, tpidr_el2
	stp	x2, x3, [x1, #16]
	stp	x4, x5, [x1, #32]
	stp	x6, x7, [x1, #48]
	stp	x8, x9, [x1, #64]
	stp	x10, x11, [x1, #80]
	stp	x12, x13, [x1, #96]
	stp	x14, x15, [x1, #112]
	stp	x16, x17, [x1, #128]
	stp	x18, x19, [x1, #144]
	stp	x20, x21, [x1, #160]
	stp	x22, x23, [x1, #176]
	stp	x24, x25, [x1, #192]
	stp	x26, x27, [x1, #208]
	stp	x28, x29, [x1, #224]
	str	x30, [x1, #240]
	ldp	x2, x3, [sp], #16
	stp	x2, x3, [x1]
	ldp	x27, x28, [sp, #16]
	ldp	x25, x26, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #64]
	ldp	x19, x20, [sp, #80]
	ldp	x29, x30, [sp], #96
	ret

	.macro	unexpected
	.balign	0x80
	b	stop
	.endm
	.macro	exit code
	.balign	0x80
	stp	x0, x1, [sp, #-16]!
	mov	x0, #\code
	b	guest_exit
	.endm

	.section .text.vectors, "ax"
	.balign	0x800
	.global vectors
vectors:
	unexpected		/* current EL, SP_EL0 */
	unexpected
	unexpected
	unexpected
	unexpected		/* current EL, SP_EL2: L1 itself, which keeps interrupts masked */
	unexpected
	unexpected
	unexpected
	exit	0		/* lower EL, AArch64: L2. EXIT_SYNC, EXIT_IRQ, then FIQ, which nothing here uses */
	exit	1
	unexpected
	exit	2
	unexpected		/* lower EL, AArch32 */
	unexpected
	unexpected
	unexpected

stop:
	mrs	x0, esr_el2
	mrs	x1, elr_el2
	mrs	x2, far_el2
	bl	panic
