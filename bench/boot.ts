/**
 * Time to boot Linux, beside QEMU: `npm run bench:boot`. The fetched kernel (`--kernel 6.12`) on one vCPU of a board (`--el2 none|guest|kvm`), whose /init powers
 * off at once: from process start to "Run /init", and to the end: the first time, when nothing is known of the kernel, and again, by code that was kept (docs/decisions/0013-kept-code.md).
 * Also what recording costs, and memory. `--runs N` (3; the median counts), `--engine NAME`, `--json`.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { boot, type BootOptions } from '../actors/boot.ts';
import { next } from '../actors/choices.ts';
import { readImage } from '../actors/images.ts';
import { step } from '../actors/step.ts';
import { keep, treeOf } from '../actors/world.ts';
import { PAGE_BYTES, regionNamed } from '../machines/memory/memory.ts';
import { diffTrees, emptyTree } from '../machines/memory/page-tree.ts';
import { GUESTS_FOLDER } from '../scenarios/node.ts';
import { PEERS, whyNoQemu, type PeerName } from './qemu.ts';
import { median, printRows, type Row } from './rows.ts';

const ZENO = join(import.meta.dirname, '../cli/zeno.js');
const APPEND = 'console=ttyAMA0 -- poweroff';
const MEMORY_MIB = 512;
const LIMIT_MS = 300_000;
/** The kernel says so when it is done and starts the first program. */
const HALF_WAY = 'Run /init';

const { values: given } = parseArgs({ options: { runs: { type: 'string', default: '3' }, kernel: { type: 'string', default: '6.12' }, el2: { type: 'string', default: 'none' }, engine: { type: 'string', multiple: true, default: ['translator'] }, json: { type: 'boolean', default: false } } });
const runs = Number(given.runs);
const folder = join(GUESTS_FOLDER, `linux-${given.kernel}`);
const [image, initramfs] = [join(folder, 'Image'), join(folder, 'initramfs.gz')];

interface Timed { readonly initMs: number; readonly endMs: number; readonly out: string; readonly peakBytes: number }

/** Runs a program to its end; when each line came out is by the clock on the wall. Its peak of resident memory is read from its last look at /proc. */
function timed(program: string, words: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Timed> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, initMs, peakBytes] = ['', NaN, 0];
    const late = setTimeout(() => { child.kill('SIGKILL'); reject(new Error(`${program}: not done in ${LIMIT_MS} ms`)); }, LIMIT_MS);
    const look = setInterval(() => { peakBytes = Math.max(peakBytes, peakOf(child.pid!)); }, 50);
    const take = (bytes: Buffer): void => {
      out += bytes.toString('latin1');
      if (Number.isNaN(initMs) && out.includes(HALF_WAY)) initMs = performance.now() - began;
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(late);
      clearInterval(look);
      if (status !== 0 || Number.isNaN(initMs)) reject(new Error(`${program} ${words.join(' ')}: exit status ${status}\n${out.slice(-2000)}`));
      else resolve({ initMs, endMs: performance.now() - began, out, peakBytes });
    });
  });
}

/** VmHWM, in bytes; 0 where the system does not tell. */
function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** `cache`: where code is kept. */
const ours = (engine: string, cache: string, ...more: readonly string[]): Promise<Timed> => timed(process.execPath, [
  ZENO, 'boot', '--kernel', image, '--initrd', initramfs, '--append', APPEND, '--mem', `${MEMORY_MIB}M`, '--el2', given.el2, '--engine', engine, '--json', ...more], { ...process.env, ZENO_CODE_CACHE: cache });

const qemu = (peer: PeerName): Promise<Timed> => timed('qemu-system-aarch64', [
  '-M', `virt,gic-version=3${given.el2 === 'guest' ? ',virtualization=on' : ''}`, '-cpu', 'max', '-accel', 'tcg', '-m', `${MEMORY_MIB}M`, ...PEERS[peer], '-nic', 'none', '-display', 'none', '-monitor', 'none',
  '-serial', 'stdio', '-kernel', image, '-initrd', initramfs, '-append', APPEND]);

function bytesIn(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).reduce((sum, entry) => sum + (entry.isFile() ? statSync(join(entry.parentPath, entry.name)).size : 0), 0);
}

