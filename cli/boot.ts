/** `zeno boot`: a machine from images; the console is the terminal. */

import { readFileSync, statSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import { Option, type Command } from 'commander';
import { boot as bootMachine, INITRD_BASE, RAM_BASE, RAM_BYTES_MAX, type BootOptions } from '../actors/boot.ts';
import { hasRead, nextInput } from '../actors/console.ts';
import { withChosen, type Chosen } from '../actors/device-tree.ts';
import { flatten, parseDeviceTree } from '../actors/flattened-tree.ts';
import { readFirmware, readImage, type Image } from '../actors/images.ts';
import { InputError } from '../actors/input-error.ts';
import type { TransportKind } from '../actors/virtio-devices.ts';
import type { Outcome, World } from '../actors/world.ts';
import type { EngineName } from '../machines/aarch64/board.ts';
import type { Flavour, Mechanism } from '../machines/kvm/state.ts';
import { sha256 } from '../scenarios/node.ts';
import { SEMANTICS } from '../scenarios/scenario.ts';
import type { Image as ImageSum, Manifest } from '../snapshots/compatibility.ts';
import { close, placeOf, stepForward, take, worldOf } from '../snapshots/history.ts';
import { openDisk, parseDisk, type DiskRecord } from './disk.ts';
import { REBUILDERS, type Opened } from './open.ts';
import { engineOption, seedOption, wholeNumber } from './options.ts';
import { reportRun, statusOf } from './run.ts';
import type { RunEnd } from './runner.ts';
import { startSession, totalsOf, type Session } from './session.ts';

/** What a boot is made of, as its recording keeps it. Paths are absolute. */
interface BootRecord {
  readonly el2: 'kvm' | 'guest' | 'none';
  readonly nested: Mechanism;
  readonly l1: Flavour | 'both';
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly append: string | null;
  readonly pauth: Pauth;
  readonly files: Readonly<Partial<Record<ImageKind, string>>>;
  /** Absent in recordings from before there were any. */
  readonly disks?: readonly DiskRecord[];
  /** Other virtio devices, by their transport. */
  readonly devices?: Devices;
}
type Devices = Readonly<Partial<Record<(typeof DEVICES)[number], TransportKind>>>;
type Pauth = 'none' | 'qarma5' | 'fast';
const IMAGE_KINDS = ['kernel', 'firmware', 'initrd', 'dtb'] as const;
type ImageKind = (typeof IMAGE_KINDS)[number];

interface BootFlags extends Partial<Record<ImageKind, string>>, Devices {
  readonly append?: string;
  readonly disk: readonly DiskRecord[];
  readonly mem: number;
  readonly smp: number;
  readonly el2: 'kvm' | 'guest' | 'none';
  readonly nested?: Mechanism;
  readonly l1?: Flavour | 'both';
  readonly pauth: Pauth;
  readonly engine: EngineName;
  readonly input?: string;
  readonly expect?: string;
  readonly maxInsns?: number;
  readonly seed: number;
  readonly record?: string;
  readonly json?: boolean;
}

/** Where a flat kernel goes: the arm64 convention's 2 MiB into RAM. */
const FLAT_KERNEL = RAM_BASE + 0x20_0000;
/** Time between looks at whether Ctrl-C was pressed, and at what was typed. */
const SLICE_MS = 25;

export function addBoot(program: Command): void {
  program.command('boot').description('boot a machine from images; the console is the terminal')
    .option('--kernel <file>', 'ELF, arm64 Linux Image or flat binary')
    .option('--firmware <file>', 'contents of the flash at 0, where reset starts')
    .option('--initrd <file>', 'placed at 0x44000000 and named in /chosen')
    .option('--dtb <file>', 'a device tree in place of the generated one')
    .option('--append <text>', 'the kernel command line')
    .addOption(new Option('--disk <file>', 'a raw image as a virtio disk, with ,ro and ,mmio or ,pci behind it; what is written stays in the machine').argParser((text: string, before: readonly DiskRecord[]) => [...before, parseDisk(text)]).default([], 'none'))
    .addOption(transportOption('--rng [transport]', 'a virtio entropy device, whose bytes come from the seed'))
    .addOption(transportOption('--net [transport]', 'a virtio network device; 10.0.2.2 answers ARP, ping and UDP'))
    .addOption(transportOption('--console [transport]', 'a virtio console'))
    .addOption(new Option('--mem <size>', 'bytes of RAM, with K, M or G').argParser(memorySize).default(512 << 20, '512M'))
    .addOption(new Option('--smp <n>', 'vCPUs').argParser(wholeNumber('--smp', 1)).default(1))
    .addOption(new Option('--el2 <owner>', 'L0, the guest, or no EL2').choices(['kvm', 'guest', 'none']).default('kvm'))
    .addOption(new Option('--nested <mechanism>', 'under --el2 kvm: start the guest at virtual EL2').choices(['pv', 'nv', 'nv2', 'none']))
    .addOption(new Option('--l1 <flavour>', 'the EL2 that the guest sees').choices(['vhe', 'nvhe', 'both']))
    .addOption(new Option('--pauth <function>', 'what signs pointers: QARMA5, a function that costs less, or nothing').choices(['qarma5', 'fast', 'none']).default('fast'))
    .addOption(engineOption())
    .option('--input <file>', 'typed at the console, as fast as the guest reads it')
    .option('--expect <text>', 'passed when the console shows TEXT after all input was read')
    .addOption(new Option('--max-insns <n>', 'stop after so many instructions').argParser(wholeNumber('--max-insns', 1)))
    .addOption(seedOption())
    .option('--record <dir>', 'record in DIR')
    .option('--json', 'one object; the console goes to standard error')
    .action(async (flags: BootFlags) => { process.exitCode = await boot(flags); });
}

const DEVICES = ['rng', 'net', 'console'] as const;
const transportOption = (flag: string, text: string): Option => new Option(flag, text).choices(['mmio', 'pci']).preset('mmio');

async function boot(flags: BootFlags): Promise<number> {
  const input = flags.input === undefined ? undefined : readInput('--input', flags.input);
  const nested = flags.nested ?? 'none';
  const record: BootRecord = {
    el2: flags.el2, nested, l1: flags.l1 ?? (flags.el2 === 'kvm' ? 'vhe' : 'both'), vcpus: flags.smp, memoryBytes: flags.mem, append: flags.append ?? null, pauth: flags.pauth,
    files: Object.fromEntries(IMAGE_KINDS.flatMap((kind) => (flags[kind] === undefined ? [] : [[kind, resolvePath(flags[kind])]]))),
    disks: flags.disk, devices: Object.fromEntries(DEVICES.flatMap((device) => (flags[device] === undefined ? [] : [[device, flags[device]]]))),
  };
  const session = startSession(openBoot(record, flags.seed, flags.engine), flags.record);
  try {
    const end = await runConsole(session, flags, input);
    reportRun(session, 'boot', end, flags.json === true);
    return statusOf(end);
  } finally {
    session.close();
  }
}

/** Runs to power-off, to --expect, to --max-insns or to Ctrl-C, with the console on standard output and what is typed on standard input. */
async function runConsole(session: Session, flags: BootFlags, script: Uint8Array | undefined): Promise<RunEnd> {
  const { history, opened } = session;
  const stdout = flags.json ? process.stderr : process.stdout;
  const terminal = script === undefined && process.stdin.isTTY === true;
  const typed: number[] = [...(script ?? [])];
  let interrupted = false;
  const onData = (bytes: Buffer): void => { if (bytes.includes(ESCAPE)) interrupted = true; else typed.push(...bytes); };
  const onSignal = (): void => { interrupted = true; };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  if (terminal) {
    process.stderr.write('(Ctrl-] leaves)\n');
    process.stdin.setRawMode(true).on('data', onData).resume();
  }
  let shown = '';
  let insns = 0;
  /** Since when the machine has waited for its next alarm. */
  let idleSince: number | undefined;
  const expected = (): boolean => flags.expect !== undefined && shown.includes(flags.expect);
  let by: RunEnd['by'] = 'end';
  let limited = false;
  try {
    for (let sliceEnds = performance.now() + SLICE_MS; ;) {
      const world = worldOf(history);
      const ready = hasRead(world, typed.length);
      const choice = nextInput(world, typed);
      const idleMs = terminal && choice === undefined ? msToAlarm(session) : 0;
      if (idleMs > 0) idleSince ??= performance.now();
      const waits = idleMs > 0 && performance.now() - idleSince! < idleMs;
      if (!waits) idleSince = undefined;
      const frame = waits ? undefined : choice ? take(history, choice) : stepForward(history);
      if (frame === undefined) {
        // The machine waits for nothing but what a person may type.
        if (!terminal || world.state.ended !== null) break;
      } else {
        insns += frame.insns;
        for (const event of frame.events) {
          if (event.event !== 'console') continue;
          stdout.write(Buffer.from([event.byte as number]));
          // What the console echoes while input is still being read does not count.
          if (ready) shown = (shown + String(event.text)).slice(-4096);
        }
        if (expected()) { by = 'until'; break; }
        if (flags.maxInsns !== undefined && insns >= flags.maxInsns) { by = 'until'; limited = true; break; }
      }
      if (frame !== undefined && performance.now() < sliceEnds) continue;
      await new Promise((go) => { if (frame === undefined) setTimeout(go, SLICE_MS); else setImmediate(go); });
      if (interrupted) { by = 'interrupt'; break; }
      sliceEnds = performance.now() + SLICE_MS;
    }
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    if (terminal) process.stdin.setRawMode(false).off('data', onData).pause();
  }
  const judged = opened.judge(worldOf(history));
  const limit = limited ? `--max-insns ${flags.maxInsns} was reached` : undefined;
  const outcome: Outcome = by === 'interrupt' ? { outcome: 'stopped', reason: 'interrupted' }
    : flags.expect === undefined ? (limit === undefined ? judged : { outcome: 'stopped', reason: limit })
    : by === 'until' && !limited ? { outcome: 'passed', reason: `the console shows ${JSON.stringify(flags.expect)}` }
    : { outcome: 'failed', reason: `the console never showed ${JSON.stringify(flags.expect)}: ${limit ?? judged.reason}` };
  if (by === 'end') close(history);
  else session.recording?.line(history.branch).sync();
  return {
    ...outcome, by: outcome.outcome === 'failed' ? 'end' : by, broken: undefined, vcpu: undefined, nested: 0, place: placeOf(history),
    ...totalsOf(history), fingerprint: history.system.fingerprint(worldOf(history)),
  };
}

/** How long a person waits until the next alarm fires, when nothing else can happen before it. */
function msToAlarm({ history }: Session): number {
  const world = worldOf(history);
  const next = history.system.next(world);
  return next?.type === 'advance' ? (next.timeNs - world.state.clock) / 1e6 : 0;
}

/** Ctrl-]. */
const ESCAPE = 0x1d;

/** Power-off is how a machine ends well. */
function judge(world: World): Outcome {
  const { ended } = world.state;
  if (ended === null) return { outcome: 'stopped', reason: 'nothing can happen any more: every vCPU waits and no alarm is armed' };
  return ended.by === 'hole' ? { outcome: 'stopped', reason: ended.reason } : { outcome: 'passed', reason: ended.reason };
}

/** Boots what `record` says. Throws InputError for a file that is missing or not what it should be. */
function openBoot(record: BootRecord, seed: number, engine: EngineName): Opened {
  const sums: ImageSum[] = [];
  const read = (kind: ImageKind): Uint8Array | undefined => {
    const path = record.files[kind];
    if (path === undefined) return undefined;
    const bytes = readInput(`--${kind}`, path);
    sums.push({ name: path, sum: sha256(bytes), bytes: bytes.length });
    return bytes;
  };
  const [kernelBytes, firmwareBytes, initrd, dtbBytes] = IMAGE_KINDS.map(read);
  const kernel = kernelBytes && readImage(kernelBytes, record.files.kernel!, { at: FLAT_KERNEL });
  const firmware = firmwareBytes && readFirmware(firmwareBytes, record.files.firmware!);
  const chosen: Chosen = {
    seed: BigInt(seed), ...(record.append === null ? {} : { bootargs: record.append }),
    ...(initrd && { initrd: { from: INITRD_BASE, to: INITRD_BASE + initrd.length } }),
  };
  const tree = dtbBytes && parseDeviceTree(dtbBytes, record.files.dtb!);
  const dtb = tree && flatten(withChosen(tree.root, chosen), tree.reservations, tree.bootCpu);
  const disks = (record.disks ?? []).map(openDisk);
  sums.push(...disks.map(({ sum }) => sum));
  const options: BootOptions = {
    disks: disks.map(({ disk }) => disk), ...record.devices,
    vcpus: record.vcpus, memoryBytes: record.memoryBytes, el2: record.el2, nested: record.nested, l1: record.l1, pauth: record.pauth, seed, engine,
    ...(kernel && { kernel }), ...(firmware && { firmware }), ...(initrd && { initrd }), ...(dtb && { dtb }), ...(record.append === null ? {} : { append: record.append }),
  };
  const { world } = bootMachine(options);
  const manifest: Manifest = { semantics: SEMANTICS, scenario: 'boot', seed, images: sums, options: { ...record } };
  const images: Image[] = [kernel, firmware].filter((image) => image !== undefined);
  return { world, manifest, claims: {}, judge, images: { l1: images, l2: [] } };
}

REBUILDERS.set('boot', async (manifest, engine) => openBoot(manifest.options as unknown as BootRecord, manifest.seed, engine));

function readInput(option: string, path: string): Uint8Array {
  try {
    if (statSync(path).isFile()) return new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new InputError(`${option} ${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message}`);
  }
  throw new InputError(`${option} ${path}: it is not a file`);
}

/** 512M, 1G, 65536K or a number of bytes. */
function memorySize(text: string): number {
  const [, digits, unit] = /^(\d+)([KMG]?)$/i.exec(text) ?? [];
  const bytes = digits === undefined ? NaN : Number(digits) * { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 }[unit!.toUpperCase() as '' | 'K' | 'M' | 'G'];
  if (!Number.isSafeInteger(bytes) || bytes < 1 << 20 || bytes % 4096 !== 0 || bytes > RAM_BYTES_MAX) throw new InputError(`--mem ${text}: it must be from 1M to 3G, a multiple of 4096 bytes, such as 512M`);
  return bytes;
}
