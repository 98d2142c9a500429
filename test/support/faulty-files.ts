/** A disk that fails: writes that stop half-way, a crash that keeps only some of what was not synced. Everything follows from a seed. */

import type { Files } from '../../snapshots/files.ts';
import { generator } from '../../snapshots/explore.ts';

export class Crash extends Error { override readonly name = 'Crash'; }
export class DiskFull extends Error { override readonly name = 'DiskFull'; }

/** A file: its bytes, and how many of them a crash cannot take. */
interface Held { bytes: Uint8Array; synced: number }

export interface FaultyFiles extends Files {
  /** What is on the disk after the crash, or now. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Writes, syncs and the like so far. */
  readonly operations: number;
  /** Bytes appended and not yet asked to be synced are lost from here on, partly. */
  crash(): void;
}

export interface Faults {
  readonly seed: number;
  /** The operation at which the machine stops. */
  readonly crashAt?: number;
  /** Whether an append fails, having written some of its bytes. */
  readonly full?: (operation: number) => boolean;
  readonly syncFails?: (operation: number) => boolean;
}

/** Files in memory that fail as `faults` say. `replace` is atomic, as rename is. */
export function faultyFiles(faults: Faults): FaultyFiles {
  const held = new Map<string, Held>();
  const draw = generator(faults.seed);
  let operations = 0;
  let isDown = false;
  const assertUp = (): void => { if (isDown) throw new Crash('the machine is down'); };
  const file = (path: string): Held => {
    const found = held.get(path);
    if (found === undefined) throw new Error(`${path}: there is no such file`);
    return found;
  };
  /** Counts an operation; true when the machine stops in it. */
  const stops = (): boolean => { assertUp(); return operations++ === faults.crashAt; };
  const grow = (path: string, bytes: Uint8Array): void => {
    const old = held.get(path) ?? { bytes: new Uint8Array(0), synced: 0 };
    const all = new Uint8Array(old.bytes.length + bytes.length);
    all.set(old.bytes);
    all.set(bytes, old.bytes.length);
    held.set(path, { bytes: all, synced: old.synced });
  };
  function crash(): never {
    isDown = true;
    for (const [, one] of held) {
      const kept = one.synced + draw(one.bytes.length - one.synced + 1);
      // What was not synced may be cut, or, when only its length reached the disk, be zeros.
      const tail = draw(2) === 0 ? new Uint8Array(0) : new Uint8Array(draw(one.bytes.length - kept + 1));
      const left = new Uint8Array(kept + tail.length);
      left.set(one.bytes.subarray(0, kept));
      one.bytes = left;
    }
    throw new Crash('the machine stopped');
  }
  return {
    get files() { return new Map([...held].map(([path, one]) => [path, one.bytes])); },
    get operations() { return operations; },
    list: (directory) => [...held.keys()].filter((path) => path.startsWith(`${directory}/`)).map((path) => path.slice(directory.length + 1)).sort(),
    size: (path) => held.get(path)?.bytes.length,
    read: (path, offset, length) => { assertUp(); return file(path).bytes.slice(offset, offset + length); },
    append(path, bytes) {
      const operation = operations;
      const stopping = stops();
      const fails = faults.full?.(operation) === true;
      grow(path, stopping || fails ? bytes.subarray(0, draw(bytes.length + 1)) : bytes);
      if (stopping) crash();
      if (fails) throw new DiskFull(`${path}: no space left on device`);
    },
    truncate(path, size) {
      const stopping = stops();
      const one = file(path);
      if (!stopping || draw(2) === 0) held.set(path, { bytes: one.bytes.slice(0, size), synced: Math.min(one.synced, size) });
      if (stopping) crash();
    },
    sync(path) {
      const operation = operations;
      if (stops()) crash();
      if (faults.syncFails?.(operation)) throw new Error(`${path}: input/output error`);
      const one = file(path);
      one.synced = one.bytes.length;
    },
    replace(path, bytes) {
      const stopping = stops();
      if (!stopping || draw(2) === 0) held.set(path, { bytes: bytes.slice(), synced: bytes.length });
      if (stopping) crash();
    },
    remove(path) { if (stops()) crash(); held.delete(path); },
    makeDirectory() { assertUp(); },
    crash() { try { crash(); } catch (error) { if (!(error instanceof Crash)) throw error; } },
  };
}
