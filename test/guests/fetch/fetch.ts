/** `npm run guests:fetch`: gets the guests nobody here wrote, and a QEMU to compare with, from Debian's packages into .guests/. Nothing outside it changes. */

import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { GUESTS_FOLDER } from '../../../scenarios/node.ts';
import { HOST, openApt } from './apt.ts';
import { FetchError, filesOf, isWhole, readManifest, sumOf, writeManifest, type Guest, type Manifest, type Package } from './manifest.ts';
import { RECIPES } from './recipes.ts';

const USAGE = `usage: npm run guests:fetch [-- --update | --offline]
  --update   looks for newer packages too, not only for what is missing
  --offline  makes what it can from packages that lie there, and asks nobody
Into ${GUESTS_FOLDER}; the variable ZENO_GUESTS names another folder.`;

const SUITES = { bookworm: ['arm64'], trixie: ['arm64', HOST] };

/** What made a guest: when it changes, guests are made anew from packages that are there. */
function recipe(): string {
  const sum = createHash('sha256');
  for (const name of readdirSync(import.meta.dirname).filter((name) => !name.endsWith('.test.ts')).toSorted()) sum.update(readFileSync(join(import.meta.dirname, name)));
  return sum.digest('hex');
}

function main(): void {
  const options = settings();
  if (options.help) {
    console.log(USAGE);
    return;
  }
  const folder = GUESTS_FOLDER;
  const names = Object.keys(RECIPES);
  const now = recipe();
  const before = readManifest(folder);
  const whole = names.filter((name) => before?.recipe === now && before.guests[name] !== undefined && isWhole(join(folder, name), before.guests[name]));
  if (whole.length === names.length && !options.update) {
    report(before!, folder, 'all there');
    return;
  }
  mkdirSync(folder, { recursive: true });
  const packages = gathered(folder, before, options);
  const guests: Record<string, Guest> = {};
  for (const name of names) {
    const old = before?.guests[name];
    const same = whole.includes(name) && JSON.stringify(old!.packages) === JSON.stringify(packages[name]);
    guests[name] = same ? old! : made(folder, name, packages[name]!);
    // What is made stays so when the next one fails.
    writeManifest(folder, { recipe: now, guests });
  }
  tidy(folder, guests);
  report({ recipe: now, guests }, folder, 'made');
}

function settings(): { readonly update: boolean; readonly offline: boolean; readonly help: boolean } {
  const { values } = parseArgs({ options: { update: { type: 'boolean', default: false }, offline: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } });
  if (values.update && values.offline) throw new FetchError('--update asks for newer packages, --offline asks nobody: one of them');
  return values;
}

/** The packages of each guest, all of them whole in the folder of packages when this returns. */
function gathered(folder: string, before: Manifest | undefined, { update, offline }: { update: boolean; offline: boolean }): Record<string, readonly Package[]> {
  const lie = join(folder, 'packages');
  const whole = ({ file, sha256 }: Package): boolean => existsSync(join(lie, file)) && sumOf(join(lie, file)) === sha256;
  // Guests may share a package.
  const lacking = (all: Readonly<Record<string, readonly Package[]>>): Package[] => [...new Map(Object.values(all).flat().map((each) => [each.file, each])).values()].filter((each) => !whole(each));
  const known = Object.keys(RECIPES).every((name) => before?.guests[name] !== undefined);
  if (known && !update) {
    const packages = Object.fromEntries(Object.entries(before!.guests).map(([name, guest]) => [name, guest.packages]));
    const missing = lacking(packages);
    if (missing.length === 0) return packages;
    if (offline) throw new FetchError(`${missing[0]!.file}: not in ${lie}, or not whole, and --offline asks nobody`);
  }
  if (offline) throw new FetchError(`${folder}: guests were never fetched into it, and --offline asks nobody`);

  const own = mkdtempSync(join(folder, 'new-'));
  try {
    const apt = openApt(own, SUITES);
    const packages = Object.fromEntries(Object.entries(RECIPES).map(([name, recipe]) => [name, recipe.packages(apt)]));
    const missing = lacking(packages);
    if (missing.length > 0) {
      console.log(`getting ${missing.length} packages`);
      apt.download(missing, lie);
    }
    return packages;
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/** A guest is made beside its place and then takes it. */
function made(folder: string, name: string, packages: readonly Package[]): Guest {
  const scratch = mkdtempSync(join(folder, 'new-'));
  try {
    const result = join(scratch, name);
    mkdirSync(result);
    RECIPES[name]!.make({ debs: packages.map(({ file }) => join(folder, 'packages', file)), scratch: join(scratch, 'unpacked'), result });
    rmSync(join(folder, name), { recursive: true, force: true });
    renameSync(result, join(folder, name));
    return { packages, files: filesOf(join(folder, name)) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Packages that no guest is made of any more, and what a run that was stopped left behind. */
function tidy(folder: string, guests: Readonly<Record<string, Guest>>): void {
  const used = new Set(Object.values(guests).flatMap(({ packages }) => packages.map(({ file }) => file)));
  for (const file of readdirSync(join(folder, 'packages'))) if (!used.has(file)) rmSync(join(folder, 'packages', file));
  for (const name of globSync('new-*', { cwd: folder })) rmSync(join(folder, name), { recursive: true, force: true });
}

function report({ guests }: Manifest, folder: string, what: string): void {
  for (const name of Object.keys(RECIPES)) {
    const first = guests[name]!.packages[0]!;
    console.log(`${name.padEnd(12)} ${first.name} ${first.version}`);
  }
  console.log(`${what}: ${folder}`);
}

try {
  main();
} catch (error) {
  const wrong = error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS') ? `${error.message.split('\n')[0]}; --help says what there is` : undefined;
  // No space, no permission: what the system says names the file.
  const refused = error instanceof Error && 'syscall' in error ? error.message : undefined;
  const line = error instanceof FetchError ? error.message : (wrong ?? refused);
  if (line === undefined) throw error;
  console.error(`guests:fetch: ${line}`);
  process.exitCode = 2;
}
