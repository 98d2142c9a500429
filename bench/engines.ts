/** Which engines the benchmarks know, and how a machine is booted on one. */

import { boot } from '../actors/boot.ts';
import { readImage } from '../actors/images.ts';
import type { World } from '../actors/world.ts';
import type { EngineName } from '../machines/aarch64/board.ts';

export { ENGINES, type EngineName } from '../machines/aarch64/board.ts';

/** A machine as `zeno boot --el2 none --kernel FILE` makes it. */
export function bootOn(engine: EngineName, bytes: Uint8Array, name: string, options: { readonly memoryBytes: number; readonly quantum?: number }): World {
  return boot({ vcpus: 1, el2: 'none', nested: 'none', l1: 'both', kernel: readImage(bytes, name), engine, ...options }).world;
}
