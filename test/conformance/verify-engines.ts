/**
 * The engines on long guests: `npm run verify:engines [-- --short] [--guest memory] [--seed 7]`. Interpreter and translator run U-Boot and the
 * benchmarks' workloads in full, side by side; the reference engine the first 20 million instructions and 50 windows of 200,000 at random places.
 * Worlds are compared by fingerprint. Ends with status 1 where something differs.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { boot } from '../../actors/boot.ts';
import type { Choice } from '../../actors/choices.ts';
import { hasRead, nextInput } from '../../actors/console.ts';
import { readFirmware, readImage } from '../../actors/images.ts';
import type { World } from '../../actors/world.ts';
import { buildWorkload, WORKLOADS } from '../../bench/workloads.ts';
import type { EngineName } from '../../machines/aarch64/board.ts';
import { generator } from '../../snapshots/explore.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { IMAGE as U_BOOT } from '../guests/u-boot.ts';
import { differing } from '../support/engines.ts';
import { switchEngine } from '../support/perturb.ts';

interface Guest {
  readonly name: string;
  start(engine: EngineName): World;
  /** The default choice, unless something is typed; undefined at the end. */
  next(world: World): Choice | undefined;
}

interface Form {
  /** Instructions that the reference engine runs from the start, those of a window, and how many windows there are. */
  readonly first: number;
  readonly window: number;
  readonly windows: number;
  /** Instructions from one comparison to the next, at most: they are drawn, so that runs stop anywhere. */
  readonly stretch: number;
}
const LONG: Form = { first: 20_000_000, window: 200_000, windows: 50, stretch: 10_000_000 };
const SHORT: Form = { first: 500_000, window: 50_000, windows: 8, stretch: 700_000 };

const system = systemOf();
const TYPED = Buffer.from('x\rversion\rbdinfo\r', 'latin1');

function workloads(form: 'short' | 'long', folder: string): Guest[] {
  return WORKLOADS.map((workload) => ({
    name: workload.name,
    start(engine) {
      const path = buildWorkload(workload, workload[form], folder);
      return boot({ vcpus: 1, memoryBytes: 256 << 20, el2: 'none', nested: 'none', l1: 'both', kernel: readImage(readFileSync(path), workload.name), engine }).world;
    },
    next: (world) => system.next(world),
  }));
}

const U_BOOTS: readonly Guest[] = ([['U-Boot', 'guest', 'none', 'vhe'], ['U-Boot under nv2', 'kvm', 'nv2', 'nvhe'], ['U-Boot under nv', 'kvm', 'nv', 'vhe']] as const).map(([name, el2, nested, l1]) => ({
  name,
  start: (engine) => boot({ vcpus: 1, memoryBytes: 512 << 20, firmware: readFirmware(new Uint8Array(readFileSync(U_BOOT)), 'u-boot.bin'), el2, nested, l1, engine }).world,
  next: (world) => (hasRead(world, TYPED.length) && world.state.console.endsWith('=> ') ? undefined : nextInput(world, TYPED) ?? system.next(world)),
}));

/** Goes on for `insns` instructions exactly, or to the guest's end. */
function advance(guest: Guest, start: World, insns: number): { world: World; insns: number } {
  let world = start;
  let done = 0;
  while (done < insns) {
    const choice = guest.next(world);
    if (choice === undefined) break;
    const moved = system.step(world, system.split!(choice, insns - done) ?? choice);
    ({ world } = moved);
    done += moved.frame.insns;
  }
  return { world, insns: done };
}

class Differs extends Error {}

const registers = (world: World): BigUint64Array => BigUint64Array.from(world.engine.board.cores[0]!.words);

/** Says where two ways from one world part: runs both with ever smaller steps. */
function part(guest: Guest, from: World, engines: readonly [EngineName, EngineName], insns: number): string {
  let [equal, unequal] = [0, insns];
  const at = (engine: EngineName, count: number) => {
    switchEngine(from, engine);
    const { world } = advance(guest, from, count);
    return { print: system.fingerprint(world), words: registers(world) };
  };
  while (unequal - equal > 1) {
    const middle = Math.floor((equal + unequal) / 2);
    if (at(engines[0], middle).print === at(engines[1], middle).print) equal = middle;
    else unequal = middle;
  }
  const [one, other] = engines.map((engine) => at(engine, unequal)) as [ReturnType<typeof at>, ReturnType<typeof at>];
  return `${engines.join(' and ')} part ${unequal} instructions on: ${differing(one.words, other.words).join('; ') || 'in memory'}`;
}

