/** The board: its cores and what they have, its actors as they are at boot, and where in the physical address space each of them lies. */

import { ENGINE, type Board, type EngineName, type Features } from '../machines/aarch64/board.ts';
import { BLOCK_BYTES, type Core } from '../machines/aarch64/state.ts';
import { initialFlash } from '../machines/flash/state.ts';
import { initialFirmwareConfiguration } from '../machines/fw-cfg/state.ts';
import { SETSPI } from '../machines/gic/message-frame.ts';
import { GITS_TRANSLATER } from '../machines/gic/registers.ts';
import { initialDistributor, initialIts, initialMessageFrame, initialRedistributor, type GicVersion } from '../machines/gic/state.ts';
import { initialGpio } from '../machines/gpio/state.ts';
import { initialEntropy } from '../machines/kvm/psci.ts';
import { initialKvm, type Flavour, type Mechanism } from '../machines/kvm/state.ts';
import { shownFeatures } from '../machines/kvm/virtual-hardware.ts';
import { regionNamed, type Memory } from '../machines/memory/memory.ts';
import type { Address } from '../machines/messages.ts';
import { lookupStage2 } from '../machines/mmu/stage2.ts';
import { initialMmu, type MmuState } from '../machines/mmu/state.ts';
import { initialPcie } from '../machines/pci/state.ts';
import { initialTimer } from '../machines/timer/state.ts';
import { initialRtc } from '../machines/rtc/state.ts';
import { initialUart } from '../machines/uart/state.ts';
import { initialVgic } from '../machines/vgic/state.ts';
import type { VirtioState } from '../machines/virtio/state.ts';
import { VIRT_MAP } from './device-tree.ts';
import { initialPsci } from './psci.ts';
import { initialVcpu } from './vcpu.ts';
import { pciFunctions, virtioAt, virtioDevices, type VirtioOptions } from './virtio-devices.ts';
import type { Engine } from './world.ts';

/** What the board is made by. */
export interface BoardOptions extends VirtioOptions {
  /** 1 to 16. */
  readonly vcpus: number;
  /** Bytes of RAM from 0x4000_0000, a multiple of 4096, at most 3 GiB. What the guest does not touch costs nothing. */
  readonly memoryBytes: number;
  readonly el2: 'kvm' | 'guest' | 'none';
  /** How virtual EL2 is made, under `el2: 'kvm'`. */
  readonly nested: Mechanism;
  /** Which EL2 the guest sees. Under L0 `both` is not to be had. */
  readonly l1: Flavour | 'both';
  /** Which function signs pointers: QARMA5 as in the architecture, or one of our own that costs less (the default). */
  readonly pauth?: Features['pauth'];
  /** The GIC architecture's version; default GIC. 2 needs 8 vCPUs at most, and an EL2 that is not L0's. */
  readonly gic?: GicVersion;
  /** What executes instructions; default ENGINE. */
  readonly engine?: EngineName;
  /** What the real time clock shows at boot: seconds since 1970. */
  readonly dateSeconds?: number;
}

/** 2026-01-01 00:00:00 UTC: the date of a machine that is not told any. */
export const DATE_SECONDS = 1_767_225_600;
/** The GIC that a machine has unless it is told. */
export const GIC: GicVersion = 3;
const SPIS = 256;
/** The banks of flash. */
export const BANKS = [0, 1].map((bank) => ({ bank, base: VIRT_MAP.flash[0] + bank * VIRT_MAP.flash[1], bytes: VIRT_MAP.flash[1] }));
const REDISTRIBUTOR_BYTES = 0x2_0000;

/** What a core of ours has; L0's mechanisms take parts of it away. */
const FULL: Features = { nv: 2, vhe: true, e2h: 'writable', fgt: true, ecv: true, hcx: true, pauth: 'fast', pmu: true, listRegisters: 4, paBits: 44 };

