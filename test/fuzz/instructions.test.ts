/** Random words at every exception level: each is done, taken as an exception, or a hole; nothing else is thrown, and a second run is the same. */

import { expect, test } from 'vitest';
import { ROWS } from '../../machines/aarch64/a64.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Power, Word } from '../../machines/aarch64/state.ts';
import { randomNumbers } from '../conformance/user-oracle.ts';
import { RAM, bareCore, program, set } from '../support/core.ts';

const SEED = Number(process.env['ZENO_SEED'] ?? 20_260_102);

/** Runs `turns` random words one by one from fresh register values; gives the ends by type and a digest of every state passed. */
function fuzz(seed: number, el: 0 | 1 | 2, el2: 'kvm' | 'guest' | 'none', turns: number): { ends: Record<string, number>; digest: bigint } {
  const random = randomNumbers(seed);
  const { core, memory, board } = bareCore({ el, el2, ramBytes: 0x10_0000 });
  const ends: Record<string, number> = {};
  let digest = 0n;
  const reset = core.words.slice();
  for (let turn = 0; turn < turns; turn += 1) {
    // System registers start each turn at reset, or a random MMU would end it all.
    core.words.set(reset);
    core.translation = undefined;
    core.deviceReplies.length = 0;
    board.outbox.length = 0;
    for (let register = 0; register < 31; register += 1) core.words[register] = random() % 3 === 0 ? (BigInt(random()) << 32n) | BigInt(random()) : BigInt(RAM + (random() & 0xf_fff8));
    for (const vbar of ['VBAR_EL1', 'VBAR_EL2']) set(core, vbar, BigInt(RAM + 0x8_0000));
    core.words[Word.NZCV] = BigInt(random() & 15);
    const row = ROWS[random() % ROWS.length]!;
    const word = random() % 4 === 0 ? random() : ((random() & ~row.mask) | row.value) >>> 0;
    program(memory, RAM, [word, 0xd503_201f]);
    const { attempted, end } = run(core, 1);
    if (attempted === 0) expect(end.type).toBe('device');
    expect(core.words[Word.POWER] === BigInt(Power.HALTED)).toBe(end.type === 'hole');
    ends[end.type] = (ends[end.type] ?? 0) + 1;
    for (const state of core.words.subarray(0, 64)) digest = BigInt.asUintN(64, (digest ^ state) * 0x100_0000_01b3n);
  }
  return { ends, digest };
}

test.each([[0, 'none'], [1, 'none'], [1, 'kvm'], [1, 'guest'], [2, 'guest']] as const)(`random words at EL%i with EL2 of %s end as they should, twice alike (seed ${SEED})`, (el, el2) => {
  const first = fuzz(SEED + el, el, el2, 6000);
  expect(first.ends['budget']).toBeGreaterThan(1000);
  expect(fuzz(SEED + el, el, el2, 6000)).toEqual(first);
});
