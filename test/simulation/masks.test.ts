/** Interrupts that pend while PSTATE masks them are taken at the same instruction on every engine: random programs that mask, unmask, arm timers and interrupt themselves and each other. */

import { describe, expect, test } from 'vitest';
import type { World } from '../../actors/world.ts';
import { ENGINES, type EngineName } from '../../machines/aarch64/board.ts';
import { generator } from '../../snapshots/explore.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { CODE, load, machine, type ProgramOptions } from '../support/guest-program.ts';
import { switchEngine } from '../support/perturb.ts';
import { seedOr, THOROUGH } from '../support/scenario.ts';

const SEED = seedOr(1);
const PROGRAMS = THOROUGH ? 40 : 2;
const INSNS = 40_000;
/** Frames from one look at the whole world to the next. */
const LOOK_FRAMES = 50;

type Draw = (below: number) => number;
const pick = <T>(draw: Draw, list: readonly T[]): T => list[draw(list.length)]!;
const plain = systemOf();

interface Board { readonly name: string; readonly level: 'EL1' | 'EL2'; readonly options: ProgramOptions }
const BOARDS: readonly Board[] = [
  { name: 'bare EL1', level: 'EL1', options: { el2: 'none', l1: 'both' } },
  { name: 'bare EL1 with a GICv2', level: 'EL1', options: { el2: 'none', l1: 'both', gic: 2 } },
  { name: 'bare EL2, nVHE', level: 'EL2', options: { el2: 'guest', l1: 'nvhe' } },
  { name: 'bare EL2, VHE', level: 'EL2', options: { el2: 'guest', l1: 'vhe' } },
  { name: 'virtual EL2, nv2', level: 'EL2', options: { el2: 'kvm', nested: 'nv2', l1: 'vhe' } },
  { name: 'virtual EL2, nv', level: 'EL2', options: { el2: 'kvm', nested: 'nv', l1: 'nvhe' } },
];

// X16: data of the vCPU's own; X17: data of both; X18, X19: GICD and GICC, or GICD and the redistributors. X20 to X29 are the handlers'.
const WORK = ['add x1, x1, x2', 'eor x3, x3, x1, lsl #3', 'str x1, [x16, #8]', 'ldr x2, [x16, #8]', 'adds x4, x4, x1', 'csinc x5, x4, x3, cs', 'ccmp x1, x3, #5, ne', 'ldadd x1, x6, [x17]', 'dc cvac, x16', 'isb', 'nop'];

/** One piece of a program; `place` makes its labels its own. */
function piece(draw: Draw, { level, options }: Board, vcpus: number, place: string): string {
  const work = (): string => ['nop', ...Array.from({ length: draw(6) }, () => pick(draw, WORK))].join('; ');
  const rounds = (inside: string): string => `movz x0, #${5 + draw(50)}; ${place}: ${inside}; sub x0, x0, #1; cbnz x0, {${place}}`;
  const masked = (inside: string): string => `mrs x9, DAIF; msr daifset, #${pick(draw, [2, 2, 3, 7, 15])}; ${inside}; msr DAIF, x9`;
  const old = options.gic === 2;
  switch (draw(13)) {
    case 0: return masked(work());
    case 1: return masked(`${work()}; mrs x10, DAIF; msr daifset, #3; ${work()}; msr DAIF, x10; ${work()}`);
    case 2: return rounds(masked(work()));
    case 3: return rounds(`msr daifclr, #2; ${work()}; msr daifset, #2; ${work()}`);
    case 4: return `msr ${pick(draw, ['daifclr', 'daifset'])}, #${draw(16)}`;
    case 5: case 6: {
      const timer = pick(draw, level === 'EL1' ? ['CNTV', 'CNTP'] : ['CNTV', 'CNTP', 'CNTHP']);
      const suffix = timer === 'CNTHP' ? 'EL2' : 'EL0';
      return `movz x9, #${1 + draw(30)}; msr ${timer}_TVAL_${suffix}, x9; movz x10, #1; msr ${timer}_CTL_${suffix}, x10`;
    }
    case 7: return old ? `${load('x9', 0x0200_0000 + draw(16))}; str w9, [x18, #0xf00]` : `${load('x9', (draw(16) << 24) | 1)}; msr ICC_SGI1R_EL1, x9`;
    case 8:
      if (vcpus < 2) return work();
      return old ? `${load('x9', 0x0100_0000 + draw(16))}; str w9, [x18, #0xf00]` : `${load('x9', BigInt(draw(16) << 24) | (1n << 40n))}; msr ICC_SGI1R_EL1, x9`;
    case 9: {
      const priority = pick(draw, [0xf8, 0x80, 0x40, 0]);
      const set = (value: number): string => `movz x9, #${value}; ${old ? 'str w9, [x19, #4]' : 'msr ICC_PMR_EL1, x9'}`;
      return `${set(priority)}; ${work()}; ${set(0xf8)}`;
    }
    case 10: return `movz x9, #${1 + draw(20)}; msr CNTV_TVAL_EL0, x9; movz x10, #1; msr CNTV_CTL_EL0, x10; wfi`;
    case 11: return `tbz x1, #${draw(30)}, {${place}}; ${work()}; msr daifclr, #2\n${place}: nop`;
    default: return rounds(work());
  }
}

