/* The PL011, the words printed on it, locks and atomics, and how a run ends. */
#include "hypervisor.h"

#define UART_DR    0x00
#define UART_FR    0x18
#define UART_LCR_H 0x2c
#define UART_CR    0x30
#define FR_BUSY    BIT(3)
#define FIFO_DEPTH 16

static volatile u32 *uart(u32 offset) { return (volatile u32 *)(UART + offset); }

void console_init(void)
{
  *uart(UART_LCR_H) = 0x70; /* 8 bits, FIFOs on */
  *uart(UART_CR) = 0x101;   /* transmit, on */
}

static u32 in_fifo __attribute__((section(".shared"))); /* under the console lock */

/* Waits for an idle transmitter once in FIFO_DEPTH characters rather than for room before each: a device access is an exit under L0. */
void put_char(char c)
{
  if (in_fifo == 0) while (*uart(UART_FR) & FR_BUSY) ;
  in_fifo = (in_fifo + 1) % FIFO_DEPTH;
  *uart(UART_DR) = (u8)c;
}

void put(const char *text) { while (*text) put_char(*text++); }

void put_hex(u64 value)
{
  int shift = 60;
  while (shift && !(value >> shift)) shift -= 4;
  put("0x");
  for (; shift >= 0; shift -= 4) put_char("0123456789abcdef"[value >> shift & 15]);
}

void put_decimal(u32 value)
{
  if (value >= 10) put_decimal(value / 10);
  put_char('0' + value % 10);
}

void lock(u32 *word)
{
  u32 old, failed;
  asm volatile(
    "1: ldaxr %w0, [%2]\n"
    "   cbnz  %w0, 1b\n"
    "   stxr  %w1, %w3, [%2]\n"
    "   cbnz  %w1, 1b\n"
    : "=&r"(old), "=&r"(failed) : "r"(word), "r"(1) : "memory");
}

void unlock(u32 *word) { asm volatile("stlr wzr, [%0]" : : "r"(word) : "memory"); }

u64 atomic_or(u64 *word, u64 bits)
{
  u64 old, new;
  u32 failed;
  asm volatile(
    "1: ldaxr %0, [%3]\n"
    "   orr   %1, %0, %4\n"
    "   stlxr %w2, %1, [%3]\n"
    "   cbnz  %w2, 1b\n"
    : "=&r"(old), "=&r"(new), "=&r"(failed) : "r"(word), "r"(bits) : "memory");
  return old;
}

/* Reads and clears. */
u64 atomic_take(u64 *word)
{
  u64 old;
  u32 failed;
  asm volatile(
    "1: ldaxr %0, [%2]\n"
    "   stlxr %w1, xzr, [%2]\n"
    "   cbnz  %w1, 1b\n"
    : "=&r"(old), "=&r"(failed) : "r"(word) : "memory");
  return old;
}

/* The value after. */
u32 atomic_increment(u32 *word)
{
  u32 new, failed;
  asm volatile(
    "1: ldaxr %w0, [%2]\n"
    "   add   %w0, %w0, #1\n"
    "   stlxr %w1, %w0, [%2]\n"
    "   cbnz  %w1, 1b\n"
    : "=&r"(new), "=&r"(failed) : "r"(word) : "memory");
  return new;
}

void power_off(void)
{
  smc(PSCI_SYSTEM_OFF, 0, 0, 0);
  for (;;) asm volatile("wfi");
}

/* The last line of a run. `reason` 0: PASS. `address` 0: none to print. The console lock is kept: nobody prints after. */
void result(const char *reason, struct cpu *cpu, u64 address)
{
  lock(&shared.console_lock);
  put("RESULT ");
  put(shared.payload);
  if (!reason) {
    put(" PASS");
  } else {
    put(" FAIL vcpu");
    put_decimal(cpu->index);
    put(": ");
    put(reason);
    if (address) { put_char(' '); put_hex(address); }
  }
  put_char('\n');
  power_off();
}

/* Takes no lock: it may be the holder that fell. */
void panic(u64 esr, u64 elr, u64 far)
{
  put("PANIC esr=");
  put_hex(esr);
  put(" elr=");
  put_hex(elr);
  put(" far=");
  put_hex(far);
  put_char('\n');
  power_off();
}
