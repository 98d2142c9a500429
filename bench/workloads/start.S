/*
 * Entry of every workload, at EL1 with the MMU off, on QEMU's virt board and ours: copies the image page by page to scattered frames, builds
 * page tables over them, switches MMU and caches on, calls main, prints what it returns as sixteen hexadecimal digits, and powers off.
 *
 * Virtual map: the UART at its own address; RAM at its own address as one block, for this file and the tables; the image at 0x80000000 and
 * the heap at 0xc0000000 by pages of 4 KiB, each page somewhere else in RAM, so that nothing gains from one address being the other.
 */
	.equ	UART, 0x09000000
	.equ	FRAMES, 0x42000000		/* the image's frames, and then the heap's */
	.equ	IMAGE_PAGES_MAX, 512		/* one table */
	.equ	HEAP, 0xc0000000

	.equ	VALID_TABLE, 3
	.equ	BLOCK_NORMAL, 0x701		/* AF, inner shareable, attribute 0 */
	.equ	BLOCK_DEVICE, 0x0060000000000405	/* AF, attribute 1, never executed */
	.equ	PAGE, 0x703			/* AF, inner shareable, attribute 0, for EL1 */
	.equ	PAGE_READ_ONLY, 0x7c3		/* for EL1 and EL0, which may both execute it */
	.equ	HEAP_PAGE, 0x0060000000000743	/* for EL1 and EL0, never executed */

	.section .boot, "ax"
	.global _start
_start:
	msr	spsel, #1
	adrp	x0, image_at_rest
	add	x0, x0, :lo12:image_at_rest
	ldr	x1, =__image_pages
	ldr	x2, =__loaded_pages
	ldr	x3, =FRAMES
	adrp	x4, image_table
	ldr	x14, =__user_first
	ldr	x15, =__user_pages
	mov	x5, #0				/* page of the image */
next_page:
	/* Frame of page n is 7 n modulo 512: a permutation, since 7 is odd. */
	mov	x6, #7
	mul	x6, x5, x6
	and	x6, x6, #(IMAGE_PAGES_MAX - 1)
	add	x6, x3, x6, lsl #12
	cmp	x5, x2
	b.hs	mapped				/* what is cleared at start is clear RAM */
	add	x7, x0, x5, lsl #12
	mov	x8, #0
copy:	ldp	x9, x10, [x7], #16
	ldp	x11, x12, [x7], #16
	add	x13, x6, x8
	stp	x9, x10, [x13]
	stp	x11, x12, [x13, #16]
	add	x8, x8, #32
	cmp	x8, #4096
	b.ne	copy
mapped:	mov	x9, #PAGE
	sub	x10, x5, x14
	mov	x11, #PAGE_READ_ONLY
	cmp	x10, x15
	csel	x9, x11, x9, lo
	orr	x9, x6, x9
	str	x9, [x4, x5, lsl #3]
	add	x5, x5, #1
	cmp	x5, x1
	b.lo	next_page

	/* The heap: frame of page n is 2731 n modulo the number of pages, which is a power of two. */
	add	x3, x3, #(IMAGE_PAGES_MAX * 4096)
	adrp	x4, heap_tables
	ldr	x1, =workload_heap_pages
	sub	x2, x1, #1
	mov	x5, #0
	mov	x7, #2731
	ldr	x8, =HEAP_PAGE
next_heap:
	mul	x6, x5, x7
	and	x6, x6, x2
	add	x6, x8, x6, lsl #12
	add	x6, x6, x3
	str	x6, [x4, x5, lsl #3]
	add	x5, x5, #1
	cmp	x5, x1
	b.lo	next_heap

	adrp	x0, level1
	adrp	x1, level2_low
	orr	x2, x1, #VALID_TABLE
	str	x2, [x0]
	ldr	x2, =(UART | BLOCK_DEVICE)
	str	x2, [x1, #(UART >> 21) * 8]
	ldr	x2, =(0x40000000 | BLOCK_NORMAL)
	str	x2, [x0, #8]
	adrp	x1, level2_image
	orr	x2, x1, #VALID_TABLE
	str	x2, [x0, #16]
	adrp	x2, image_table
	orr	x2, x2, #VALID_TABLE
	str	x2, [x1]
	adrp	x1, level2_heap
	orr	x2, x1, #VALID_TABLE
	str	x2, [x0, #24]
	adrp	x2, heap_tables
	orr	x2, x2, #VALID_TABLE
	ldr	x3, =workload_heap_pages
heap_table:
	str	x2, [x1], #8
	add	x2, x2, #4096
	subs	x3, x3, #512
	b.hi	heap_table

	msr	ttbr0_el1, x0
	ldr	x1, =0x04ff				/* attribute 0: write-back, 1: Device-nGnRE */
	msr	mair_el1, x1
	ldr	x1, =(25 | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23) | (2 << 32))	/* 39 bits, 4 KiB, no TTBR1, 40 bits of PA */
	msr	tcr_el1, x1
	mov	x1, #(3 << 20)				/* floating point for all */
	msr	cpacr_el1, x1
	dsb	sy
	tlbi	vmalle1
	dsb	sy
	isb
	ldr	x1, =0x30d01805				/* M, C, I; RES1 bits; EL0 may use what it likes of WFI and caches */
	msr	sctlr_el1, x1
	isb
	ldr	x0, =__stack_top
	mov	sp, x0
	ldr	x0, =vectors
	msr	vbar_el1, x0
	ldr	x0, =run
	br	x0
	.ltorg

	.section .tables, "aw", %nobits
	.balign	4096
level1:		.skip	4096
level2_low:	.skip	4096
level2_image:	.skip	4096
level2_heap:	.skip	4096
image_table:	.skip	4096
	.global heap_tables
heap_tables:	.skip	4096 * 64

	/* From here on at the image's own addresses. */
	.text
run:
	bl	main
	ldr	x1, =UART
	mov	x2, #16
digit:	ror	x0, x0, #60
	and	w3, w0, #15
	add	w4, w3, #'0'
	add	w5, w3, #('a' - 10)
	cmp	w3, #10
	csel	w4, w4, w5, lo
	str	w4, [x1]
	subs	x2, x2, #1
	b.ne	digit
	mov	w4, #'\n'
	str	w4, [x1]
	ldr	w0, =0x84000008				/* PSCI SYSTEM_OFF */
	hvc	#0
	b	.
	.ltorg

	/* An exception that a workload did not ask for ends the run with `!`, the low half of FAR_EL1 and that of ESR_EL1 in place of a sum. */
	.weak	on_lower_sync
	.set	on_lower_sync, unexpected
unexpected:
	ldr	x1, =UART
	mov	w0, #'!'
	str	w0, [x1]
	mrs	x0, esr_el1
	mrs	x1, far_el1
	orr	x0, x0, x1, lsl #32
	adrp	x30, run + 4
	add	x30, x30, :lo12:run + 4
	ret

	.macro	vector target
	.balign	0x80
	b	\target
	.endm
	.balign	0x800
vectors:
	.rept	8
	vector	unexpected
	.endr
	vector	on_lower_sync
	.rept	7
	vector	unexpected
	.endr

	.section .rodata
	.balign	8
	.global rounds, size
rounds:	.quad	workload_rounds
size:	.quad	workload_size
