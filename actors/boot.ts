/** Builds a World from images and options: the one way in which tests, scenarios, the command line and the page get theirs. */

import { produce } from 'immer';
import { blockAddress, vncrPage, type Board } from '../machines/aarch64/board.ts';
import { BLOCK_BYTES } from '../machines/aarch64/state.ts';
import { firmwareItems, type FirmwareFile, type FirmwareItems } from '../machines/fw-cfg/items.ts';
import { GICV2_PES_MAX } from '../machines/gic/state.ts';
import { behaviourOf, type Behaviour } from '../machines/kvm/behaviour.ts';
import { startVcpu } from '../machines/kvm/kvm.ts';
import { rewrite, type RefusedWord, type RewrittenWord } from '../machines/kvm/pv.ts';
import type { Flavour, KvmState } from '../machines/kvm/state.ts';
import { VARIANTS } from '../machines/kvm/variants/variants.ts';
import { createMemory, ENGINE_BYTES, forgetCode, locate, markDirty, writeBytes, type Memory, type RegionSpec } from '../machines/memory/memory.ts';
import { capture, emptyTree } from '../machines/memory/page-tree.ts';
import type { Surroundings } from '../machines/virtio/device.ts';
import { receivers } from './actor.ts';
import { BANKS, createBoard, hardwareFeatures, initialActors, wireStage2, type BoardOptions } from './board.ts';
import { deviceTree, VIRT_MAP } from './device-tree.ts';
import { directMemory } from './direct-memory.ts';
import { diskRegions, disksOf } from './disk.ts';
import { flashRegion } from './flash.ts';
import { checkFits, type Image } from './images.ts';
import { InputError } from './input-error.ts';
import { MACHINES_MAX, seedOf } from './machines.ts';
import { assertVariants } from './patch.ts';
import { deviceTreeBase, initrdBase } from './placement.ts';
import { resetCore, startCore } from './vcpu.ts';
import { together, type Engine, type World, type WorldState } from './world.ts';

export interface BootOptions extends BoardOptions {
  /** How many machines of this kind the World has, 1 to 8; absent: 1. They differ by `machine`, and in what comes from the seed. */
  readonly machines?: number;
  /** Known bugs of L0 to have, by name. */
  readonly variants?: readonly string[];
  readonly quantum?: number;
  /** With firmware it is not loaded: firmware finds its file by fw_cfg, the initrd and the command line too. */
  readonly kernel?: Image;
  readonly firmware?: Image;
  /** What the second flash bank holds at first, where firmware keeps its variables. */
  readonly variables?: Uint8Array;
  /** Bytes placed where `initrdBase` says and named in /chosen. */
  readonly initrd?: Uint8Array;
  /** More files for fw_cfg. */
  readonly firmwareFiles?: readonly FirmwareFile[];
  /** False: a reset ends the run. */
  readonly reboot?: boolean;
  /** In place of the generated device tree, for a machine's seed; at most 2 MiB. */
  readonly dtb?: (seed: number) => Uint8Array;
  readonly append?: string;
}

export interface Booted {
  readonly world: World;
  /** What the paravirtual mechanism changed in the image, word by word. */
  readonly rewritten: readonly RewrittenWord[];
  readonly refused: readonly RefusedWord[];
}

export const RAM_BASE = VIRT_MAP.ram[0];
/** Linux: Documentation/arch/arm64/booting.rst. */
const DEVICE_TREE_BYTES_MAX = 0x20_0000;
/** Instructions in a turn, and in a run of a vCPU that takes turns with nobody. */
const QUANTUM_INSNS = 10_000;
const ALONE_INSNS = 1_000_000;
/** With flash and L0's pages it fits the 4 GiB that a linear memory can have. */
export const RAM_BYTES_MAX = 3 * 2 ** 30;
/** What the regions of memory can have in all: beside them a linear memory has the engines' area, a word for each page, and its first page. */
const LINEAR_BYTES_MAX = 2 ** 32 - ENGINE_BYTES - 2 ** 22 - 2 ** 17;

/** A new World, its images loaded and each machine's vCPU 0 about to start. Throws InputError for options or images that do not fit each other. */
export function boot(options: BootOptions): Booted {
  checkOptions(options);
  const { machines = 1, seed = 0 } = options;
  if (machines === 1) return bootMachine(options);
  const each = Array.from({ length: machines }, (_, machine) => bootMachine({ ...options, machine, seed: seedOf(seed, machine) }));
  return { ...each[0]!, world: together(each.map(({ world }) => world), 0) };
}

