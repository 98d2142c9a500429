/** U-Boot, as Debian ships it, on bare EL2 and at virtual EL2 under both mechanisms: it must not be able to tell where it is. */

import { beforeAll, describe, expect, test } from 'vitest';
import { IMAGE, installed, registersAtPrompt, runAtPrompt, runUBoot, type GuestRun } from './u-boot.ts';

/** The first byte answers the autoboot prompt. */
const INPUT = 'x\rversion\rbdinfo\r';

/** Takes an exception to its own level through vectors of its own, and comes back by ERET. */
const PROGRAM = {
  0x4900_0000: ['movz x10, #0x4900, lsl #16', 'orr x10, x10, #0x1000', 'msr vbar_el2, x10', 'isb', 'svc #7', 'mrs x0, currentel', 'b 0x49000018'],
  // Synchronous, current level with its own stack pointer.
  0x4900_1200: ['mrs x1, esr_el2', 'mrs x2, elr_el2', 'mrs x3, spsr_el2', 'eret'],
};
const PROGRAM_END = 0x4900_0018;

const TIME = 'tells the time, and at virtual EL2 L0 takes some';
const HIDDEN = 'of FEAT_ECV, which L0 keeps to itself: ID registers say that it is not there, but no control of the architecture takes the register away';
const IN_PAGE = 'FEAT_NV2 makes it memory, whatever L0 shows';
/** Registers that read differently at virtual EL2, and why. All others must read the same. */
const DIFFERENT: Readonly<Record<string, string>> = {
  CNTPCT_EL0: TIME, CNTVCT_EL0: TIME, CNTP_TVAL_EL0: TIME, CNTV_TVAL_EL0: TIME, CNTHP_TVAL_EL2: TIME, CNTHV_TVAL_EL2: TIME, CNTP_TVAL_EL02: TIME, CNTV_TVAL_EL02: TIME,
  CNTPCTSS_EL0: HIDDEN, CNTVCTSS_EL0: HIDDEN, CNTPOFF_EL2: IN_PAGE, VNCR_EL2: IN_PAGE,
};

const WHERE = `(needs ${IMAGE} of Debian's package u-boot-qemu)`;

test.skipIf(!installed && !process.env['CI'])(`U-Boot is here, as in CI it must be ${WHERE}`, () => {
  expect(installed, 'CI installs u-boot-qemu').toBe(true);
});

describe.skipIf(!installed).each(['vhe', 'nvhe'] as const)(`U-Boot on an EL2 of flavour %s ${WHERE}`, (l1) => {
  let bare: GuestRun;
  beforeAll(() => { bare = runUBoot({ el2: 'guest', nested: 'none', l1 }, INPUT); });

  test('reaches its prompt on bare EL2 and answers version and bdinfo', () => {
    expect(bare.console).toMatch(/^\s*U-Boot 20\d\d\.\d\d/);
    expect(bare.console).toMatch(/DRAM: +512 MiB\r?\n/);
    expect(bare.console).toMatch(/=> version\r?\nU-Boot 20\d\d\.\d\d[^\n]*\n\r?\n[^\n]*gcc/);
    expect(bare.console).toMatch(/=> bdinfo\r?\n(.*\r?\n)*-> start {4}= 0x0000000040000000\r?\n-> size {5}= 0x0000000020000000\r?\n/);
    expect(bare.console.endsWith('=> ')).toBe(true);
  });

  test('takes an exception to its own EL2 and returns from it', () => {
    const { x, accesses } = runAtPrompt(bare, PROGRAM, PROGRAM_END);
    // SVC 7 from AArch64, at EL2h.
    expect(x.slice(0, 3)).toEqual([8n, 0x5600_0007n, 0x4900_0014n]);
    expect(x[3]! & 0xfn).toBe(9n);
    expect(accesses.at(-2)).toBe('4900120c eret  49000014');
  });

  describe.each(['nv2', 'nv'] as const)('under L0 with %s', (nested) => {
    let virtual: GuestRun;
    beforeAll(() => { virtual = runUBoot({ el2: 'kvm', nested, l1 }, INPUT); });

    test('the console texts are equal', () => {
      expect(virtual.console).toBe(bare.console);
    });

    test('every CurrentEL read gives 0x8', () => {
      expect([...bare.currentEls]).toEqual([8n]);
      expect([...virtual.currentEls]).toEqual([8n]);
    });

    test('the sequence of (PC, system register or ERET, value) is equal', () => {
      expect(virtual.accesses.length).toBeGreaterThan(20_000);
      const first = virtual.accesses.findIndex((access, index) => access !== bare.accesses[index]);
      expect({ first, virtual: virtual.accesses[first] }).toEqual({ first: -1, virtual: undefined });
      expect(virtual.accesses.length).toBe(bare.accesses.length);
    });

    test('as many instructions were attempted, but for rounds of its delay loop, and L0 did take part', () => {
      // The driver of flash waits a microsecond behind commands, by looking at the counter, which goes on while L0 works.
      expect(Math.abs(virtual.insns - bare.insns)).toBeLessThan(200);
      expect(bare.exits).toEqual({});
      expect(virtual.exits['L1 DABT_LOW']).toBeGreaterThan(1000);
    });

    test('an exception within EL2 and the return from it are equal', () => {
      expect(runAtPrompt(virtual, PROGRAM, PROGRAM_END)).toEqual(runAtPrompt(bare, PROGRAM, PROGRAM_END));
    });

    test('every register reads the same at the prompt, but for those that are named', () => {
      const [real, ours] = [registersAtPrompt(bare), registersAtPrompt(virtual)];
      // U-Boot has turned its MMU on: SCTLR_EL2.{I, C, M}.
      expect(Number(`0x${real.get('SCTLR_EL2')}`) & 0x1005).toBe(0x1005);
      const differing = [...real].filter(([name, value]) => ours.get(name) !== value).map(([name, value]) => ({ name, real: value, virtual: ours.get(name) }));
      expect(differing.filter(({ name }) => DIFFERENT[name] === undefined)).toEqual([]);
    });
  });
});
