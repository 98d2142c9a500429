/* What every payload has: hypercalls, its vectors' hooks, waiting for interrupts, its own MMU. */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include "../abi.h"
#include "../hypervisor/sysreg.h"

#define VCPUS_MAX 4

/* Each payload defines this one: 0 if the vCPU passed, else why not. `count`: L2's vCPUs, all of which run it. */
const char *payload(u32 index, u32 count);

/* Hooks, called by the vectors with interrupts masked; the defaults end the run. `on_sync` returns where to go on. */
u64 on_sync(u64 esr, u64 elr, u64 far, u64 spsr);
void on_irq(void);

u64 hvc(u64 function, u64 a, u64 b, u64 c);
void done(const char *reason) __attribute__((noreturn));
void marker(u64 number);
void print(const char *line);

u32 my_index(void);
void mmu_on(void);
void mmu_map_table(u64 va, u64 table); /* a level-3 table for the 2 MiB at va, in the second GiB */
void gic_on(u32 eoi_mode);
void send_sgi(u32 target, u32 sgi);

static inline u32 acknowledge(void) { return read_sysreg(ICC_IAR1_EL1) & 0xffffff; }
static inline void end_of_interrupt(u32 intid) { write_sysreg(ICC_EOIR1_EL1, intid); isb(); }
#define SPURIOUS 1023

static inline void irqs_off(void) { asm volatile("msr daifset, #2" : : : "memory"); }
static inline void irqs_on(void) { asm volatile("msr daifclr, #2" : : : "memory"); }
static inline void wfi(void) { asm volatile("dsb sy\n wfi" : : : "memory"); }

/* Waits by WFI until `condition`, which an interrupt handler makes true. No wake-up is lost: the check is made masked. */
#define WAIT_FOR(condition) do { irqs_off(); while (!(condition)) { wfi(); irqs_on(); isb(); irqs_off(); } irqs_on(); } while (0)

#endif