function bootMachine(options: BootOptions): Booted {
  const { vcpus } = options;
  const specs: RegionSpec[] = [
    { name: 'vcpus', base: blockAddress(0), bytes: vcpus * BLOCK_BYTES, kind: 'l0' },
    { name: 'vncr', base: vncrPage(0), bytes: vcpus * 4096, kind: 'l0' },
    ...BANKS.map(({ bank, base, bytes }): RegionSpec => ({ name: flashRegion(bank), base, bytes, kind: 'rom' })),
    { name: 'ram', base: RAM_BASE, bytes: options.memoryBytes, kind: 'ram' },
  ];
  specs.push(...diskRegions(options.disks ?? [], LINEAR_BYTES_MAX - specs.reduce((sum, { bytes }) => sum + bytes, 0)));
  for (const image of loadedImages(options)) checkFits(image, specs);
  const memory = roomFor(specs, options);
  const board = createBoard(memory, options);
  const variants = options.variants ?? [];
  const behaviour = behaviourOf(variants.map((name) => VARIANTS[name]!));
  const engine: Engine = {
    options: { vcpus, el2: options.el2, mechanism: options.el2 === 'kvm' ? options.nested : 'none', flavour: options.l1, machine: options.machine ?? 0, quantum: options.quantum ?? (vcpus === 1 && (options.machines ?? 1) === 1 ? ALONE_INSNS : QUANTUM_INSNS), reboot: options.reboot ?? true },
    board, behaviour, live: undefined, tree: emptyTree, stops: undefined, start: { actors: {}, tree: emptyTree },
    receive: receiveBy(board, variants, behaviour, { memory: directMemory(board), disks: disksOf(memory, options.disks ?? []) }, itemsOf(options)),
  };
  const { deviceTreeAt, ...changes } = loadImages(memory, options);
  for (const core of board.cores) resetCore(core);
  const actors = initialActors(options);
  const entry = BigInt(options.firmware ? options.firmware.entry : options.kernel!.entry);
  const context = options.firmware ? 0n : BigInt(deviceTreeAt);
  if (options.el2 === 'kvm') actors['kvm:0'] = produce(actors['kvm:0'] as KvmState, (state) => { startVcpu(state, board, entry, context); });
  else startCore(board.cores[0]!, options.el2 === 'none' ? 1 : 2, entry, context);
  const state: WorldState = {
    actors, mailbox: [], alarms: [], clock: 0, turn: { vcpu: 0, left: engine.options.quantum }, inputBytes: 0, console: '', ended: null, seed: options.seed ?? 0, variants: [...variants],
  };
  wireStage2(engine);
  engine.tree = capture(memory, engine.tree);
  engine.start = { actors, tree: engine.tree };
  const world: World = { engine, state, tree: engine.tree };
  engine.live = world;
  return { world, ...changes };
}

/** The linear memory. A host may limit address space (ulimit -v), though nothing is taken of its memory yet. */
function roomFor(specs: readonly RegionSpec[], { memoryBytes }: BootOptions): Memory {
  try {
    return createMemory(specs);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(`--mem ${memoryBytes}: the host has no room for so much: ${error.message}`);
  }
}

/** Every actor's handler, of the L0 that the World's variants make; each set of variants is put together once. */
function receiveBy(board: Board, variants: readonly string[], behaviour: Behaviour, surroundings: Surroundings, items: FirmwareItems): Engine['receive'] {
  const byVariants = new Map([[variants.join(), receivers(behaviour, surroundings, items)]]);
  return (to, state, message, out, now) => {
    const key = now.join();
    let receive = byVariants.get(key);
    if (receive === undefined) byVariants.set(key, receive = receivers(behaviourOf(now.map((name) => VARIANTS[name]!)), surroundings, items));
    receive(to)(state, message, out, board);
  };
}

function checkOptions(options: BootOptions): void {
  if (!Number.isInteger(options.vcpus) || options.vcpus < 1 || options.vcpus > 16) throw new InputError(`--smp ${options.vcpus}: this board has 1 to 16 vCPUs`);
  const { machines = 1 } = options;
  if (!Number.isInteger(machines) || machines < 1 || machines > MACHINES_MAX) throw new InputError(`--machines ${machines}: a world has 1 to ${MACHINES_MAX} machines`);
  if (options.gic === 2) {
    if (options.vcpus > GICV2_PES_MAX) throw new InputError(`--smp ${options.vcpus}: with --gic 2 this board has 1 to ${GICV2_PES_MAX} vCPUs`);
    if (options.el2 === 'kvm') throw new InputError('--gic 2: L0 gives its guests a GICv3; a GICv2 needs --el2 guest or --el2 none');
  }
  const { memoryBytes } = options;
  if (!(memoryBytes >= 4096 && memoryBytes <= RAM_BYTES_MAX && memoryBytes % 4096 === 0)) throw new InputError(`--mem ${memoryBytes}: this board has from 4096 bytes to 3 GiB of RAM, in pages of 4096`);
  if (options.el2 === 'kvm' && options.nested !== 'none' && options.l1 === 'both') throw new InputError('--l1 both: under L0 (--el2 kvm) virtual EL2 is vhe or nvhe, as KVM has it');
  if (options.el2 !== 'kvm' && options.nested !== 'none') throw new InputError(`--nested ${options.nested}: virtual EL2 is made by L0, which needs --el2 kvm`);
  if (options.kernel === undefined && options.firmware === undefined) throw new InputError('nothing to boot: give --kernel FILE or --firmware FILE');
  assertVariants(options.variants ?? []);
  if (options.nested === 'pv' && (options.firmware !== undefined || (options.kernel?.codeRanges.length ?? 0) === 0)) throw new InputError(`--nested pv: ${options.firmware?.name ?? options.kernel!.name} does not say which of its bytes are instructions; an ELF file with symbols does`);
}

