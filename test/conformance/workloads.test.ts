/** The benchmarks' workloads: compiled C with the MMU on, system calls and page faults, has the same outcome on QEMU as here. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { next } from '../../actors/choices.ts';
import { step } from '../../actors/step.ts';
import { bootOn } from '../../bench/engines.ts';
import { runQemu, whyNoQemu } from '../../bench/qemu.ts';
import type { Row } from '../../bench/rows.ts';
import { buildWorkload, WORKLOADS } from '../../bench/workloads.ts';
import { createProfile } from '../../machines/aarch64/profile.ts';
import { slot } from '../../machines/aarch64/sysregs.ts';
import { scratch } from '../support/zeno.ts';

const lacks = spawnSync('aarch64-linux-gnu-gcc', ['--version']).error !== undefined || whyNoQemu() !== undefined;
const MEMORY_BYTES = 256 << 20;
const DIR = scratch();

const boot = (path: string) => bootOn('reference', readFileSync(path), path, { memoryBytes: MEMORY_BYTES });

/** Runs an image to its end: the console, and what a profile counted on the way. */
function ours(path: string) {
  let world = boot(path);
  const profile = createProfile(() => 0);
  world.engine.board.profile = profile;
  let [text, insns] = ['', 0];
  for (let choice = next(world); choice !== undefined; choice = next(world)) {
    const done = step(world, choice);
    ({ world } = done);
    insns += done.frame.insns;
    for (const event of done.frame.events) if (event.event === 'console') text += String(event.text);
  }
  return { console: text, insns, counts: profile.counts, ended: world.state.ended };
}

describe.skipIf(lacks)('workloads (needs aarch64-linux-gnu-gcc and qemu-system-aarch64)', () => {
  test.each(WORKLOADS.map((workload) => [workload.name, workload] as const))('%s prints the sum that QEMU prints', (name, workload) => {
    const { rounds, size } = workload.short;
    const image = buildWorkload(workload, { rounds: Math.ceil(rounds / 4), size }, DIR);
    const { console: sum, insns, counts, ended } = ours(image);
    expect(ended).toMatchObject({ by: 'off' });
    // Without floating point a core takes an Undefined Instruction exception, and says so (EC 0).
    const hasFloat = ((boot(image).engine.board.cores[0]!.words[slot('ID_AA64PFR0_EL1')]! >> 16n) & 15n) !== 15n;
    if (name === 'float' && !hasFloat) expect(sum).toMatch(/^!\w{8}02000000\n$/);
    else {
      expect(sum).toBe(runQemu('qemu -icount', image, MEMORY_BYTES, 60_000).console);
      expect(insns).toBeGreaterThan(300_000);
    }
    expect(counts.interpreted + counts.translated).toBe(insns);
    expect(counts.messages).toBeGreaterThanOrEqual(sum.length);
  });

  test('the benchmark prints an object a row', () => {
    const out = execFileSync(process.execPath, [join(import.meta.dirname, '../../bench/execute.ts'), '--short', '--runs', '1', '--workload', 'branchy', '--engine', 'reference', '--json'], { encoding: 'utf8' });
    const rows = out.trim().split('\n').map((line) => JSON.parse(line) as Row);
    expect(rows.map(({ workload, peerName, runs }) => ({ workload, peerName, runs }))).toEqual([
      { workload: 'branchy', peerName: 'qemu -icount', runs: 1 }, { workload: 'branchy', peerName: 'qemu', runs: 1 }, { workload: 'zeno boot, start to end', peerName: 'qemu', runs: 1 },
    ]);
    for (const { ours, peer, ratio, skipped } of rows) {
      expect(ours).toBeGreaterThan(0);
      // QEMU may be done with so little before it can be measured.
      if (peer === null) expect({ ratio, skipped }).toEqual({ ratio: null, skipped: 'too short to measure: the long form is not' });
      else expect(Math.min(peer, ratio!)).toBeGreaterThan(0);
    }
  });
});

test('the benchmark refuses an option that makes no sense, in a line', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, '../../bench/execute.ts'), '--workload', 'nonsense'], { encoding: 'utf8' });
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toMatch(/^bench:execute: --workload nonsense: there are integer, memory, [^\n]+\n$/);
});
