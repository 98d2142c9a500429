/* Into EL0 and back out: the way that the system workload takes. */
	.text
	.global run_user
run_user:
	stp	x29, x30, [sp, #-96]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	adrp	x4, kernel_stack
	mov	x5, sp
	str	x5, [x4, :lo12:kernel_stack]
	msr	elr_el1, x0
	msr	spsr_el1, xzr
	msr	sp_el0, x3
	mov	x0, x1
	mov	x1, x2
	eret

	.global leave_user
leave_user:
	adrp	x4, kernel_stack
	ldr	x5, [x4, :lo12:kernel_stack]
	mov	sp, x5
	ldp	x27, x28, [sp, #80]
	ldp	x25, x26, [sp, #64]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #32]
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #96
	ret

	/* What C code may change is kept; X0 comes back as the answer. */
	.global on_lower_sync
on_lower_sync:
	stp	x29, x30, [sp, #-176]!
	stp	x1, x2, [sp, #16]
	stp	x3, x4, [sp, #32]
	stp	x5, x6, [sp, #48]
	stp	x7, x8, [sp, #64]
	stp	x9, x10, [sp, #80]
	stp	x11, x12, [sp, #96]
	stp	x13, x14, [sp, #112]
	stp	x15, x16, [sp, #128]
	stp	x17, x18, [sp, #144]
	mov	x4, x8
	mov	x3, x1
	mov	x2, x0
	mrs	x0, esr_el1
	mrs	x1, far_el1
	mrs	x5, elr_el1
	mrs	x6, spsr_el1
	stp	x5, x6, [sp, #160]
	bl	on_trap
	ldp	x5, x6, [sp, #160]
	msr	elr_el1, x5
	msr	spsr_el1, x6
	ldp	x17, x18, [sp, #144]
	ldp	x15, x16, [sp, #128]
	ldp	x13, x14, [sp, #112]
	ldp	x11, x12, [sp, #96]
	ldp	x9, x10, [sp, #80]
	ldp	x7, x8, [sp, #64]
	ldp	x5, x6, [sp, #48]
	ldp	x3, x4, [sp, #32]
	ldp	x1, x2, [sp, #16]
	ldp	x29, x30, [sp], #176
	eret

	.bss
	.balign	8
kernel_stack:	.skip	8