/** The hardware: under L0 as the mechanism needs it; on a bare board all of it, or for a flavour what L0 shows a guest of that flavour, so that the two can be compared. */
export function hardwareFeatures(options: Pick<BoardOptions, 'el2' | 'nested' | 'l1' | 'pauth' | 'gic'>): Features {
  const full = { ...FULL, pauth: options.pauth ?? FULL.pauth, gic: options.gic ?? GIC };
  if (options.el2 === 'kvm') {
    // `pv` is an Armv8.0 core. `nv` is today's core without FEAT_NV2, so that only the mechanism differs.
    if (options.nested === 'pv') return { ...full, nv: 0, vhe: false, e2h: 'res0', fgt: false, ecv: false, hcx: false };
    return options.nested === 'nv' ? { ...full, nv: 1 } : full;
  }
  return options.l1 === 'both' ? full : shownFeatures(full, options.l1);
}

/** The board over `memory`, its cores not yet reset. */
export function createBoard(memory: Memory, options: BoardOptions): Board {
  const virtio = virtioDevices(options);
  const board: Board = {
    memory, cores: [], features: hardwareFeatures(options), el2: options.el2, now: 0, counterHz: 62_500_000, outbox: [], events: [], footprint: undefined, engine: options.engine ?? ENGINE, execution: undefined,
    deviceAt: (pa, vcpu) => deviceAt(pa, vcpu, options, virtio),
    stage2: () => { throw new Error('stage 2 is wired when the machine has its actors'); },
  };
  const blocks = regionNamed(memory, 'vcpus');
  for (let index = 0; index < options.vcpus; index++) {
    const offset = blocks.offset + index * BLOCK_BYTES;
    const core: Core = {
      index, board, words: new BigUint64Array(memory.bytes.buffer, offset, BLOCK_BYTES / 8), ints: new Int32Array(memory.bytes.buffer, offset, BLOCK_BYTES / 4),
      attention: true, checked: false, end: undefined, translation: undefined, deviceReplies: [],
    };
    board.cores.push(core);
  }
  return board;
}

/** Where devices lie in QEMU virt's memory map, but for the redistributors and virtio's slots. */
const DEVICES: readonly { readonly to: Address; readonly range: readonly [number, number] }[] = [
  { to: 'uart', range: VIRT_MAP.uart },
  { to: 'gicd', range: VIRT_MAP.gicDistributor },
  { to: 'rtc', range: VIRT_MAP.rtc },
  { to: 'gpio', range: VIRT_MAP.gpio },
  { to: 'fw-cfg', range: VIRT_MAP.firmwareConfiguration },
  ...BANKS.map(({ bank, base, bytes }) => ({ to: `flash:${bank}` as const, range: [base, bytes] as const })),
];
/** The host bridge is told physical addresses. */
const PCIE_WINDOWS = [VIRT_MAP.pcieMemory, VIRT_MAP.pciePorts, VIRT_MAP.pcieConfiguration, VIRT_MAP.pcieHighMemory];

function deviceAt(pa: number, vcpu: number, options: BoardOptions, devices: readonly VirtioState[]): { to: string; offset: number } | undefined {
  const within = ([base, bytes]: readonly [number, number]): boolean => pa >= base && pa < base + bytes;
  const device = DEVICES.find(({ range }) => within(range));
  if (device !== undefined) return { to: device.to, offset: pa - device.range[0] };
  const virtio = virtioAt(pa, devices);
  if (virtio !== undefined) return virtio;
  if (PCIE_WINDOWS.some(within)) return { to: 'pcie', offset: pa };
  if ((options.gic ?? GIC) === 2) {
    if (within(VIRT_MAP.gicMessages)) return { to: 'v2m', offset: pa - VIRT_MAP.gicMessages[0] };
    // Each vCPU finds its own interface there.
    const frames = options.el2 === 'none' ? [VIRT_MAP.gicInterface] : [VIRT_MAP.gicInterface, VIRT_MAP.gicHypervisor, VIRT_MAP.gicVirtual];
    return frames.some(within) ? { to: `vcpu:${vcpu}`, offset: pa - VIRT_MAP.gicInterface[0] } : undefined;
  }
  if (within(VIRT_MAP.gicIts)) return { to: 'its', offset: pa - VIRT_MAP.gicIts[0] };
  const [base] = VIRT_MAP.gicRedistributors;
  if (pa < base || pa >= base + options.vcpus * REDISTRIBUTOR_BYTES) return undefined;
  return { to: `gicr:${Math.floor((pa - base) / REDISTRIBUTOR_BYTES)}`, offset: (pa - base) % REDISTRIBUTOR_BYTES };
}

