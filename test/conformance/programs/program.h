/* What programs of the system-level oracle share: system registers by name, what start.S offers, and table descriptors. */

#pragma once
typedef unsigned long uint64_t;
typedef unsigned int uint32_t;

#define READ(name) ({ uint64_t value_; __asm__ volatile("mrs %0, " #name : "=r"(value_)); value_; })
#define WRITE(name, value) __asm__ volatile("msr " #name ", %0" :: "r"((uint64_t)(value)) : "memory")
#define ISB() __asm__ volatile("isb" ::: "memory")
#define DSB() __asm__ volatile("dsb sy" ::: "memory")
#define DO(text) __asm__ volatile(text ::: "memory")

/* Registers as a vector saved them: x0 to x18, x29, x30. */
struct frame { uint64_t x[34]; };

void main(void);
void taken_el1(struct frame *frame, uint64_t vector);
void taken_el2(struct frame *frame, uint64_t vector);
uint64_t run_lower(uint64_t (*entry)(uint64_t), uint64_t argument, uint64_t spsr);
void leave_lower(uint64_t result) __attribute__((noreturn));
uint64_t touch(uint64_t address, uint64_t kind);

/* The upper ends of 64 KiB each. */
extern char stack_el0[], stack_el1[], stack_el2[];

enum { VALID = 1, TABLE = 3, PAGE = 3, AF = 1 << 10, NG = 1 << 11, SHARED = 3 << 8 };
#define AP(value) ((uint64_t)(value) << 6)
#define ATTRIBUTE(index) ((uint64_t)(index) << 2)
#define PXN (1ul << 53)
#define UXN (1ul << 54)
