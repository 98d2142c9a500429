/**
 * Runs one image on one of our engines in a process of its own, so that every run starts cold, and prints one object: instructions, milliseconds
 * of the run (boot and Node's start left out, warm-up counted), the console, why it ended, and a profile if asked. `bench/execute.ts` starts it.
 */

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { next } from '../actors/choices.ts';
import { step } from '../actors/step.ts';
import type { World } from '../actors/world.ts';
import { createProfile, type Profile } from '../machines/aarch64/profile.ts';
import { profiledRun } from '../machines/aarch64/profiled-run.ts';
import { bootOn, type EngineName } from './engines.ts';

export interface ImageRun {
  readonly insns: number;
  readonly ms: number;
  readonly console: string;
  /** Undefined: powered off. */
  readonly stopped: string | undefined;
  readonly rssBytes: number;
  readonly profile: Pick<Profile, 'counts' | 'ms'> | undefined;
}

/** Instructions of one call of `run` under --core: a stop that nobody notices. */
const CORE_SLICE = 1_000_000;

/** The whole machine, as `zeno boot` moves it. */
function runMachine(start: World): Pick<ImageRun, 'insns' | 'console' | 'stopped'> {
  let world = start;
  let insns = 0;
  let text = '';
  for (let choice = next(world); choice !== undefined; choice = next(world)) {
    const done = step(world, choice);
    ({ world } = done);
    insns += done.frame.insns;
    for (const event of done.frame.events) if (event.event === 'console') text += String(event.text);
  }
  const { ended } = world.state;
  return { insns, console: text, stopped: ended?.by === 'off' ? undefined : (ended?.reason ?? 'nothing can happen any more') };
}

/** The core alone: what it says is looked at for the console and else dropped. */
function runCore({ engine: { board } }: World): Pick<ImageRun, 'insns' | 'console' | 'stopped'> {
  let insns = 0;
  let text = '';
  for (;;) {
    const { attempted, end } = profiledRun(board.cores[0]!, CORE_SLICE);
    insns += attempted;
    for (const { to, message } of board.outbox) if (to === 'uart' && message.type === 'write') text += String.fromCharCode(Number(message['value']));
    board.outbox.length = 0;
    if (end.type === 'budget' || end.type === 'effect') continue;
    return { insns, console: text, stopped: end.type === 'firmware' ? undefined : end.type === 'hole' ? `reached ${end.what}, which has no row` : `ended by ${end.type}` };
  }
}

const { values } = parseArgs({ options: { engine: { type: 'string' }, image: { type: 'string' }, quantum: { type: 'string' }, mem: { type: 'string' }, core: { type: 'boolean' }, profile: { type: 'boolean' } } });
const image = values.image!;
const world = bootOn(values.engine as EngineName, readFileSync(image), basename(image), { memoryBytes: Number(values.mem), ...(values.quantum === undefined ? {} : { quantum: Number(values.quantum) }) });
const clock = (): number => performance.now();
const profile = values.profile ? createProfile(clock) : undefined;
world.engine.board.profile = profile;
const began = clock();
const did = values.core ? runCore(world) : runMachine(world);
const ms = clock() - began;
const result: ImageRun = { ...did, ms, rssBytes: process.memoryUsage().rss, profile: profile && { counts: profile.counts, ms: profile.ms } };
console.log(JSON.stringify(result));
