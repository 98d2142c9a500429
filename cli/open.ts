/** From a recording's manifest back to the World at its start: which scenario, file or boot it was, set up again as it was recorded. */

import { statSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Image } from '../actors/images.ts';
import { readImage } from '../actors/images.ts';
import { InputError } from '../actors/input-error.ts';
import type { Outcome, World } from '../actors/world.ts';
import type { EngineName } from '../machines/aarch64/board.ts';
import type { Flavour, Mechanism } from '../machines/kvm/state.ts';
import { SCENARIOS } from '../scenarios/all.ts';
import { builtGuests, sha256 } from '../scenarios/node.ts';
import { judge, prepare, type Prepared, type Scenario, type ScenarioOptions, type ZenoClaims } from '../scenarios/scenario.ts';
import type { Manifest } from '../snapshots/compatibility.ts';

/** A World at its start, and what the verbs need to know around it. */
export interface Opened {
  readonly world: World;
  /** How this build would record it now: compared with the recording's. */
  readonly manifest: Manifest;
  readonly claims: ZenoClaims;
  /** How a run that has no next choice ended. */
  judge(world: World): Outcome;
  /** Symbols of the code at virtual EL2 (L1), and of what runs below it, at the addresses that each was linked for. */
  readonly images: { readonly l1: readonly Image[]; readonly l2: readonly Image[] };
  /** The scenario made ready, where it is one. */
  readonly prepared?: Prepared;
}

/** How recordings of a kind are set up again. Throws InputError when what they need is not there. */
export type Rebuild = (manifest: Manifest, engine: EngineName) => Promise<Opened>;

/** By `manifest.scenario`. Any other name is a built-in scenario, or the path of a TypeScript file with one. */
export const REBUILDERS: Map<string, Rebuild> = new Map();

/** Sets up again what `manifest` describes, on any engine. */
export async function rebuild(manifest: Manifest, engine: EngineName): Promise<Opened> {
  const special = REBUILDERS.get(manifest.scenario);
  if (special) return special(manifest, engine);
  const { nested, l1, vcpus, variants, append } = manifest.options as { nested: Mechanism; l1: Flavour | 'both'; vcpus: number; variants?: string[]; append?: string };
  return openScenario(manifest.scenario, { nested, l1, vcpus, variants: variants ?? [], seed: manifest.seed, engine, ...(append === undefined ? {} : { append }) });
}

/** A built-in scenario by name, or the default export of a TypeScript file, ready to run. Throws InputError. */
export async function openScenario(name: string, options: ScenarioOptions): Promise<Opened> {
  const { scenario, path } = await findScenario(name);
  const prepared = prepare(scenario, options, builtGuests, sha256);
  const manifest = path === undefined ? prepared.manifest : { ...prepared.manifest, scenario: path };
  const payload = `${scenario.payload}.elf`;
  return {
    world: prepared.world, manifest, claims: prepared.claims, judge: (world) => judge(scenario, world),
    images: { l1: prepared.options.kernel ? [prepared.options.kernel] : [], l2: [readImage(builtGuests(payload), payload)] },
    prepared,
  };
}

/** The scenario called `name`. `path`: the file that it came from, when it is not built in. */
export async function findScenario(name: string): Promise<{ readonly scenario: Scenario; readonly path: string | undefined }> {
  const scenario = SCENARIOS.find((candidate) => candidate.name === name);
  if (scenario) return { scenario, path: undefined };
  if (!/\.[cm]?[jt]s$/.test(name)) throw new InputError(`there is no scenario ${name}: there are ${SCENARIOS.map((candidate) => candidate.name).join(', ')}, or the path of a TypeScript file with one`);
  const path = resolvePath(name);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) throw new InputError(`${name}: there is no such file`);
  let module: { default?: Partial<Scenario> };
  try {
    module = await import(pathToFileURL(path).href) as { default?: Partial<Scenario> };
  } catch (error) {
    throw new InputError(`${name} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { default: found } = module;
  for (const field of ['name', 'question', 'payload', 'vcpus'] as const) {
    if (found?.[field] === undefined) throw new InputError(`${name}: its default export is not a scenario: it has no ${field} (scenarios/hypercall.ts is an example)`);
  }
  return { scenario: found as Scenario, path };
}
