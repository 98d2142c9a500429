/** Builds the guest images into `built/`; `--check` says whether the committed ones are what these sources give. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCES = import.meta.dirname;
const BUILT = join(SOURCES, 'built');
const GCC = 'aarch64-linux-gnu-gcc';
const OBJCOPY = 'aarch64-linux-gnu-objcopy';
const LIBRARY = ['payloads/lib.c', 'payloads/start.S'];

/** No path, date or build id gets into an image, so equal compilers give equal bytes anywhere. */
const FLAGS = [
  '-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-g0', '-march=armv8-a', '-mgeneral-regs-only', '-mstrict-align', '-mno-outline-atomics',
  '-mbranch-protection=none', '-ffreestanding', '-fno-builtin', '-fno-pic', '-fno-stack-protector', '-fno-jump-tables', '-fno-tree-loop-distribute-patterns',
  '-fno-asynchronous-unwind-tables', `-ffile-prefix-map=${SOURCES}=.`, '-frandom-seed=zeno',
];
const LINK_FLAGS = [
  '-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096', '-Wl,-z,noexecstack', '-Wl,--no-warn-rwx-segments',
];

interface Manifest {
  readonly compiler: string;
  readonly images: Readonly<Record<string, string>>;
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

const sources = (folder: string, ...endings: string[]): string[] =>
  readdirSync(join(SOURCES, folder)).filter((name) => endings.some((ending) => name.endsWith(ending))).sort().map((name) => `${folder}/${name}`);

export const payloadNames = (): string[] =>
  sources('payloads', '.c').filter((path) => !LIBRARY.includes(path)).map((path) => path.slice('payloads/'.length, -'.c'.length));

function compiler(): string {
  try {
    return execFileSync(GCC, ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';
  } catch {
    console.error(`${GCC}: not found; the images in scenarios/guests/built are used as they are (Debian: gcc-aarch64-linux-gnu)`);
    process.exit(2);
  }
}

/** Objects go by fixed relative names, since the linker writes the name of an object without a file symbol into the symbol table. */
function link(output: string, script: string, inputs: readonly string[]): void {
  const objects = mkdtempSync(join(tmpdir(), 'zeno-objects-'));
  const stdio: ['ignore', 'inherit', 'inherit'] = ['ignore', 'inherit', 'inherit'];
  try {
    const names = inputs.map((input) => {
      const object = `${input.replaceAll('/', '-')}.o`;
      execFileSync(GCC, [...FLAGS, '-c', '-o', join(objects, object), input], { cwd: SOURCES, stdio });
      return object;
    });
    execFileSync(GCC, [...LINK_FLAGS, `-Wl,-T,${join(SOURCES, script)}`, '-o', output, ...names], { cwd: objects, stdio });
  } finally {
    rmSync(objects, { recursive: true });
  }
}

function build(folder: string): Manifest {
  const version = compiler();
  mkdirSync(folder, { recursive: true });
  const images: Record<string, string> = {};
  const hypervisor = 'tiny-hypervisor.elf';
  link(join(folder, hypervisor), 'hypervisor/hypervisor.lds', sources('hypervisor', '.c', '.S'));
  images[hypervisor] = sha256(join(folder, hypervisor));
  for (const name of payloadNames()) {
    const elf = join(folder, `${name}.elf`);
    const bin = join(folder, `${name}.bin`);
    link(elf, 'payloads/payload.lds', [...LIBRARY, `payloads/${name}.c`]);
    execFileSync(OBJCOPY, ['-O', 'binary', elf, bin]);
    images[`${name}.elf`] = sha256(elf);
    images[`${name}.bin`] = sha256(bin);
  }
  const manifest = { compiler: version, images };
  writeFileSync(join(folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

function check(): number {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-guests-'));
  try {
    const committed = JSON.parse(readFileSync(join(BUILT, 'manifest.json'), 'utf8')) as Manifest;
    const version = compiler();
    if (version !== committed.compiler) {
      console.log(`not compared: built by "${committed.compiler}", here is "${version}"`);
      return 0;
    }
    const rebuilt = build(folder);
    const names = [...new Set([...Object.keys(committed.images), ...Object.keys(rebuilt.images)])].sort();
    const sum = (name: string): string | undefined => statSync(join(BUILT, name), { throwIfNoEntry: false }) && sha256(join(BUILT, name));
    const differing = names.filter((name) => sum(name) !== rebuilt.images[name] || committed.images[name] !== rebuilt.images[name]);
    for (const name of differing) console.log(`differs: built/${name}`);
    if (differing.length === 0) console.log(`${names.length} images are what these sources give with ${version}`);
    return differing.length === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) {
  if (process.argv[2] === '--check') {
    process.exitCode = check();
  } else {
    const { images } = build(BUILT);
    for (const name of Object.keys(images)) console.log(`${String(statSync(join(BUILT, name)).size).padStart(7)}  built/${name}`);
  }
}
