/** What lies in the folder of guests, by sums: `manifest.json`, written last, so that only what is whole is named in it. */

import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the user is told in one line. */
export class FetchError extends Error {}

/** A package as the signed index names it. */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly file: string;
  readonly sha256: string;
}

/** A folder of files made from packages. */
export interface Guest {
  readonly packages: readonly Package[];
  /** The sum of each file by its path in the guest's folder; `-> TARGET` for a symbolic link. */
  readonly files: Readonly<Record<string, string>>;
}

export interface Manifest {
  /** The sum of the sources that made it: what other sources made is made anew. */
  readonly recipe: string;
  readonly guests: Readonly<Record<string, Guest>>;
}

const NAME = 'manifest.json';

export const sumOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** The files under a folder, in the order of their names. */
export function filesOf(folder: string, under = ''): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of readdirSync(join(folder, under)).toSorted()) {
    const path = under === '' ? name : `${under}/${name}`;
    const stat = lstatSync(join(folder, path));
    if (stat.isDirectory()) Object.assign(files, filesOf(folder, path));
    else files[path] = stat.isSymbolicLink() ? `-> ${readlinkSync(join(folder, path))}` : sumOf(join(folder, path));
  }
  return files;
}

/** Undefined when there is none, or none that can be read: then nothing counts as there. */
export function readManifest(folder: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, NAME), 'utf8')) as Manifest;
  } catch {
    return undefined;
  }
}

export function writeManifest(folder: string, manifest: Manifest): void {
  writeFileSync(join(folder, `${NAME}.new`), `${JSON.stringify(manifest, null, 1)}\n`);
  renameSync(join(folder, `${NAME}.new`), join(folder, NAME));
}

/** Whether a guest's folder holds what the manifest says, no more and no less. */
export function isWhole(folder: string, { files }: Guest): boolean {
  if (!existsSync(folder)) return false;
  const found = filesOf(folder);
  const names = Object.keys(found);
  return names.length === Object.keys(files).length && names.every((name) => found[name] === files[name]);
}
