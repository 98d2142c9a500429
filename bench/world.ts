/** What moving, keeping, restoring and summing a World costs, over a whole scenario: `npm run bench:world`, with `-- --json` one object a row. */

import { SCENARIOS } from '../scenarios/all.ts';
import { builtGuests, sha256 } from '../scenarios/node.ts';
import { prepare } from '../scenarios/scenario.ts';
import { systemOf } from '../snapshots/machine.ts';
import { next } from '../actors/choices.ts';
import { step } from '../actors/step.ts';
import { enter, keep, type World } from '../actors/world.ts';
import { median, printRows, type Row } from './rows.ts';

const RUNS = 5;

const scenario = SCENARIOS.find(({ name }) => name === 'stage2-fault')!;
const start = (): World => prepare(scenario, { nested: 'nv2', l1: 'vhe' }, builtGuests, sha256).world;

/** Runs to the end; `each` takes the World after every frame and gives the one to go on with. Gives instructions, frames and milliseconds without what `each` took. */
function run(each: (world: World) => World = (world) => world): { insns: number; frames: number; ms: number; eachMs: number } {
  let world = start();
  let [insns, frames, eachMs] = [0, 0, 0];
  const began = performance.now();
  for (let choice = next(world); choice !== undefined; choice = next(world)) {
    const done = step(world, choice);
    ({ world } = done);
    insns += done.frame.insns;
    frames++;
    const before = performance.now();
    world = each(world);
    eachMs += performance.now() - before;
  }
  return { insns, frames, ms: performance.now() - began - eachMs, eachMs };
}

/** The middle one of several runs, the first of which only warms up. */
function middle(measure: () => number): number {
  measure();
  return median(Array.from({ length: RUNS }, measure));
}

const system = systemOf();
const workload = `${scenario.name} nv2 vhe`;
const alone = { peer: null, peerName: 'none', ratio: null, runs: RUNS, skipped: 'nothing else does this' };
const rows: Row[] = [
  { bench: 'step', workload, ours: middle(() => { const { insns, ms } = run(); return insns / ms / 1000; }), unit: 'million instructions/s', ...alone },
  { bench: 'frame', workload, ours: middle(() => { const { frames, ms } = run(); return (ms / frames) * 1000; }), unit: 'µs/frame', ...alone },
  { bench: 'keep', workload, ours: middle(() => { const { frames, eachMs } = run(keep); return (eachMs / frames) * 1000; }), unit: 'µs/keep', ...alone },
  { bench: 'fingerprint', workload, ours: middle(() => { const { frames, eachMs } = run((world) => { system.fingerprint(world); return world; }); return (eachMs / frames) * 1000; }), unit: 'µs/fingerprint', ...alone },
  { bench: 'restore', workload, ours: middle(() => {
    const kept: World[] = [];
    const first = keep(start());
    let world = first;
    for (let choice = next(world); choice !== undefined; choice = next(world)) {
      ({ world } = step(world, choice));
      world = keep(world);
      kept.push(world);
    }
    const began = performance.now();
    for (const one of kept) { enter(first); enter(one); }
    return ((performance.now() - began) / kept.length / 2) * 1000;
  }), unit: 'µs/restore', ...alone },
];

printRows(rows, process.argv.includes('--json'));
