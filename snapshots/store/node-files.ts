/** Files on a disk, through Node. */

import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Files } from '../files.ts';

/** What is used of node:fs, so that a test can make it fail. */
export interface Descriptors { write(descriptor: number, bytes: Uint8Array, offset: number): number; sync(descriptor: number): void }

/** Files that keep one descriptor open for each path they append to or read from, until `close`. */
export function nodeFiles(descriptors: Descriptors = { write: (descriptor, bytes, offset) => writeSync(descriptor, bytes, offset), sync: fsyncSync }): Files & { close(): void } {
  const open = new Map<string, number>();
  const descriptorOf = (path: string, flags: 'r' | 'a+'): number => {
    const key = `${flags} ${path}`;
    let descriptor = open.get(key);
    if (descriptor === undefined) open.set(key, descriptor = openSync(path, flags));
    return descriptor;
  };
  const forget = (path: string): void => {
    for (const flags of ['r', 'a+']) {
      const descriptor = open.get(`${flags} ${path}`);
      if (descriptor !== undefined) closeSync(descriptor);
      open.delete(`${flags} ${path}`);
    }
  };
  const writeAll = (path: string, descriptor: number, bytes: Uint8Array): void => {
    for (let offset = 0; offset < bytes.length;) {
      const written = named(path, () => descriptors.write(descriptor, bytes, offset));
      if (written <= 0) throw new Error(`wrote ${offset} of ${bytes.length} bytes`);
      offset += written;
    }
  };
  const syncDirectory = (path: string): void => {
    const descriptor = openSync(dirname(path), 'r');
    try { descriptors.sync(descriptor); } finally { closeSync(descriptor); }
  };
  return {
    list(directory) {
      const entries = statSync(directory, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(directory);
      return entries.sort();
    },
    size: (path) => statSync(path, { throwIfNoEntry: false })?.size,
    read(path, offset, length) {
      const descriptor = descriptorOf(path, 'r');
      const bytes = new Uint8Array(length);
      let done = 0;
      for (let count = 1; done < length && count > 0; done += count) count = readSync(descriptor, bytes, done, length - done, offset + done);
      return bytes.subarray(0, done);
    },
    append(path, bytes) {
      const isNew = statSync(path, { throwIfNoEntry: false }) === undefined;
      writeAll(path, descriptorOf(path, 'a+'), bytes);
      if (isNew) syncDirectory(path);
    },
    truncate(path, size) {
      const descriptor = openSync(path, 'r+');
      try { ftruncateSync(descriptor, size); descriptors.sync(descriptor); } finally { closeSync(descriptor); }
    },
    sync: (path) => { named(path, () => { descriptors.sync(descriptorOf(path, 'a+')); }); },
    replace(path, bytes) {
      const temporary = `${path}.new`;
      const descriptor = openSync(temporary, 'w');
      try {
        try { writeAll(temporary, descriptor, bytes); descriptors.sync(descriptor); } finally { closeSync(descriptor); }
        forget(path);
        renameSync(temporary, path);
      } catch (error) {
        try { rmSync(temporary, { force: true }); } catch { /* the first error is told */ }
        throw error;
      }
      syncDirectory(path);
    },
    remove(path) { forget(path); rmSync(path, { force: true }); },
    makeDirectory,
    close() {
      for (const descriptor of open.values()) closeSync(descriptor);
      open.clear();
    },
  };
}

/** Makes a directory and those above it. Not by mkdir's own recursion, which in Node never ends where the system makes none, as in /proc. */
function makeDirectory(path: string): void {
  const isThere = (): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isThere()) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have been quicker.
    if (!isThere()) throw error;
  }
}

/** Does `work`; an error of a descriptor gets the path that it stands for. */
function named<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && 'code' in error && !('path' in error)) (error as NodeJS.ErrnoException).path = path;
    throw error;
  }
}