/** The reference engine and the others over `insns` from `kept`, which is live again afterwards. */
function compareWindow(guest: Guest, kept: World, insns: number, position: number): void {
  const prints = (['interpreter', 'translator', 'reference'] as const).map((engine) => {
    switchEngine(kept, engine);
    return [engine, system.fingerprint(advance(guest, kept, insns).world)] as const;
  });
  for (const [engine, print] of prints.slice(0, 2)) {
    if (print !== prints[2]![1]) throw new Differs(`${guest.name}, from instruction ${position}: ${part(guest, kept, ['reference', engine], insns)}`);
  }
}

function verify(guest: Guest, form: Form, seed: number): string {
  const draw = generator(seed);
  let [ours, theirs] = (['interpreter', 'translator'] as const).map((engine) => guest.start(engine)) as [World, World];
  // The reference engine from the start, on a machine of its own.
  let slow = guest.start('reference');
  let slowDone = 0;
  let total = 0;
  for (;;) {
    const [before, beforeTheirs] = [system.keep(ours), system.keep(theirs)];
    const stretch = 1 + draw(form.stretch);
    const one = advance(guest, before, stretch);
    const other = advance(guest, beforeTheirs, stretch);
    ours = system.keep(one.world);
    theirs = system.keep(other.world);
    if (one.insns !== other.insns || system.fingerprint(ours) !== system.fingerprint(theirs)) {
      throw new Differs(`${guest.name}, from instruction ${total} after ${one.insns} and ${other.insns}: ${part(guest, beforeTheirs, ['interpreter', 'translator'], Math.max(one.insns, other.insns))}`);
    }
    if (slowDone === total && slowDone < form.first) {
      const made = advance(guest, slow, Math.min(one.insns, form.first - slowDone));
      slow = made.world;
      slowDone += made.insns;
      const equal = made.insns === one.insns ? ours : advance(guest, before, made.insns).world;
      if (system.fingerprint(slow) !== system.fingerprint(equal)) {
        const start = guest.start('reference');
        throw new Differs(`${guest.name}, from its start: ${part(guest, system.keep(start), ['reference', 'interpreter'], slowDone)}`);
      }
    }
    total += one.insns;
    if (one.insns < stretch) break;
  }
  // Windows, on the way through once more.
  const places = Array.from({ length: form.windows }, () => Math.floor((draw(2 ** 30) / 2 ** 30) * Math.max(1, total - form.window))).sort((a, b) => a - b);
  let world = guest.start('translator');
  let position = 0;
  for (const place of places) {
    const moved = advance(guest, world, place - position);
    position += moved.insns;
    const kept = system.keep(moved.world);
    compareWindow(guest, kept, form.window, position);
    switchEngine(kept, 'translator');
    world = kept;
  }
  return `${total} instructions alike on interpreter and translator, ${slowDone} on the reference engine, and ${places.length} windows of ${form.window}`;
}

function main(): void {
  const { values } = parseArgs({ options: { short: { type: 'boolean', default: false }, guest: { type: 'string', multiple: true }, seed: { type: 'string', default: '20261127' } } });
  const seed = Number(values.seed);
  const folder = mkdtempSync(join(tmpdir(), 'zeno-engines-'));
  const all = [...workloads(values.short ? 'short' : 'long', folder), ...(existsSync(U_BOOT) ? (values.short ? U_BOOTS.slice(0, 1) : U_BOOTS) : [])];
  if (!existsSync(U_BOOT)) console.log(`without U-Boot: there is no ${U_BOOT} (Debian: u-boot-qemu)`);
  const chosen = all.filter(({ name }) => values.guest === undefined || values.guest.includes(name));
  if (chosen.length === 0) throw new Error(`--guest is one of ${all.map(({ name }) => name).join(', ')}`);
  console.log(`seed ${seed}`);
  let wrong = 0;
  try {
    for (const guest of chosen) {
      try {
        console.log(`${guest.name}: ${verify(guest, values.short ? SHORT : LONG, seed)}`);
      } catch (error) {
        if (!(error instanceof Differs)) throw error;
        wrong++;
        console.log(`DIFFERS: ${error.message}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${chosen.length - wrong} of ${chosen.length} guests run alike on all engines`);
  process.exitCode = wrong === 0 ? 0 : 1;
}

main();
