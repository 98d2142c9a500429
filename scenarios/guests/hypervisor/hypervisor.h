/* The state of tiny-hypervisor, and what its files call in one another. */
#ifndef HYPERVISOR_H
#define HYPERVISOR_H

#include "../abi.h"
#include "sysreg.h"

#define CPUS_MAX 4
#define LIST_REGISTERS_MAX 16
#define QUEUE_MAX 32
#define LINE_MAX 64

/* The board: QEMU's virt. */
#define UART      0x09000000UL
#define GICD      0x08000000UL
#define GICR      0x080a0000UL
#define GICR_CPU  0x20000UL
#define RAM       0x40000000UL
#define RAM_END   0x80000000UL /* where a device tree may lie; L1 itself uses 128 MiB */
#define L2_RAM_PA 0x44000000UL

#define KICK_SGI  1
#define PRIORITY  0xa0

/* The guest's EL1 context: field, its register under nvhe, its register under vhe. In the order it is switched. */
#define EL1_CONTEXT(ROW)                                \
  ROW(csselr,     CSSELR_EL1,     CSSELR_EL1)           \
  ROW(sctlr,      SCTLR_EL1,      SCTLR_EL12)           \
  ROW(actlr,      ACTLR_EL1,      ACTLR_EL1)            \
  ROW(cpacr,      CPACR_EL1,      CPACR_EL12)           \
  ROW(ttbr0,      TTBR0_EL1,      TTBR0_EL12)           \
  ROW(ttbr1,      TTBR1_EL1,      TTBR1_EL12)           \
  ROW(tcr,        TCR_EL1,        TCR_EL12)             \
  ROW(esr,        ESR_EL1,        ESR_EL12)             \
  ROW(afsr0,      AFSR0_EL1,      AFSR0_EL12)           \
  ROW(afsr1,      AFSR1_EL1,      AFSR1_EL12)           \
  ROW(far,        FAR_EL1,        FAR_EL12)             \
  ROW(mair,       MAIR_EL1,       MAIR_EL12)            \
  ROW(amair,      AMAIR_EL1,      AMAIR_EL12)           \
  ROW(vbar,       VBAR_EL1,       VBAR_EL12)            \
  ROW(contextidr, CONTEXTIDR_EL1, CONTEXTIDR_EL12)      \
  ROW(cntkctl,    CNTKCTL_EL1,    CNTKCTL_EL12)         \
  ROW(par,        PAR_EL1,        PAR_EL1)              \
  ROW(tpidr_el1,  TPIDR_EL1,      TPIDR_EL1)            \
  ROW(sp_el1,     SP_EL1,         SP_EL1)               \
  ROW(elr,        ELR_EL1,        ELR_EL12)             \
  ROW(spsr,       SPSR_EL1,       SPSR_EL12)            \
  ROW(tpidr_el0,  TPIDR_EL0,      TPIDR_EL0)            \
  ROW(tpidrro,    TPIDRRO_EL0,    TPIDRRO_EL0)          \
  ROW(sp_el0,     SP_EL0,         SP_EL0)               \
  ROW(mdscr,      MDSCR_EL1,      MDSCR_EL1)

/* Hypervisor controls: field, its register under nvhe, under vhe. All are written on entry; SWITCHED ones have a host value to go back to. */
#define CONTROLS_SWITCHED(ROW)                          \
  ROW(vttbr,   VTTBR_EL2,   VTTBR_EL2)                  \
  ROW(cptr,    CPTR_EL2,    CPACR_EL1)                  \
  ROW(mdcr,    MDCR_EL2,    MDCR_EL2)                   \
  ROW(hstr,    HSTR_EL2,    HSTR_EL2)                   \
  ROW(cnthctl, CNTHCTL_EL2, CNTHCTL_EL2)                \
  ROW(cntvoff, CNTVOFF_EL2, CNTVOFF_EL2)                \
  ROW(hcr,     HCR_EL2,     HCR_EL2)
#define CONTROLS_FIXED(ROW)                             \
  ROW(vtcr,    VTCR_EL2,    VTCR_EL2)                   \
  ROW(vpidr,   VPIDR_EL2,   VPIDR_EL2)                  \
  ROW(vmpidr,  VMPIDR_EL2,  VMPIDR_EL2)

