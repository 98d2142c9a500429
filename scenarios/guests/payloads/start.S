/* Entry of every L2 vCPU, x0 = index, x1 = count; and L2's vectors. */
	.section .text.start, "ax"
	.global _start
_start:
	adrp	x2, stacks + 4096
	add	x2, x2, x0, lsl #12
	mov	sp, x2
	adrp	x3, vectors
	add	x3, x3, :lo12:vectors
	msr	vbar_el1, x3
	isb
	bl	payload_start
	b	.

	.text
	.global hvc
hvc:
	hvc	#0
	ret

	.macro	save
	stp	x29, x30, [sp, #-192]!
	stp	x0, x1, [sp, #16]
	stp	x2, x3, [sp, #32]
	stp	x4, x5, [sp, #48]
	stp	x6, x7, [sp, #64]
	stp	x8, x9, [sp, #80]
	stp	x10, x11, [sp, #96]
	stp	x12, x13, [sp, #112]
	stp	x14, x15, [sp, #128]
	stp	x16, x17, [sp, #144]
	mrs	x1, elr_el1
	mrs	x3, spsr_el1
	stp	x18, x1, [sp, #160]
	str	x3, [sp, #176]
	.endm

sync:
	save
	mrs	x0, esr_el1
	mrs	x2, far_el1
	bl	on_sync
	str	x0, [sp, #168]
	b	restore
irq:
	save
	bl	on_irq
restore:
	ldr	x3, [sp, #176]
	ldp	x18, x1, [sp, #160]
	msr	elr_el1, x1
	msr	spsr_el1, x3
	ldp	x16, x17, [sp, #144]
	ldp	x14, x15, [sp, #128]
	ldp	x12, x13, [sp, #112]
	ldp	x10, x11, [sp, #96]
	ldp	x8, x9, [sp, #80]
	ldp	x6, x7, [sp, #64]
	ldp	x4, x5, [sp, #48]
	ldp	x2, x3, [sp, #32]
	ldp	x0, x1, [sp, #16]
	ldp	x29, x30, [sp], #192
	eret

	.macro	vector target
	.balign	0x80
	b	\target
	.endm
	.section .text.vectors, "ax"
	.balign	0x800
vectors:
	.rept	4
	vector	unexpected
	.endr
	vector	sync
	vector	irq
	vector	unexpected
	vector	unexpected
	.rept	8
	vector	unexpected
	.endr