function loadImages(memory: Memory, options: BootOptions): Pick<Booted, 'rewritten' | 'refused'> & { readonly deviceTreeAt: number } {
  const initrdAt = initrdBase(options);
  for (const image of loadedImages(options)) for (const segment of image.segments) writeBytes(memory, segment.address, segment.bytes);
  if (options.variables) writeBytes(memory, BANKS[1]!.base, options.variables);
  const dtb = options.dtb?.(options.seed ?? 0) ?? deviceTree({
    memoryBytes: options.memoryBytes, cpus: options.vcpus, el2: startsAtEl2(options), vhe: startsAtEl2(options) && options.l1 !== 'nvhe', psci: startsAtEl2(options) ? 'smc' : 'hvc',
    pmu: options.el2 !== 'kvm' && hardwareFeatures(options).pmu === true, ...(options.gic !== undefined && { gic: options.gic }),
    chosen: {
      seed: BigInt(options.seed ?? 0),
      ...(options.append === undefined ? {} : { bootargs: options.append }),
      ...(options.initrd === undefined || firmwareStarts(options) ? {} : { initrd: { from: initrdAt, to: initrdAt + options.initrd.length } }),
    },
  });
  if (dtb.length > DEVICE_TREE_BYTES_MAX) throw new InputError(`the device tree has ${dtb.length} bytes: a kernel takes at most ${DEVICE_TREE_BYTES_MAX}`);
  const deviceTreeAt = deviceTreeBase(options, dtb.length);
  if (options.initrd && !firmwareStarts(options)) place(memory, 'initrd', initrdAt, options.initrd, options);
  place(memory, 'device tree', deviceTreeAt, dtb, options);
  if (options.nested !== 'pv' || options.kernel === undefined) return { rewritten: [], refused: [], deviceTreeAt };
  const words = {
    read: (address: number) => memory.view.getUint32(locate(memory, address), true),
    write: (address: number, word: number) => {
      const offset = locate(memory, address);
      markDirty(memory, offset);
      forgetCode(memory, offset, 4);
      memory.view.setUint32(offset, word, true);
    },
  };
  return { ...rewrite(words, options.kernel.codeRanges, options.l1 as Flavour), deviceTreeAt };
}

/** Firmware starts the kernel: it has it from fw_cfg. */
const firmwareStarts = ({ kernel, firmware }: BootOptions): boolean => kernel !== undefined && firmware !== undefined;

/** What is in memory when the machine starts. */
const loadedImages = (options: BootOptions): Image[] => [firmwareStarts(options) ? undefined : options.kernel, options.firmware].filter((image) => image !== undefined);

function itemsOf(options: BootOptions): FirmwareItems {
  const { kernel, initrd, append } = options;
  return firmwareItems({
    cpus: options.vcpus, files: options.firmwareFiles ?? [],
    ...(kernel !== undefined && firmwareStarts(options) ? { kernel: kernel.file, ...(initrd && { initrd }), ...(append !== undefined && { commandLine: append }) } : {}),
  });
}

const startsAtEl2 = (options: BootOptions): boolean => options.el2 === 'guest' || (options.el2 === 'kvm' && options.nested !== 'none');

function place(memory: Memory, what: string, at: number, bytes: Uint8Array, options: BootOptions): void {
  const end = at + bytes.length;
  if (end > RAM_BASE + options.memoryBytes) throw new InputError(`the ${what}, 0x${at.toString(16)} to 0x${end.toString(16)}, does not fit RAM, which ends at 0x${(RAM_BASE + options.memoryBytes).toString(16)}: give more --mem`);
  for (const image of loadedImages(options)) {
    for (const segment of image.segments) {
      if (at < segment.address + segment.memoryBytes && segment.address < end) throw new InputError(`${image.name}: its bytes at 0x${segment.address.toString(16)} overlap the ${what} at 0x${at.toString(16)} to 0x${end.toString(16)}`);
    }
  }
  writeBytes(memory, at, bytes);
}