/** Two loops, one for each vCPU, and handlers that fold what they see, and when, into X22 and X24, and count in X25. */
function programOf(draw: Draw, board: Board, vcpus: number): string {
  const { level, options } = board;
  const old = options.gic === 2;
  const body = (name: string): string => Array.from({ length: 10 + draw(25) }, (_, index) => piece(draw, board, vcpus, `${name}${index}`)).join('\n');
  const redistributor = `add x10, x19, #0x10, lsl #12; add x11, x10, x15, lsl #17; ${load('x9', 0xffff_ffff)}; str w9, [x11, #0x80]; str w9, [x11, #0x100]`;
  return `
movz x15, #0
${vcpus < 2 ? '' : `${load('x0', 0xc400_0003)}; movz x1, #1; adr x2, {second}; movz x3, #0; ${level === 'EL1' ? 'hvc #0' : 'smc #0'}`}
b {both}
second: movz x15, #1
both: ${load('x27', CODE + 0x8000)}; msr VBAR_${level}, x27
${load('x16', 0x4030_0000)}; add x16, x16, x15, lsl #12; ${load('x17', 0x4031_0000)}; ${load('x18', 0x800_0000)}; ${load('x19', old ? 0x801_0000 : 0x80a_0000)}
${level === 'EL2' ? 'mrs x9, HCR_EL2; movz x10, #0x38; orr x9, x9, x10; msr HCR_EL2, x9; isb' : ''}
${old
    ? `movz x9, #3; str w9, [x18]; ${load('x9', 0xffff_ffff)}; str w9, [x18, #0x80]; str w9, [x18, #0x100]; movz x9, #0xf8; str w9, [x19, #4]; movz x9, #7; str w9, [x19]`
    : `movz x9, #0x12; str w9, [x18]; ${redistributor}; movz x9, #0xf8; msr ICC_PMR_EL1, x9; movz x9, #1; msr ICC_IGRPEN1_EL1, x9; isb`}
msr daifclr, #2
cbnz x15, {other}
one: ${body('a')}\nadd x7, x7, #1; b {one}
other: ${vcpus < 2 ? '' : body('b')}\nadd x7, x7, #1; b {other}
.org 0x8200
mrs x23, ESR_${level}; add x24, x24, x23; mrs x23, ELR_${level}; eor x24, x24, x23; eret
.org 0x8280
${old ? 'ldr w20, [x19, #0xc]' : 'mrs x20, ICC_IAR1_EL1'}; and x21, x20, #0x3ff; add x22, x22, x21; ror x22, x22, #9; mrs x23, ELR_${level}; eor x24, x24, x23; ror x24, x24, #9; mrs x23, SPSR_${level}; add x24, x24, x23
b {handler}
.org 0x8a00
handler: mrs x26, CNTVCT_EL0; eor x24, x24, x26
sub x26, x21, #27; cbz x26, {virtual}; sub x26, x21, #30; cbz x26, {physical}; sub x26, x21, #26; cbz x26, {hypervisor}; b {done}
virtual: movz x26, #2; msr CNTV_CTL_EL0, x26; b {done}
physical: movz x26, #0; msr CNTP_CTL_EL0, x26; b {done}
hypervisor: ${level === 'EL2' ? 'movz x26, #0; msr CNTHP_CTL_EL2, x26' : 'nop'}
done: sub x26, x21, #0x3ff; cbz x26, {out}
${old ? 'str w20, [x19, #0x10]' : 'msr ICC_EOIR1_EL1, x20'}
out: add x25, x25, #1; eret`;
}

/** Fingerprints on the way, and how many interrupts the vCPUs took. */
function run(text: string, options: ProgramOptions, engine: EngineName): { readonly prints: readonly string[]; readonly taken: bigint } {
  let world: World = machine(text, options);
  switchEngine(world, engine);
  const prints: string[] = [];
  let insns = 0;
  for (let frame = 0; insns < INSNS; frame++) {
    const choice = plain.next(world);
    if (choice === undefined) break;
    const done = plain.step(world, choice);
    world = done.world;
    insns += done.frame.insns;
    if (frame % LOOK_FRAMES === 0) prints.push(`${insns} ${plain.fingerprint(world)}`);
  }
  prints.push(`${insns} ${plain.fingerprint(world)}`);
  return { prints, taken: world.engine.board.cores.reduce((sum, { words }) => sum + words[25]!, 0n) };
}

describe.each(BOARDS)('$name', (board) => {
  test('engines take the same interrupts at the same instructions', () => {
    let taken = 0n;
    for (let seed = SEED; seed < SEED + PROGRAMS; seed++) {
      const draw = generator(seed);
      const vcpus = 1 + draw(2);
      const text = programOf(draw, board, vcpus);
      const options = { ...board.options, vcpus, quantum: pick(draw, [60, 333, 2500, 100_000]) };
      const [first, ...others] = ENGINES.map((engine) => run(text, options, engine));
      for (const [index, { prints }] of others.entries()) expect(prints, `seed ${seed} on ${ENGINES[index + 1]}:\n${text}`).toEqual(first!.prints);
      taken += first!.taken;
    }
    expect(taken).toBeGreaterThan(0n);
  });
});