#define FIELD(field, nvhe, vhe) u64 field;

struct controls { CONTROLS_FIXED(FIELD) CONTROLS_SWITCHED(FIELD) };

struct timer { u64 ctl, cval; };

struct queued { u32 vintid; u8 priority; u8 hardware; };

enum exit_code { EXIT_SYNC, EXIT_IRQ, EXIT_SERROR };

/* One CPU of L1 and the L2 vCPU that lives on it: a page of its own, its stack in the next one. */
struct cpu {
  u64 x[31]; /* switch.S knows this offset: 0 */
  u64 pc, pstate;
  u64 esr, far, hpfar; /* of the last exit */
  u32 index, on;
  u32 vhe, acknowledged; /* acknowledged: INTID of the last IRQ exit */
  struct { EL1_CONTEXT(FIELD) } el1;
  struct controls guest, host;
  struct timer virtual_timer, physical_timer;
  /* the virtual CPU interface */
  u64 ich_hcr, vmcr, ap0r0, ap1r0, lr[LIST_REGISTERS_MAX];
  u32 lr_count, lr_used, queue_used, line_used;
  struct queued queue[QUEUE_MAX]; /* what has no list register yet, highest priority first */
  u64 scratch;
  u64 count[COUNT_KINDS];
  char line[LINE_MAX];
};

/* What CPUs share, in pages of its own. Written before the other CPUs start, but for the last four, which are atomic or under their lock. */
struct shared {
  u32 vhe, cpus;
  u64 vm_offset;
  char payload[32];
  u32 console_lock, stage2_lock;
  u32 done, failed;
  u64 sgi_pending[CPUS_MAX];
};
extern struct shared shared;

/* Nonzero: the second vCPU is resumed with the ELR_EL2 from before a forwarded exception. Read at each forward. */
extern volatile u64 fault_stale_elr;

struct cpu *cpu_of(u32 index);

/* start.S, switch.S */
extern char vectors[], secondary_start[];
u64 smc(u64 function, u64 a, u64 b, u64 c);
u64 guest_enter(struct cpu *cpu);

/* fdt.c */
struct fdt_facts { const char *bootargs; u32 cpus; };
int fdt_read(const void *fdt, struct fdt_facts *facts);

/* boot.c */
void vcpu_reset(struct cpu *cpu, u64 entry, u64 argument);

/* stage1.c, stage2.c */
void stage1_build(int vhe);
void stage1_enable(int vhe);
u64 physical_range(void);
void stage2_build(void);
u64 stage2_vttbr(void);
u64 stage2_vtcr(void);
int stage2_fault(struct cpu *cpu, u64 ipa, int permission, int write);

/* gic.c */
void gic_distributor_init(void);
void gic_cpu_init(struct cpu *cpu);
u32 gic_acknowledge(void);
void gic_handle(struct cpu *cpu, u32 intid);
void gic_kick(u32 index);

/* vgic.c */
void vgic_queue(struct cpu *cpu, u32 vintid, u8 priority, int hardware);
void vgic_send_sgi(struct cpu *cpu, u64 sgi1r);
void vgic_flush(struct cpu *cpu);
int vgic_pending(struct cpu *cpu);
void vgic_restore(struct cpu *cpu);
void vgic_save(struct cpu *cpu);

/* timer.c */
void timers_restore(struct cpu *cpu);
void timers_save(struct cpu *cpu);
int timers_expired(struct cpu *cpu);
void timer_background_start(struct cpu *cpu);
void timer_background_stop(struct cpu *cpu);

/* switch.c */
enum exit_code world_switch(struct cpu *cpu);

/* exits.c */
void handle_exit(struct cpu *cpu, enum exit_code code);

/* console.c */
void lock(u32 *word);
void unlock(u32 *word);
u64 atomic_or(u64 *word, u64 bits);
u64 atomic_take(u64 *word);
u32 atomic_increment(u32 *word);
void put(const char *text);
void put_hex(u64 value);
void put_decimal(u32 value);
void put_char(char c);
void console_init(void);
void power_off(void) __attribute__((noreturn));
void result(const char *reason, struct cpu *cpu, u64 address) __attribute__((noreturn));
void panic(u64 esr, u64 elr, u64 far) __attribute__((noreturn));

#endif
