/** What has no row stops the vCPU that reached it, and says so; what the machine does not have is UNDEFINED, and the guest is told. */

import { describe, expect, test } from 'vitest';
import type { World } from '../../actors/world.ts';
import type { Flavour, Mechanism } from '../../machines/kvm/state.ts';
import { Power, Word } from '../../machines/aarch64/state.ts';
import { judge } from '../../scenarios/scenario.ts';
import { forward, framesOf, openHistory, patch, worldOf } from '../../snapshots/history.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { CODE, load, machine, RESULTS, finish, VECTORS } from '../support/guest-program.ts';
import { FLAVOURS, MECHANISMS, scenarioNamed, start, type ZenoFrame } from '../support/scenario.ts';

const system = systemOf();

/** The first instructions of L1 and of L2: where they lie in memory, and what they call the place. */
const L1 = { name: 'L1', physical: 0x4020_0000, pc: 0x4020_0000 } as const;
const L2 = { name: 'L2', physical: 0x4400_0000, pc: 0x4000_0000 } as const;

const IRG = 0x9adf_1000;
const SVE = 0x0420_0000;
const FADD = 0x1e60_2800;
/** MOV X0, #1; MSR MDSCR_EL1, X0: software step on. */
const STEP = [0xd280_0020, 0xd510_0240];

interface Stopped { readonly world: World; readonly last: ZenoFrame; readonly frames: number; readonly outcome: string; readonly reason: string }

/** The run of `hypercall` with other instructions at the start of L1 or L2. */
function runWith(words: readonly number[], at: typeof L1 | typeof L2, nested: Mechanism, l1: Flavour): Stopped {
  const { world, scenario } = start({ scenario: scenarioNamed('hypercall'), nested, l1, vcpus: 1 });
  const history = openHistory(system, world);
  patch(history, [{ type: 'memory', address: at.physical, bytes: new Uint8Array(Uint32Array.from(words).buffer) }]);
  let last: ZenoFrame | undefined;
  forward(history, (frame) => { last = frame; return false; }, 2_000);
  return { world: worldOf(history), last: last!, frames: framesOf(history), ...judge(scenario, worldOf(history)) };
}

/** The World where nothing can happen any more, or after 50 frames. */
function runOn(world: World): World {
  for (let frames = 0; frames < 50; frames++) {
    const choice = system.next(world);
    if (choice === undefined) break;
    ({ world } = system.step(world, choice));
  }
  return world;
}

const everywhere = MECHANISMS.flatMap((nested) => FLAVOURS.map((l1) => [nested, l1] as const));

describe.each(everywhere)('with %s and a %s hypervisor', (nested, l1) => {
  // On a bare board nobody can tell whose code the guest's EL1 is: the level is the board's guest.
  const levelOfL2 = nested === 'none' ? 'L1' : 'L2';

  test.each([
    ['Memory tagging', [IRG], 0, IRG],
    // Under FEAT_NV2 MDSCR_EL1 is a word in L1's page: nothing is switched on by writing it.
    ...(nested === 'nv2' ? [] : [['software step (MDSCR_EL1.SS)', STEP, 4, STEP[1]!] as const]),
    ['Scalable Vector Extension', [SVE], 0, SVE],
  ] as const)('%s in L1 stops it by name, word, address and level, in the frame that reached it', (what, words, offset, word) => {
    const stopped = runWith(words, L1, nested, l1);
    const text = `vcpu0 reached ${what}, word 0x${word.toString(16).padStart(8, '0')}, at 0x${(L1.pc + offset).toString(16)} (EL2 of L1), which has no row`;
    expect(stopped).toMatchObject({ outcome: 'stopped', reason: text });
    expect(stopped.last.events.at(-1)).toMatchObject({ event: 'hole', vcpu: 0, what, word, pc: BigInt(L1.pc + offset), el: 2, level: 'L1' });
    expect(stopped.world.engine.board.cores[0]!.words[Word.POWER]).toBe(BigInt(Power.HALTED));
    expect(system.next(stopped.world)).toBeUndefined();
    expect(system.choices(stopped.world)).toEqual([]);
  });

  test.each([
    ['Memory tagging', [IRG], 0, IRG], ['software step (MDSCR_EL1.SS)', STEP, 4, STEP[1]!],
  ] as const)('%s in L2 stops it likewise', (what, words, offset, word) => {
    const stopped = runWith(words, L2, nested, l1);
    const text = `vcpu0 reached ${what}, word 0x${word.toString(16)}, at 0x${(L2.pc + offset).toString(16)} (EL1 of ${levelOfL2}), which has no row`;
    expect(stopped).toMatchObject({ outcome: 'stopped', reason: text });
    expect(stopped.last.events.at(-1)).toMatchObject({ event: 'hole', vcpu: 0, pc: BigInt(L2.pc + offset), el: 1, level: levelOfL2 });
    expect(system.next(stopped.world)).toBeUndefined();
  });

  test.runIf(nested === 'nv2')('software step that L1 puts in its page for L2 stops the vCPU on the way into L2', () => {
    const text = `${load('x27', CODE + 0x8000)}; msr VBAR_EL2, x27; movz x0, #1; msr MDSCR_EL1, x0; adr x1, {below}; msr ELR_EL2, x1; movz x1, #0x3c5; msr SPSR_EL2, x1; eret
below: b {below}\nirq: b {irq}\nlower: b {lower}\n${VECTORS}`;
    const last = runOn(machine(text, { nested, l1 }));
    expect(last.state.ended).toMatchObject({ by: 'hole', reason: expect.stringMatching(/^vcpu0 reached software step \(MDSCR_EL1\.SS\) at 0x[0-9a-f]+ \(EL1 of L1\), which has no row$/) as string });
  });

  test('FP in L2 is not reached: L1 traps it, and L2 has no vector for what it then gets', () => {
    expect(runWith([FADD], L2, nested, l1)).toMatchObject({ outcome: 'failed', reason: expect.stringMatching(/^PANIC/) as string });
  });

  test.each([
    ['an unallocated word', '.inst 0x00000000'], ['a register of a feature that is not there', 'mrs x0, PMCR_EL0'], ['a register that no one defines', '.inst 0xd53ff7e0'],
    ['an operation that no one defines', '.inst 0xd50f7fe0'], ['a write of what is read only', '.inst 0xd5180000'], ['a register of EL3', 'mrs x0, SCR_EL3'],
  ])('%s is UNDEFINED: the guest takes an exception, and goes on', (_, instruction) => {
    const begin = `${load('x28', RESULTS)}; ${load('x27', CODE + 0x8000)}; msr VBAR_EL2, x27; movz x0, #0`;
    const text = `${begin}\n${instruction}\nstr x0, [x28]; mrs x1, ESR_EL2; str x1, [x28, #8]; ${load('x0', 0x8400_0008)}; smc #0\nirq: b {irq}\nlower: b {lower}\n${VECTORS}`;
    const ran = finish(machine(text, { el2: nested === 'none' ? 'guest' : 'kvm', nested, l1 }));
    expect(ran.world.state.ended).toMatchObject({ by: 'off' });
    // X0 as the handler sets it; ESR_EL2: EC 0, unknown reason, IL.
    expect(ran.results(2)).toEqual([0xbadn, 1n << 25n]);
  });
});
