/** A board with GICv2: two vCPUs that interrupt each other through its frames, alike on every engine, and when they go back in time. */

import { describe, expect, test } from 'vitest';
import { boot, type BootOptions } from '../../actors/boot.ts';
import { readImage } from '../../actors/images.ts';
import { ENGINES } from '../../machines/aarch64/board.ts';
import { goTo, keepHere, openHistory, stepForward, worldOf } from '../../snapshots/history.ts';
import { memoryLines } from '../../snapshots/lines.ts';
import { fingerprint, systemOf } from '../../snapshots/machine.ts';
import { CODE, finish, keep, load, machine, RESULTS, words, type ProgramOptions } from '../support/guest-program.ts';

const GICD = 0x800_0000, GICC = 0x801_0000, SETSPI = 0x802_0040, GICH_VTR = 0x803_0004;
/** Where the vCPUs leave what they acknowledged. */
const LOG = [0x4030_0000, 0x4030_1000] as const;
const LEVELS = [['EL1', { el2: 'none', l1: 'both' }], ['EL2', { el2: 'guest', l1: 'both' }]] as const satisfies readonly (readonly [string, ProgramOptions])[];

/** What both vCPUs do first: vectors, at EL2 with HCR_EL2.IMO, the interface open, all SGIs enabled. X24 counts interrupts, X25 is where they leave what they acknowledged. */
const open = (level: string, log: number): string => `${load('x27', CODE + 0x8000)}; msr VBAR_${level}, x27; ${level === 'EL2' ? 'mrs x1, HCR_EL2; orr x1, x1, #0x10; msr HCR_EL2, x1' : 'isb'}; ${load('x20', GICD)}; ${load('x21', GICC)}; ${load('x25', log)}; movz x24, #0
movz x1, #0xf0; str w1, [x21, #4]; movz x1, #1; str w1, [x21]; movz x1, #0xffff; str w1, [x20, #0x100]`;
/** Until X24 is no longer 0, with interrupts masked but for a moment. */
const wait = (label: string): string => `movz x24, #0; ${label}: wfi; msr DAIFClr, #2; isb; msr DAIFSet, #2; cbz x24, {${label}}`;
const SGIR = (value: number): string => `${load('x1', value)}; str w1, [x20, #0xf00]`;

/** vCPU 0 sends vCPU 1 the SGI 5, which answers with 6; then it writes the SPI 85 to the message frame. */
const program = (level: string): string => `
${open(level, LOG[0])}; ${load('x28', RESULTS)}
mrs x0, ID_AA64PFR0_EL1; ubfx x0, x0, #24, #4; ${keep('x0')}
movz x0, #0; mrs x0, ICC_PMR_EL1; ${keep('x0')}
movz x1, #1; str w1, [x20]; movz x1, #0x800; str w1, [x20, #0xc14]; movz x1, #1; strb w1, [x20, #0x855]; movz x1, #0x20, lsl #16; str w1, [x20, #0x108]
${load('x0', 0xc400_0003)}; movz x1, #1; adr x2, {second}; ${level === 'EL1' ? 'hvc #0' : 'smc #0'}
${SGIR(0x2_0005)}; ${wait('first')}
${load('x2', SETSPI)}; movz x1, #85; str w1, [x2]; ${wait('message')}
${load('x0', 0x8400_0008)}; ${level === 'EL1' ? 'hvc #0' : 'smc #0'}
second: ${open(level, LOG[1])}; ${wait('third')}; ${SGIR(0x1_0006)}
rest: wfi; b {rest}
.org 0x8200
mrs x26, ELR_${level}; add x26, x26, #4; msr ELR_${level}, x26; movz x0, #0xbad; eret
.org 0x8280
ldr w9, [x21, #0xc]; str x9, [x25], #8; str w9, [x21, #0x10]; add x24, x24, #1; eret`;

const options = (more: ProgramOptions): ProgramOptions => ({ vcpus: 2, gic: 2, quantum: 50, ...more });

describe.each(LEVELS)('GICv2 at %s', (level, more) => {
  test.each(ENGINES)('takes SGIs with their senders, and a message interrupt, on the engine %s', (engine) => {
    const ran = finish(machine(program(level), options({ ...more, engine })));
    // ID_AA64PFR0_EL1.GIC, and ICC_PMR_EL1, which is UNDEFINED.
    expect(ran.results(2)).toEqual([0n, 0xbadn]);
    expect([0, 1, 2].map((index) => ran.word(LOG[0] + 8 * index))).toEqual([6n | (1n << 10n), 85n, 0n]);
    expect([0, 1].map((index) => ran.word(LOG[1] + 8 * index))).toEqual([5n, 0n]);
    expect(ran.events.filter(({ event }) => event === 'vgic_update_irq_pending').map(({ vcpu, irq }) => [vcpu, irq])).toEqual([[1, 5], [0, 6], [undefined, 85]]);
    expect(fingerprint(ran.world)).toBe(fingerprint(finish(machine(program(level), options({ ...more, engine: 'reference' }))).world));
  });

  test('goes back with the world: the run from any kept instant ends in the same fingerprint', () => {
    const history = openHistory(systemOf(), machine(program(level), options(more)), memoryLines());
    while (history.cursor < 5000 && stepForward(history) !== undefined) keepHere(history);
    expect(worldOf(history).state.ended?.by).toBe('off');
    const end = fingerprint(worldOf(history));
    const frames = history.cursor;
    for (let frame = frames - 1; frame > 0; frame -= 7) {
      goTo(history, { branch: history.branch, frame, insns: 0 });
      while (stepForward(history) !== undefined);
      expect([frame, history.cursor, fingerprint(worldOf(history))]).toEqual([frame, frames, end]);
    }
  });

  test('has the hypervisor\'s frames where there is an EL2 to use them, and External aborts elsewhere', () => {
    const vectors = `.org 0x8200\nmrs x26, ELR_${level}; add x26, x26, #4; msr ELR_${level}, x26; movz x0, #0xbad; eret`;
    const text = `${load('x28', RESULTS)}; ${load('x27', CODE + 0x8000)}; msr VBAR_${level}, x27; ${load('x1', GICH_VTR)}; ldr w0, [x1]; ${keep('x0')}; ${load('x1', 0x80a_0000)}; ldr w0, [x1]; ${keep('x0')}
      ${load('x0', 0x8400_0008)}; ${level === 'EL1' ? 'hvc #0' : 'smc #0'}\n${vectors}`;
    expect(finish(machine(text, options({ ...more, vcpus: 1 }))).results(2)).toEqual([level === 'EL2' ? 0x9000_0003n : 0xbadn, 0xbadn]);
  });
});

describe('a board cannot have GICv2', () => {
  const kernel = readImage(Uint8Array.from(new Uint8Array(Uint32Array.from(words('stop: b {stop}', CODE)).buffer)), 'program', { at: CODE });
  const made = (more: Partial<BootOptions>) => () => boot({ vcpus: 1, memoryBytes: 4 << 20, el2: 'none', nested: 'none', l1: 'both', gic: 2, kernel, ...more });
  test.each<[string, Partial<BootOptions>, string]>([
    ['with nine vCPUs', { vcpus: 9 }, '--smp 9: with --gic 2 this board has 1 to 8 vCPUs'],
    ['under L0', { el2: 'kvm', l1: 'vhe' }, '--gic 2: L0 gives its guests a GICv3; a GICv2 needs --el2 guest or --el2 none'],
  ])('%s', (_, more, text) => {
    expect(made(more)).toThrow(text);
  });
  test('unless they are eight', () => expect(made({ vcpus: 8 })).not.toThrow());
});
