/** Which engines the benchmarks know, and how a machine is booted on one: the one place to change when there is another. */

import { boot, type BootOptions } from '../actors/boot.ts';
import { readImage } from '../actors/images.ts';
import type { World } from '../actors/world.ts';

export const ENGINES = ['reference'] as const;
export type EngineName = (typeof ENGINES)[number];

/** What `boot` has to be told for an engine. */
const BOOT_OPTIONS: Readonly<Record<EngineName, Partial<BootOptions>>> = { reference: {} };

/** A machine as `zeno boot --el2 none --kernel FILE` makes it. */
export function bootOn(engine: EngineName, bytes: Uint8Array, name: string, options: Pick<BootOptions, 'memoryBytes' | 'quantum'>): World {
  return boot({ vcpus: 1, el2: 'none', nested: 'none', l1: 'both', kernel: readImage(bytes, name), ...options, ...BOOT_OPTIONS[engine] }).world;
}
