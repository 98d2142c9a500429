/* Where a program of the system-level oracle begins, at EL2 with the MMU off: stack, vectors of EL2 and EL1, main, and a loop at the end. */

    .section .text.start, "ax"
    .globl start
start:
    ldr x0, =stack_el2
    mov sp, x0
    adr x0, vectors_el2
    msr vbar_el2, x0
    adr x0, vectors_el1
    msr vbar_el1, x0
    isb
    bl main
end:
    b end

/* Every vector saves all general registers, calls its function with them, the level and the vector, and returns to where ELR then points. */
    .macro vector level, number
    .balign 0x80
    sub sp, sp, #272
    stp x0, x1, [sp]
    stp x2, x3, [sp, #16]
    mov x1, #\number
    b common_el\level
    .endm

    .macro common level
common_el\level:
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x29, [sp, #144]
    str x30, [sp, #160]
    mov x0, sp
    bl taken_el\level
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x29, [sp, #144]
    ldr x30, [sp, #160]
    ldp x2, x3, [sp, #16]
    ldp x0, x1, [sp]
    add sp, sp, #272
    eret
    .endm

    .balign 0x800
vectors_el2:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vector 2, \number
    .endr
    .balign 0x800
vectors_el1:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vector 1, \number
    .endr
    common 2
    common 1

/* uint64_t run_lower(entry, argument, spsr): ERET to entry with its argument in x0; leave_lower returns from here. */
    .globl run_lower
run_lower:
    sub sp, sp, #96
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    adr x4, lower_stack
    mov x3, sp
    str x3, [x4]
    msr elr_el2, x0
    msr spsr_el2, x2
    mov x0, x1
    isb
    eret

/* leave_lower(result): from the handler of EL2 to the caller of run_lower. */
    .globl leave_lower
leave_lower:
    adr x1, lower_stack
    ldr x1, [x1]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    add sp, sp, #96
    ret

/* uint64_t touch(address, kind): an access that may fault; a handler passes over it. */
    .globl touch
touch:
    cmp x1, #0
    b.eq 1f
    cmp x1, #1
    b.eq 2f
    cmp x1, #2
    b.eq 3f
    cmp x1, #3
    b.eq 4f
    cmp x1, #4
    b.eq 5f
    cmp x1, #5
    b.eq 6f
    ldp x0, x1, [x0]
    ret
1:  ldr x0, [x0]
    ret
2:  str x1, [x0]
    ret
3:  ldtr x0, [x0]
    ret
4:  sttr x1, [x0]
    ret
5:  ldrh w0, [x0, #1]
    ret
6:  dc zva, x0
    ret

    .balign 8
lower_stack:
    .quad 0
