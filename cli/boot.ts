/** `zeno boot`: a machine from images; the console is the terminal. */

import { readFileSync, statSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import { Option, type Command } from 'commander';
import { DATE_SECONDS, GIC } from '../actors/board.ts';
import { consolesOf, SERIAL } from '../actors/console.ts';
import { boot as bootMachine, RAM_BASE, type BootOptions } from '../actors/boot.ts';
import { withChosen, type Chosen } from '../actors/device-tree.ts';
import { flatten, parseDeviceTree } from '../actors/flattened-tree.ts';
import { FLASH_BANK_BYTES, readFirmware, readImage, type Image } from '../actors/images.ts';
import { InputError } from '../actors/input-error.ts';
import type { TransportKind } from '../actors/virtio-devices.ts';
import { endedOf } from '../actors/machines.ts';
import { initrdBase } from '../actors/placement.ts';
import { machinesOf, type Outcome, type World } from '../actors/world.ts';
import type { EngineName } from '../machines/aarch64/board.ts';
import type { GicVersion } from '../machines/gic/state.ts';
import type { Flavour, Mechanism } from '../machines/kvm/state.ts';
import { sha256 } from '../scenarios/node.ts';
import { SEMANTICS } from '../scenarios/scenario.ts';
import type { Image as ImageSum, Manifest } from '../snapshots/compatibility.ts';
import { openDisk, parseDisk, type DiskRecord } from './disk.ts';
import { fileOutput, runConsole, SILENCE_NS } from './console.ts';
import { readScript, type ConsoleScript } from './console-script.ts';
import { openKeptCode, type Keeping } from './kept-code.ts';
import { REBUILDERS, type Opened } from './open.ts';
import { consoleLog, dateSeconds, engineOption, firmwareFile, memorySize, seedOption, virtualTime, wholeNumber } from './options.ts';
import { timeText } from './output.ts';
import { reportRun, statusOf } from './run.ts';
import { onward, startSession, totalsOf, untilClosed } from './session.ts';
import { unpackImage } from './unpack.ts';

/** What a boot is made of, as its recording keeps it. Paths are absolute. */
interface BootRecord {
  readonly el2: 'kvm' | 'guest' | 'none';
  readonly nested: Mechanism;
  readonly l1: Flavour | 'both';
  /** Absent: 1. */
  readonly machines?: number;
  /** Of each machine. */
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly append: string | null;
  readonly pauth: Pauth;
  /** Absent: GIC. */
  readonly gic?: GicVersion;
  /** Seconds since 1970. */
  readonly date: number;
  readonly reboot: boolean;
  /** fw_cfg's files: their paths by name. */
  readonly firmwareFiles: Readonly<Record<string, string>>;
  readonly files: Readonly<Partial<Record<ImageKind, string>>>;
  readonly disks: readonly DiskRecord[];
  /** Other virtio devices, by their transport. */
  readonly devices: Devices;
}
type Devices = Readonly<Partial<Record<(typeof DEVICES)[number], TransportKind>>>;
type Pauth = 'none' | 'qarma5' | 'fast';
const IMAGE_KINDS = ['kernel', 'firmware', 'flash1', 'initrd', 'dtb'] as const;
type ImageKind = (typeof IMAGE_KINDS)[number];
/** The others say more of what is missing. */
const MAY_NOT_BE_EMPTY: readonly ImageKind[] = ['initrd', 'flash1'];

interface BootFlags extends Partial<Record<ImageKind, string>>, Devices {
  readonly append?: string;
  readonly disk: readonly DiskRecord[];
  readonly fwCfg?: Readonly<Record<string, string>>;
  readonly date: number;
  /** False with --no-reboot. */
  readonly reboot: boolean;
  readonly mem: number;
  readonly machines: number;
  readonly smp: number;
  readonly el2: 'kvm' | 'guest' | 'none';
  readonly nested?: Mechanism;
  readonly l1?: Flavour | 'both';
  readonly pauth: Pauth;
  readonly gic: '2' | '3';
  readonly engine: EngineName;
  readonly input?: string;
  readonly terminal: string;
  readonly consoleLog?: Readonly<Record<string, string>>;
  readonly expect?: string;
  readonly maxInsns?: number;
  readonly maxTime?: number;
  readonly seed: number;
  readonly record?: string;
  readonly json?: boolean;
}

/** Where a flat kernel goes, as QEMU has it (hw/arm/boot.c, KERNEL64_LOAD_ADDR). */
const FLAT_KERNEL = RAM_BASE + 0x8_0000;

export function addBoot(program: Command): void {
  program.command('boot').description('boot a machine from images; the console is the terminal')
    .option('--kernel <file>', 'ELF, arm64 Linux Image or flat binary; gzip and EFI zboot are unpacked')
    .option('--firmware <file>', 'contents of the flash at 0, where reset starts')
    .option('--flash1 <file>', 'what the second flash bank holds at first, where firmware keeps its variables; never written back')
    .option('--initrd <file>', 'placed at 0x44000000, or where there is room, and named in /chosen; with --firmware and --kernel, firmware finds all three')
    .option('--dtb <file>', 'a device tree in place of the generated one')
    .option('--append <text>', 'the kernel command line')
    .addOption(new Option('--disk <file>', 'a raw image as a virtio disk, with ,ro and ,mmio or ,pci behind it; what is written stays in the machine').argParser((text: string, before: readonly DiskRecord[]) => [...before, parseDisk(text)]).default([], 'none'))
    .addOption(transportOption('--rng [transport]', 'a virtio entropy device, whose bytes come from the seed'))
    .addOption(transportOption('--net [transport]', 'a virtio network device; 10.0.2.2 answers ARP, ping and UDP, and other machines are on the same segment'))
    .addOption(transportOption('--console [transport]', 'a virtio console: hvc0, and beside it a port org.zeno.stream.1'))
    .addOption(new Option('--fw-cfg <name=file>', 'a file for firmware to find, such as opt/org.example/words=words.txt; may be repeated').argParser(firmwareFile))
    .addOption(new Option('--date <date>', 'what the real time clock shows at boot').argParser(dateSeconds).default(DATE_SECONDS, '2026-01-01T00:00:00Z'))
    .option('--no-reboot', 'a reset ends the run; otherwise the machine starts again')
    .addOption(new Option('--mem <size>', 'bytes of RAM, with K, M or G').argParser(memorySize).default(512 << 20, '512M'))
    .addOption(new Option('--machines <n>', 'machines of this kind, 1 to 8, that take turns on one clock').argParser(wholeNumber('--machines', 1)).default(1))
    .addOption(new Option('--smp <n>', 'vCPUs').argParser(wholeNumber('--smp', 1)).default(1))
    .addOption(new Option('--el2 <owner>', 'L0, the guest, or no EL2').choices(['kvm', 'guest', 'none']).default('kvm'))
    .addOption(new Option('--nested <mechanism>', 'under --el2 kvm: start the guest at virtual EL2').choices(['pv', 'nv', 'nv2', 'none']))
    .addOption(new Option('--l1 <flavour>', 'the EL2 that the guest sees').choices(['vhe', 'nvhe', 'both']))
    .addOption(new Option('--pauth <function>', 'what signs pointers: QARMA5, a function that costs less, or nothing').choices(['qarma5', 'fast', 'none']).default('fast'))
    .addOption(new Option('--gic <version>', "the interrupt controller's version; 2 without L0, for at most 8 vCPUs").choices(['2', '3']).default(String(GIC)))
    .addOption(engineOption())
    .option('--input <file>', 'a script for the console, or text typed as fast as the guest reads it')
    .option('--terminal <console>', 'the console that is the terminal: serial, or with --console hvc0; of machine 1: 1:serial', SERIAL.name)
    .addOption(new Option('--console-log <console=file>', 'a file for what a console prints; may be repeated').argParser(consoleLog))
    .option('--expect <text>', 'passed when the console shows TEXT after all input was read')
    .addOption(new Option('--max-insns <n>', 'stop after so many instructions').argParser(wholeNumber('--max-insns', 1)))
    .addOption(new Option('--max-time <time>', 'stop at so much virtual time, such as 60s').argParser(virtualTime('--max-time')))
    .addOption(seedOption())
    .option('--record <dir>', 'record in DIR')
    .option('--json', 'one object; the console goes to standard error')
    .addHelpText('after', HELP)
    .action(async (flags: BootFlags) => { process.exitCode = await boot(flags); });
}

const DEVICES = ['rng', 'net', 'console'] as const;
const transportOption = (flag: string, text: string): Option => new Option(flag, text).choices(['mmio', 'pci']).preset('mmio');

const HELP = `
 A script for --input has one step a line; what the console shows is searched from where the last search ended:
   expect "/ # "            wait until the console shows it
   send "uname -a\\n"        type it; \\n \\r \\t \\e \\\\ \\" and \\x1b are known
   wait 100ms               of virtual time: ns, us, ms, s, m, h
   timeout 30s              what each expect after it may take
   console hvc0             the console that each expect and send after it is at; of machine 1: console 1:serial
   # a comment
 A file whose first line is none of these is typed as it is. A script that ends with an expect ends the run. Nobody types and
 nothing is shown for ${timeText(SILENCE_NS)} of virtual time: the run ends too, unless --max-time is given.
 On a terminal every key goes to the guest, Ctrl-C too; Ctrl-] q leaves.`;

async function boot(flags: BootFlags): Promise<number> {
  for (const kind of IMAGE_KINDS) if (flags[kind] === '') throw new InputError(`--${kind} "": name a file`);
  if (flags.expect === '') throw new InputError('--expect "": every console shows that; it needs a text');
  const script = flags.input === undefined ? undefined : readScript(readInput('--input', flags.input, INPUT_BYTES_MAX), flags.input);
  const nested = flags.nested ?? 'none';
  const record: BootRecord = {
    el2: flags.el2, nested, l1: flags.l1 ?? (flags.el2 === 'kvm' ? 'vhe' : 'both'), ...(flags.machines > 1 && { machines: flags.machines }), vcpus: flags.smp, memoryBytes: flags.mem, append: flags.append ?? null, pauth: flags.pauth, ...(Number(flags.gic) !== GIC && { gic: Number(flags.gic) as GicVersion }), date: flags.date, reboot: flags.reboot,
    firmwareFiles: Object.fromEntries(Object.entries(flags.fwCfg ?? {}).map(([name, path]) => [name, resolvePath(path)])),
    files: Object.fromEntries(IMAGE_KINDS.flatMap((kind) => (flags[kind] === undefined ? [] : [[kind, resolvePath(flags[kind])]]))),
    disks: flags.disk, devices: Object.fromEntries(DEVICES.flatMap((device) => (flags[device] === undefined ? [] : [[device, flags[device]]]))),
  };
  const opened = await openBoot(record, flags.seed, flags.engine);
  const files = Object.entries(flags.consoleLog ?? {});
  assertConsoles(opened.world, [...namedIn(script), { name: flags.terminal, by: `--terminal ${flags.terminal}` }, ...files.map(([name, path]) => ({ name, by: `--console-log ${name}=${path}` }))]);
  const logs = Object.fromEntries(files.map(([name, path]) => [name, fileOutput(name, path)]));
  const session = startSession(opened, flags.record, onward(flags.record !== undefined));
  const { status, insns } = await untilClosed(session, async () => {
    const end = await runConsole(session, {
      terminal: flags.terminal, logs, ...(script && { script }), ...(flags.expect === undefined ? {} : { expect: flags.expect }), ...(flags.maxInsns === undefined ? {} : { maxInsns: flags.maxInsns }),
      ...(flags.maxTime === undefined ? {} : { maxTimeNs: flags.maxTime }), ...(flags.json === undefined ? {} : { json: flags.json }),
    });
    reportRun(session, 'boot', end, flags.json === true);
    return { status: statusOf(end), insns: totalsOf(session.history).insns };
  });
  opened.keeping?.keep(insns);
  return status;
}

const namedIn = (script: ConsoleScript | undefined): { readonly name: string; readonly by: string }[] =>
  (script?.steps ?? []).flatMap((step) => (step.type === 'console' ? [{ name: step.name, by: `${script!.name}: line ${step.line}: console ${step.name}` }] : []));

/** Throws InputError for a console that the machine has not; `by`: what asks for it. */
function assertConsoles(world: World, asked: readonly { readonly name: string; readonly by: string }[]): void {
  const names = consolesOf(world).map(({ name }) => name);
  for (const { name, by } of asked) if (!names.includes(name)) throw new InputError(`${by}: there is no such console: there ${names.length > 1 ? `are ${names.join(', ')}` : `is ${names[0]}; --console adds hvc0`}`);
}

/** Power-off is how a machine ends well. */
function judge(world: World): Outcome {
  const ended = endedOf(world);
  if (ended === null) return { outcome: 'stopped', reason: 'nothing can happen any more: every vCPU waits and no alarm is armed' };
  return ended.by === 'hole' ? { outcome: 'stopped', reason: ended.reason } : { outcome: 'passed', reason: ended.reason };
}

/** Boots what `record` says. Throws InputError for a file that is missing or not what it should be. */
async function openBoot(record: BootRecord, seed: number, engine: EngineName): Promise<Opened & { readonly keeping: Keeping | undefined }> {
  const sums: ImageSum[] = [];
  const read = (kind: ImageKind): Uint8Array | undefined => {
    const path = record.files[kind];
    if (path === undefined) return undefined;
    const bytes = readInput(`--${kind}`, path);
    if (bytes.length === 0 && MAY_NOT_BE_EMPTY.includes(kind)) throw new InputError(`--${kind} ${path}: the file is empty; is it cut short?`);
    sums.push({ name: path, sum: sha256(bytes), bytes: bytes.length });
    return bytes;
  };
  const [kernelBytes, firmwareBytes, variables, initrd, dtbBytes] = IMAGE_KINDS.map(read);
  const keeping = engine === 'translator' ? openKeptCode(sums.filter(({ name }) => name === record.files.kernel || name === record.files.firmware).map(({ sum }) => sum)) : undefined;
  const kernel = kernelBytes && readImage(unpackImage(kernelBytes, record.files.kernel!), record.files.kernel!, { at: FLAT_KERNEL });
  const firmware = firmwareBytes && readFirmware(unpackImage(firmwareBytes, record.files.firmware!), record.files.firmware!);
  const load = { memoryBytes: record.memoryBytes, ...(kernel && { kernel }), ...(firmware && { firmware }), ...(initrd && { initrd }) };
  if (variables && variables.length > FLASH_BANK_BYTES) throw new InputError(`--flash1 ${record.files.flash1}: the file has ${variables.length} bytes; it must fit the flash bank of ${FLASH_BANK_BYTES} bytes`);
  const firmwareFiles = Object.entries(record.firmwareFiles).map(([name, path]) => {
    const bytes = readInput('--fw-cfg', path);
    sums.push({ name: path, sum: sha256(bytes), bytes: bytes.length });
    return { name, bytes };
  });
  const initrdAt = initrdBase(load);
  const chosen: Omit<Chosen, 'seed'> = {
    ...(record.append === null ? {} : { bootargs: record.append }),
    ...(initrd && !(kernel && firmware) && { initrd: { from: initrdAt, to: initrdAt + initrd.length } }),
  };
  const tree = dtbBytes && parseDeviceTree(dtbBytes, record.files.dtb!);
  const dtb = tree && ((own: number) => flatten(withChosen(tree.root, { ...chosen, seed: BigInt(own) }), tree.reservations, tree.bootCpu));
  const disks = record.disks.map(openDisk);
  sums.push(...disks.map(({ sum }) => sum));
  const options: BootOptions = {
    disks: disks.map(({ disk }) => disk), ...record.devices,
    ...load, ...(record.machines !== undefined && { machines: record.machines }), vcpus: record.vcpus, el2: record.el2, nested: record.nested, l1: record.l1, pauth: record.pauth, gic: record.gic ?? GIC, seed, engine,
    dateSeconds: record.date, reboot: record.reboot, firmwareFiles, ...(variables && { variables }),
    ...(dtb && { dtb }), ...(record.append === null ? {} : { append: record.append }),
  };
  const { world } = bootMachine(options);
  const manifest: Manifest = { semantics: SEMANTICS, scenario: 'boot', seed, images: sums, options: { ...record } };
  // What has no symbols has nothing to tell: its bytes need not stay.
  const images = [kernel, firmware].filter((image): image is Image => image !== undefined && image.symbols.length > 0);
  const kept = await keeping;
  for (const { engine: machine } of machinesOf(world)) machine.board.keptCode = kept?.code;
  return { world, manifest, claims: {}, judge, images: { l1: images, l2: [] }, keeping: kept };
}

REBUILDERS.set('boot', async (manifest, engine) => {
  if (!('devices' in manifest.options)) throw new InputError(`this boot was recorded with semantics ${manifest.semantics}, on a board without the devices that this one has: record it again`);
  // What such a file cannot be booted for is beside the point.
  for (const { name, bytes } of manifest.images) {
    const size = statSync(name, { throwIfNoEntry: false })?.size;
    if (size !== undefined && size !== bytes) throw new InputError(`the image ${name} is another: recorded with ${bytes} bytes, now it has ${size}`);
  }
  return openBoot(manifest.options as unknown as BootRecord, manifest.seed, engine);
});

/** What Node reads at once. */
const FILE_BYTES_MAX = 2 ** 31 - 1;
/** What is typed is held a byte an element. */
const INPUT_BYTES_MAX = 16 << 20;

function readInput(option: string, path: string, bytesMax = FILE_BYTES_MAX): Uint8Array {
  try {
    const about = statSync(path);
    if (about.isFile() && about.size > bytesMax) throw new InputError(`${option} ${path}: it has ${about.size} bytes; at most ${bytesMax} are read`);
    if (about.isFile()) {
      const { buffer, byteOffset, length } = readFileSync(path);
      return new Uint8Array(buffer, byteOffset, length);
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${option} ${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message}`);
  }
  throw new InputError(`${option} ${path}: it is not a file`);
}