/** L0's maps are state of the mmu actor: the walker asks the World that is live. */
export function wireStage2(engine: Engine): void {
  (engine.board as { stage2: Board['stage2'] }).stage2 = (vttbr, ipa) => lookupStage2(mmuOf(engine), vttbr, ipa);
}

function mmuOf(engine: Engine): MmuState {
  const live = engine.live;
  if (live === undefined) throw new Error('no world is live');
  return live.state.actors.mmu as MmuState;
}

/** Every actor's state, in the order in which a World has them. */
export function initialActors(options: BoardOptions): Record<string, unknown> {
  const { vcpus } = options;
  const l0 = options.el2 === 'kvm';
  const gic = options.gic ?? GIC;
  const functions = pciFunctions(virtioDevices(options));
  const each = (make: (index: number) => [string, unknown]): [string, unknown][] => Array.from({ length: vcpus }, (_, index) => make(index));
  return Object.fromEntries([
    ...each((index) => [`vcpu:${index}`, initialVcpu(index)]),
    ...(l0 ? each((index) => [`kvm:${index}`, initialKvm(index, options.nested, options.l1 === 'vhe' ? 'vhe' : 'nvhe', initialEntropy(options.seed ?? 0, 1 + index))]) : []),
    ...(l0 ? each((index) => [`vgic:${index}`, initialVgic(index)]) : []),
    ...(l0 ? each((index) => [`timer:${index}`, initialTimer(index, options.l1 === 'vhe' ? 'vhe' : 'nvhe')]) : []),
    ...each((index) => [`gicr:${index}`, initialRedistributor(index, index === vcpus - 1, l0 ? `vgic:${index}` : `vcpu:${index}`, gic)]),
    ['gicd', initialDistributor(vcpus, SPIS, gic)],
    gic === 2 ? ['v2m', initialMessageFrame()] : ['its', initialIts(vcpus)],
    ...(l0 ? [['mmu', initialMmu(vcpus, canonicalMap(options))] as [string, unknown]] : []),
    ['uart', initialUart()],
    ...virtioDevices(options).map((device): [string, unknown] => [`virtio:${device.index}`, device]),
    ['virtio-empty', {}],
    ['pcie', gic === 2 ? initialPcie(functions, VIRT_MAP.gicMessages[0] + SETSPI, 'v2m') : initialPcie(functions, VIRT_MAP.gicIts[0] + GITS_TRANSLATER)],
    ['psci', initialPsci(options.seed ?? 0)],
    ...BANKS.map(({ bank }): [string, unknown] => [`flash:${bank}`, initialFlash(bank, bank === 0)]),
    ['rtc', initialRtc(options.dateSeconds ?? DATE_SECONDS)],
    ['gpio', initialGpio()],
    ['fw-cfg', initialFirmwareConfiguration()],
  ]);
}

/** The guest's physical map as L0 gives it: RAM, and flash that cannot be written. */
function canonicalMap(options: BoardOptions) {
  return [
    ...BANKS.map(({ base, bytes }) => ({ ipa: base, pa: base, bytes, write: false, execute: true })),
    { ipa: VIRT_MAP.ram[0], pa: VIRT_MAP.ram[0], bytes: options.memoryBytes, write: true, execute: true },
  ];
}
