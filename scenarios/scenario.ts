/** What a scenario is: a question, the guest that answers it, and the claims that must hold; and how one is set up and judged. */

import { boot, type Booted, type BootOptions } from '../actors/boot.ts';
import type { Choice } from '../actors/choices.ts';
import { readImage } from '../actors/images.ts';
import { InputError } from '../actors/input-error.ts';
import type { Outcome, World, WorldEvent } from '../actors/world.ts';
import type { EngineName } from '../machines/aarch64/board.ts';
import type { Flavour, Mechanism } from '../machines/kvm/state.ts';
import type { Image, Manifest } from '../snapshots/compatibility.ts';
import type { Claims } from '../snapshots/property.ts';

/** Changes whenever the same choices could lead to another world. */
export const SEMANTICS = '3';

export type ZenoClaims = Claims<World, Choice, WorldEvent>;

export interface Scenario {
  readonly name: string;
  /** One sentence that ends in a question mark. */
  readonly question: string;
  /** L2's image, `scenarios/guests/built/NAME.bin`; L1 is tiny-hypervisor. */
  readonly payload: string;
  /** vCPUs unless the caller says otherwise, and the fewest that it makes sense with. */
  readonly vcpus: number;
  readonly vcpusMin?: number;
  /** More of L1's command line. */
  readonly append?: string;
  /** What must hold, besides that L1 reports PASS. */
  readonly claims?: ZenoClaims;
  /** Exploration begins when this has named every vCPU: the events at which each comes to the interesting part. */
  readonly explorePlace?: (event: WorldEvent) => number | undefined;
}

export interface ScenarioOptions {
  /** `none`: L1 on bare EL2, without L0. */
  readonly nested: Mechanism;
  readonly l1: Flavour | 'both';
  readonly vcpus?: number;
  readonly variants?: readonly string[];
  readonly seed?: number;
  /** What executes instructions: no part of a recording, since all do the same. */
  readonly engine?: EngineName;
  /** More of L1's command line, behind the scenario's own. */
  readonly append?: string;
}

/** Reads a guest's file by its name under `scenarios/guests/built/`; node.ts has the one that reads the disk. */
export type GuestFiles = (name: string) => Uint8Array;

/** A scenario made ready: the World at its start, the claims, and the manifest under which it is recorded. */
export interface Prepared extends Booted {
  readonly scenario: Scenario;
  readonly claims: ZenoClaims;
  readonly manifest: Manifest;
  readonly options: BootOptions;
}

const MEMORY_BYTES = 128 << 20;

/** Boots `scenario`. Throws InputError for options that it cannot have. */
export function prepare(scenario: Scenario, options: ScenarioOptions, files: GuestFiles, sumOf: (bytes: Uint8Array) => string): Prepared {
  const vcpus = options.vcpus ?? scenario.vcpus;
  if (vcpus < (scenario.vcpusMin ?? 1)) throw new InputError(`--smp ${vcpus}: ${scenario.name} needs at least ${scenario.vcpusMin} vCPUs`);
  const names = ['tiny-hypervisor.elf', `${scenario.payload}.bin`];
  const [l1, l2] = names.map(files) as [Uint8Array, Uint8Array];
  const append = [`l1=${options.l1 === 'both' ? 'vhe' : options.l1}`, `payload=${scenario.payload}`, ...[scenario.append, options.append].filter(Boolean)].join(' ');
  const bootOptions: BootOptions = {
    vcpus, memoryBytes: MEMORY_BYTES, el2: options.nested === 'none' ? 'guest' : 'kvm', nested: options.nested, l1: options.l1,
    variants: options.variants ?? [], seed: options.seed ?? 0, kernel: readImage(l1, names[0]!), initrd: l2, append, reboot: false, ...(options.engine === undefined ? {} : { engine: options.engine }),
  };
  const images: Image[] = [l1, l2].map((bytes, index) => ({ name: names[index]!, sum: sumOf(bytes), bytes: bytes.length }));
  const manifest: Manifest = {
    semantics: SEMANTICS, scenario: scenario.name, seed: options.seed ?? 0, images,
    options: { nested: options.nested, l1: options.l1, vcpus, variants: [...(options.variants ?? [])], ...(options.append ? { append: options.append } : {}) },
  };
  return { scenario, claims: { ...scenario.claims, atEnd: [...(scenario.claims?.atEnd ?? []), endsWell(scenario)] }, manifest, options: bootOptions, ...boot(bootOptions) };
}

/** Every run must end with L1 reporting that all of L2 is done. A machine where nothing can happen any more has lost a wake-up. */
const endsWell = (scenario: Scenario) => ({
  name: 'L1 reports PASS',
  check: (world: World): string | undefined => {
    const { outcome, reason } = judge(scenario, world);
    return outcome === 'passed' ? undefined : reason;
  },
});

/** How a run that has no next choice ended. */
export function judge(scenario: Pick<Scenario, 'payload'>, world: World): Outcome {
  const { ended, console } = world.state;
  if (ended === null) return { outcome: 'failed', reason: 'nothing can happen any more: every vCPU waits and no alarm is armed' };
  if (ended.by === 'hole') return { outcome: 'stopped', reason: ended.reason };
  const result = console.split('\n').findLast((line) => line.startsWith(`RESULT ${scenario.payload} `) || line.startsWith('PANIC'));
  if (result === `RESULT ${scenario.payload} PASS`) return { outcome: 'passed', reason: result };
  return { outcome: 'failed', reason: result ?? `${ended.reason} before L1 reported a result` };
}
