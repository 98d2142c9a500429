/* The few facts L1 wants of a flattened device tree: /chosen bootargs, and how many CPUs /cpus has. Runs with the MMU off. */
#include "hypervisor.h"

static u32 big_endian(const u32 *word) { return __builtin_bswap32(*word); }

static int same(const char *a, const char *b)
{
  while (*a && *a == *b) { a++; b++; }
  return *a == *b;
}

static int starts(const char *text, const char *prefix)
{
  while (*prefix) if (*text++ != *prefix++) return 0;
  return 1;
}

/* Nonzero if `fdt` is a device tree. `facts` must hold what to assume where it says nothing. */
int fdt_read(const void *fdt, struct fdt_facts *facts)
{
  const u32 *header = fdt;
  enum { BEGIN = 1, END = 2, PROPERTY = 3, NOP = 4 };
  if (((u64)fdt & 3) || (u64)fdt < RAM || (u64)fdt >= RAM_END || big_endian(header) != 0xd00dfeed) return 0;
  const u32 *token = (const u32 *)((const char *)fdt + big_endian(header + 2));
  const char *strings = (const char *)fdt + big_endian(header + 3);
  enum { OTHER, CHOSEN, CPUS } inside = OTHER;
  u32 depth = 0, cpus = 0;
  for (;;) {
    u32 kind = big_endian(token++);
    if (kind == BEGIN) {
      const char *name = (const char *)token;
      depth++;
      if (depth == 2) inside = same(name, "chosen") ? CHOSEN : same(name, "cpus") ? CPUS : OTHER;
      else if (depth == 3 && inside == CPUS && starts(name, "cpu@")) cpus++;
      while (*name) name++;
      token = (const u32 *)(((u64)name + 4) & ~3UL);
    } else if (kind == END) {
      depth--;
    } else if (kind == PROPERTY) {
      u32 bytes = big_endian(token);
      if (depth == 2 && inside == CHOSEN && same(strings + big_endian(token + 1), "bootargs"))
        facts->bootargs = (const char *)(token + 2);
      token = (const u32 *)((const char *)token + 8 + ((bytes + 3) & ~3U));
    } else if (kind != NOP) {
      break; /* the end, or nonsense */
    }
  }
  if (cpus) facts->cpus = cpus;
  return 1;
}
