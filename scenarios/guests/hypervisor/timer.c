/* L2's virtual and physical timers on the hardware's EL1 timers while it runs, and EL2's physical timer in their place while it sleeps. */
#include "hypervisor.h"

void timers_restore(struct cpu *cpu)
{
  if (cpu->vhe) {
    write_sysreg(CNTV_CVAL_EL02, cpu->virtual_timer.cval);
    write_sysreg(CNTP_CVAL_EL02, cpu->physical_timer.cval);
    isb();
    write_sysreg(CNTV_CTL_EL02, cpu->virtual_timer.ctl);
    write_sysreg(CNTP_CTL_EL02, cpu->physical_timer.ctl);
  } else {
    write_sysreg(CNTV_CVAL_EL0, cpu->virtual_timer.cval);
    write_sysreg(CNTP_CVAL_EL0, cpu->physical_timer.cval);
    isb();
    write_sysreg(CNTV_CTL_EL0, cpu->virtual_timer.ctl);
    write_sysreg(CNTP_CTL_EL0, cpu->physical_timer.ctl);
  }
}

void timers_save(struct cpu *cpu)
{
  if (cpu->vhe) {
    cpu->virtual_timer.ctl = read_sysreg(CNTV_CTL_EL02);
    cpu->virtual_timer.cval = read_sysreg(CNTV_CVAL_EL02);
    cpu->physical_timer.ctl = read_sysreg(CNTP_CTL_EL02);
    cpu->physical_timer.cval = read_sysreg(CNTP_CVAL_EL02);
    write_sysreg(CNTV_CTL_EL02, 0);
    write_sysreg(CNTP_CTL_EL02, 0);
  } else {
    cpu->virtual_timer.ctl = read_sysreg(CNTV_CTL_EL0);
    cpu->virtual_timer.cval = read_sysreg(CNTV_CVAL_EL0);
    cpu->physical_timer.ctl = read_sysreg(CNTP_CTL_EL0);
    cpu->physical_timer.cval = read_sysreg(CNTP_CVAL_EL0);
    write_sysreg(CNTV_CTL_EL0, 0);
    write_sysreg(CNTP_CTL_EL0, 0);
  }
  isb();
}

static int armed(const struct timer *timer) { return (timer->ctl & (TIMER_ENABLE | TIMER_IMASK)) == TIMER_ENABLE; }

/* When the first of L2's armed timers fires, in the physical count. Never: all ones. */
static u64 deadline(struct cpu *cpu)
{
  u64 first = ~0UL;
  if (armed(&cpu->virtual_timer)) first = cpu->virtual_timer.cval + cpu->guest.cntvoff;
  if (armed(&cpu->physical_timer) && cpu->physical_timer.cval < first) first = cpu->physical_timer.cval;
  return first;
}

int timers_expired(struct cpu *cpu)
{
  u64 first = deadline(cpu);
  if (first == ~0UL) return 0;
  isb();
  return read_sysreg(CNTPCT_EL0) >= first;
}

void timer_background_start(struct cpu *cpu)
{
  u64 first = deadline(cpu);
  if (first == ~0UL) return;
  if (cpu->vhe) {
    write_sysreg(CNTP_CVAL_EL0, first);
    write_sysreg(CNTP_CTL_EL0, TIMER_ENABLE);
  } else {
    write_sysreg(CNTHP_CVAL_EL2, first);
    write_sysreg(CNTHP_CTL_EL2, TIMER_ENABLE);
  }
  isb();
}

void timer_background_stop(struct cpu *cpu)
{
  if (deadline(cpu) == ~0UL) return;
  if (cpu->vhe) write_sysreg(CNTP_CTL_EL0, 0);
  else write_sysreg(CNTHP_CTL_EL2, 0);
  isb();
}