/** Bytes of RAM in pages that are not zero at the end of one more run, in this process: no more than the guest has touched. */
function touched(): number {
  const el2 = given.el2 as NonNullable<BootOptions['el2']>;
  let { world } = boot({
    kernel: readImage(new Uint8Array(readFileSync(image)), image), initrd: new Uint8Array(readFileSync(initramfs)), append: APPEND, memoryBytes: MEMORY_MIB << 20, vcpus: 1,
    el2, nested: 'none', l1: el2 === 'kvm' ? 'vhe' : 'both', engine: 'translator',
  });
  for (let choice = next(world); choice !== undefined; choice = next(world)) ({ world } = step(world, choice));
  const { offset, bytes } = regionNamed(world.engine.board.memory, 'ram');
  return PAGE_BYTES * diffTrees(emptyTree, treeOf(keep(world))).filter((page) => page * PAGE_BYTES >= offset && page * PAGE_BYTES < offset + bytes).length;
}

const skipped = whyNoQemu();
const results = new Map<string, Timed[]>();
const note = (name: string, one: Timed): void => { results.set(name, [...(results.get(name) ?? []), one]); };
const directory = mkdtempSync(join(tmpdir(), 'zeno-bench-'));
let recordedBytes = 0;
const KEPT = join(directory, 'kept');
/** The first boot keeps the engines' code, the next V8's. */
const BOOTS_BEFORE = 2;
const again = (engine: string): string => `${engine}, again`;
try {
  for (const engine of given.engine) for (let boots = 0; boots < BOOTS_BEFORE; boots++) await ours(engine, KEPT);
  // Interleaved, so that what else the machine does falls on all.
  for (let run = 0; run < runs; run++) {
    for (const engine of given.engine) {
      note(engine, await ours(engine, join(directory, `none-${run}`)));
      note(again(engine), await ours(engine, KEPT));
      const recording = join(directory, `${engine}-${run}`);
      note(`${engine} recorded`, await ours(engine, KEPT, '--record', recording));
      recordedBytes = Math.max(recordedBytes, bytesIn(recording));
    }
    if (skipped === undefined) for (const peer of Object.keys(PEERS) as PeerName[]) note(peer, await qemu(peer));
  }
} finally {
  rmSync(directory, { recursive: true });
}

const limitMiB = touched() / 2 ** 20 + 400;
const seconds = (name: string, which: 'initMs' | 'endMs'): number => median(results.get(name)!.map((one) => one[which])) / 1000;
const workload = `Linux ${given.kernel}, ${given.el2}`;
const rows: Row[] = given.engine.flatMap((engine) => {
  const [last] = results.get(engine)!.slice(-1);
  const { insns, exits } = JSON.parse(last!.out.slice(last!.out.lastIndexOf('{"scenario"')).split('\n')[0]!) as { insns: number; exits: number };
  const against = [engine, again(engine)].flatMap((name) => (['initMs', 'endMs'] as const).flatMap((which): Row[] => (Object.keys(PEERS) as PeerName[]).map((peer) => {
    const mine = seconds(name, which);
    const theirs = skipped === undefined ? seconds(peer, which) : null;
    return { bench: which === 'initMs' ? 'boot, to /init' : 'boot, to power-off', workload, engine: name, ours: mine, peer: theirs, peerName: peer, ratio: theirs === null ? null : theirs / mine, unit: 's', runs, ...(skipped && { skipped }) };
  })));
  const plain = seconds(again(engine), 'endMs');
  const peakMiB = Math.max(...[...results.get(engine)!, ...results.get(again(engine))!].map(({ peakBytes }) => peakBytes)) / 2 ** 20;
  const recorded = seconds(`${engine} recorded`, 'endMs');
  const alone = { workload, engine, peer: null, peerName: 'none', ratio: null, runs };
  return [
    ...against,
    { ...alone, bench: 'boot, recorded', ours: recorded, peer: plain, peerName: 'not recorded', ratio: plain / recorded, unit: 's' },
    { ...alone, bench: 'recording', ours: recordedBytes / 2 ** 20, unit: 'MiB' },
    { ...alone, bench: 'peak memory', ours: peakMiB, peer: limitMiB, peerName: 'touched + 400', ratio: limitMiB / peakMiB, unit: 'MiB' },
    { ...alone, bench: 'instructions', ours: insns / 1e6, unit: 'million' },
    { ...alone, bench: 'exits to L0', ours: exits, unit: '' },
  ];
});
printRows(rows, given.json);
