/*
 * A loop that loads from and stores to eight words: where `size` is 1 they lie in the loop's own page, else in another. Self-modifying code
 * looks the same to whoever watches pages and not bytes.
 */
	.text
	.global main
main:
	stp	x29, x30, [sp, #-16]!
	adrp	x0, size
	ldr	x1, [x0, :lo12:size]
	adrp	x2, rounds
	ldr	x2, [x2, :lo12:rounds]
	adrp	x0, elsewhere
	add	x0, x0, :lo12:elsewhere
	adrp	x3, beside
	add	x3, x3, :lo12:beside
	cmp	x1, #0
	csel	x0, x0, x3, eq
	mov	x1, x2
	ldr	x2, =loop
	blr	x2
	ldp	x29, x30, [sp], #16
	ret
	.ltorg

	.section .mixed, "awx"
	.balign	4096
loop:
	mov	x2, #0
	mov	x3, #1
again:
	and	x4, x1, #7
	ldr	x5, [x0, x4, lsl #3]
	add	x5, x5, x3
	eor	x2, x2, x5
	str	x5, [x0, x4, lsl #3]
	add	x3, x3, x2, lsr #7
	ror	x2, x2, #9
	tbz	x3, #3, even
	sub	x3, x3, x1
	orr	x2, x2, #1
even:
	subs	x1, x1, #1
	b.ne	again
	eor	x0, x2, x3
	ret
	.balign	2048
beside:	.skip	64

	.bss
	.balign	4096
elsewhere:	.skip	64
