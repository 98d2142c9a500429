/** The state of the GIC's distributor, redistributors, ITS and message frame: interrupts as bitmaps of 32, their reset values, and what always holds. */

import type { OfferedInterrupt, VcpuAddress, VgicAddress } from '../messages.ts';

/** 32 interrupts with neighbouring INTIDs. Each number but the priorities is a bitmap, unsigned: bit i is the bank's i-th interrupt. */
export interface Bank {
  enabled: number;
  /** 1: Group 1. */
  group: number;
  /** 1: edge-triggered. 0: level-sensitive. */
  edge: number;
  /** The level of the input line. */
  line: number;
  /** Pending by an edge, an SGI or a write to ISPENDR, until it is acknowledged or ICPENDR is written. */
  latched: number;
  active: number;
  /** 0, the highest, to 0xf8: five bits are implemented. */
  priorities: number[];
}

export interface DistributorState {
  readonly vcpus: number;
  /** SPIs implemented, INTIDs 32 to 31 + spis. */
  readonly spis: number;
  /** GICD_CTLR.{EnableGrp1, EnableGrp0}: bits 1 and 0. */
  enables: number;
  /** Bank 0 holds INTIDs 32 to 63. */
  banks: Bank[];
  /** GICD_IROUTER of each SPI. With GICv2 none. */
  routes: number[];
  /** GICv2, and only then: GICD_ITARGETSR of each SPI, a bit a PE. */
  targets?: number[];
  /** The PE that acknowledged an active SPI, -1 when none did: it stays with that PE when the route changes. */
  activeOn: number[];
  /** What each redistributor was last told. */
  told: Told[];
}

export interface Told {
  interrupts: readonly OfferedInterrupt[];
  groupsEnabled: readonly [boolean, boolean];
}

/** An LPI that pends, with its configuration as it was read from memory when it began to, or was invalidated. */
export interface PendingLpi {
  readonly intid: number;
  enabled: boolean;
  priority: number;
}

/** A redistributor; with GICv2 the registers of GICD that are banked, for one PE. */
export interface RedistributorState {
  readonly index: number;
  /** GICR_TYPER.Last: the last redistributor of the board. */
  readonly last: boolean;
  /** Who takes the offer. */
  readonly listener: VcpuAddress | VgicAddress;
  /** GICR_WAKER.ProcessorSleep. ChildrenAsleep follows it at once. */
  asleep: boolean;
  /** SGIs and PPIs, INTIDs 0 to 31. */
  bank: Bank;
  /** GICv2, and only then, where this is the banked part of the distributor: the PEs whose SGI pends here, a bit a PE, by INTID. */
  sources?: number[];
  /** The distributor's last word. */
  spis: Told;
  /** GICR_CTLR.EnableLPIs. */
  lpisEnabled: boolean;
  /** GICR_PROPBASER and GICR_PENDBASER, as they read; where the LPIs' configuration and, while they are disabled, their pending bits lie. */
  propbaser: bigint;
  pendbaser: bigint;
  /** GICR_PENDBASER.PTZ as it was written: the pending table is zero and need not be read. */
  pendingTableZero: boolean;
  /** While they are enabled, the LPIs that pend, by INTID. What does not pend has its configuration in memory alone. */
  lpis: PendingLpi[];
  /** Acknowledgements and releases of LPIs heard of. */
  lpisTaken: number;
  /** The listener's last offer. */
  offered: readonly OfferedInterrupt[];
  /** `lpisTaken` in it. */
  offeredTaken: number;
}

/** GICv2m: a frame whose writes pend SPIs, which nothing else drives. */
export interface MessageFrameState {
  readonly firstIntid: number;
  readonly count: number;
}

/** The ITS: registers alone. Its tables lie in the guest's memory, where the guest's GITS_BASER<n> and MAPD commands put them (tables.ts). */
export interface ItsState {
  readonly vcpus: number;
  /** GITS_CTLR.Enabled. */
  enabled: boolean;
  cbaser: bigint;
  /** Byte offsets in the command queue. */
  cwriter: number;
  creadr: number;
  /** GITS_CREADR.Stalled. */
  stalled: boolean;
  /** GITS_BASER0, the device table, and GITS_BASER1, the collection table, as they read. */
  basers: [bigint, bigint];
}

/** INTIDs 0 to 15, as bits of bank 0. */
export const SGIS = 0xffff;

export const initialBank = (): Bank => ({ enabled: 0, group: 0, edge: 0, line: 0, latched: 0, active: 0, priorities: Array.from({ length: 32 }, () => 0) });

/** The GIC architecture's version. */
export type GicVersion = 2 | 3;
/** GICv2 names PEs by the bits of a byte. */
export const GICV2_PES_MAX = 8;

/**
 * A distributor for `vcpus` PEs, 1 to 4096, with GICv2 1 to 8, with `spis` SPIs, a multiple of 32 from 32 to 960. Everything disabled, in Group 0,
 * level-sensitive, and routed to affinity 0.0.0.0; with GICv2 to nobody, or to the only PE that there is. Throws RangeError for other numbers.
 */
export function initialDistributor(vcpus: number, spis: number, version: GicVersion = 3): DistributorState {
  if (!Number.isInteger(spis / 32) || spis < 32 || spis > 960) throw new RangeError(`a distributor has 32 to 960 SPIs in steps of 32, not ${spis}`);
  const vcpusMax = version === 2 ? GICV2_PES_MAX : 4096;
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > vcpusMax) throw new RangeError(`a distributor serves 1 to ${vcpusMax} PEs, not ${vcpus}`);
  return {
    vcpus, spis, enables: 0,
    banks: Array.from({ length: spis / 32 }, initialBank),
    routes: version === 2 ? [] : Array.from({ length: spis }, () => 0),
    ...(version === 2 && { targets: Array.from({ length: spis }, () => (vcpus === 1 ? 1 : 0)) }),
    activeOn: Array.from({ length: spis }, () => -1),
    told: Array.from({ length: vcpus }, () => ({ interrupts: [], groupsEnabled: [false, false] })),
  };
}

/**
 * The redistributor of PE `index`. `last` marks the highest. It is awake, where the architecture's reset has it asleep: on this board, as on KVM's,
 * nothing runs before the guest that could wake it, and there are guests that leave that to the firmware.
 */
export function initialRedistributor(index: number, last: boolean, listener: VcpuAddress | VgicAddress = `vcpu:${index}`, version: GicVersion = 3): RedistributorState {
  return {
    index, last, listener, asleep: false,
    // SGIs are edge-triggered, always (Arm IHI 0069, GICR_ICFGR0).
    bank: { ...initialBank(), edge: SGIS },
    ...(version === 2 && { sources: Array.from({ length: 16 }, () => 0) }),
    spis: { interrupts: [], groupsEnabled: [false, false] },
    lpisEnabled: false, propbaser: 0n, pendbaser: 0n, pendingTableZero: false, lpis: [], lpisTaken: 0,
    offered: [], offeredTaken: 0,
  };
}

/** Type, Entry_Size and Page_Size (64 KiB) of a GITS_BASER<n> at reset. */
const baserAtReset = (type: bigint, entryBytes: number): bigint => (type << 56n) | (BigInt(entryBytes - 1) << 48n) | (2n << 8n);
/** The entries of the ITS's tables, and how many bits of a DeviceID, an EventID and a collection's number it takes. */
export const DEVICE_ENTRY_BYTES = 8, COLLECTION_ENTRY_BYTES = 8, TRANSLATION_ENTRY_BYTES = 12;
export const DEVICE_ID_BITS = 16, EVENT_ID_BITS = 16, COLLECTION_ID_BITS = 16;

/** An ITS for `vcpus` PEs, disabled. */
export const initialIts = (vcpus: number): ItsState => ({
  vcpus, enabled: false, cbaser: 0n, cwriter: 0, creadr: 0, stalled: false, basers: [baserAtReset(1n, DEVICE_ENTRY_BYTES), baserAtReset(4n, COLLECTION_ENTRY_BYTES)],
});

/** The SPIs that QEMU's virt board gives it: its lines 48 to 111. */
export const initialMessageFrame = (): MessageFrameState => ({ firstIntid: 80, count: 64 });

const typeOf = (baser: bigint): bigint => (baser >> 56n) & 7n;

/** The size of the command queue that GITS_CBASER describes; 0 where it is not Valid. */
export const queueBytes = (cbaser: bigint): number => (cbaser >> 63n === 0n ? 0 : 4096 * (Number(cbaser & 0xffn) + 1));

/** LPIs are INTIDs from here up, and below 2 to the INTID_BITS. */
export const FIRST_LPI = 8192;
export const INTID_BITS = 16;

/** The affinity of PE `index`, as Aff2.Aff1.Aff0 in bits 23 to 0: 16 PEs a cluster, so that every SGI reaches its target with range selector 0. */
export const affinityOf = (index: number): number => ((index >> 4) << 8) | (index & 15);

/** The PE with an affinity, or undefined. `affinity` has Aff3 in bits 39 to 32, as GICD_IROUTER. */
export function peAt(affinity: number, vcpus: number): number | undefined {
  const index = 16 * Math.floor(affinity / 256) + (affinity % 256);
  return affinity < 0x1_0000 && affinity % 256 < 16 && index < vcpus ? index : undefined;
}

/** What always holds of a distributor: sentences about what does not, none when all is well. */
export function distributorFaults(state: DistributorState): string[] {
  const faults = state.banks.flatMap((bank, index) => bankFaults(bank, `SPIs from ${32 * (index + 1)}`));
  if (state.banks.length * 32 !== state.spis) faults.push(`${state.banks.length} banks for ${state.spis} SPIs`);
  for (const [index, targets] of (state.targets ?? []).entries()) if (targets >= 1 << state.vcpus) faults.push(`SPI ${index + 32} has targets that do not exist: ${targets}`);
  for (const [index, pe] of state.activeOn.entries()) {
    if (pe >= 0 && (state.banks[index >> 5]!.active & (1 << (index & 31))) === 0) faults.push(`SPI ${index + 32} is held by PE ${pe} and not active`);
  }
  return faults;
}

export function redistributorFaults(state: RedistributorState): string[] {
  const faults = bankFaults(state.bank, `PE ${state.index}`);
  if ((state.bank.edge & SGIS) !== SGIS) faults.push(`PE ${state.index}: an SGI is level-sensitive`);
  if ((state.bank.line & SGIS) !== 0) faults.push(`PE ${state.index}: an SGI has a line`);
  for (const [intid, sources] of (state.sources ?? []).entries()) {
    if ((sources !== 0) !== ((state.bank.latched & (1 << intid)) !== 0)) faults.push(`PE ${state.index}: SGI ${intid} pends or not, against its sources ${sources}`);
  }
  if (state.asleep && state.offered.length > 0) faults.push(`PE ${state.index} is asleep and was offered interrupts`);
  if (!state.lpisEnabled && state.lpis.length > 0) faults.push(`PE ${state.index} has LPIs pending and disabled`);
  for (const [position, { intid, priority }] of state.lpis.entries()) {
    if (intid < FIRST_LPI || intid >= 2 ** INTID_BITS) faults.push(`PE ${state.index}: INTID ${intid} is no LPI`);
    if (position > 0 && state.lpis[position - 1]!.intid >= intid) faults.push(`PE ${state.index}: LPI ${intid} is out of order`);
    if ((priority & ~0xf8) !== 0) faults.push(`PE ${state.index}: priority ${priority} of LPI ${intid}`);
  }
  return faults;
}

export function itsFaults(state: ItsState): string[] {
  const faults: string[] = [];
  for (const name of ['cwriter', 'creadr'] as const) {
    const offset = state[name];
    if (!Number.isInteger(offset) || offset < 0 || offset > 0xf_ffe0 || offset % 32 !== 0) faults.push(`the ITS's ${name} is ${offset}`);
  }
  const { enabled, stalled, cwriter, creadr } = state;
  const bytes = queueBytes(state.cbaser);
  if (enabled && !stalled && cwriter !== creadr && cwriter < bytes && creadr < bytes) faults.push(`the ITS has not carried out its commands from ${creadr} to ${cwriter}`);
  if (typeOf(state.basers[0]) !== 1n || typeOf(state.basers[1]) !== 4n) faults.push('a table of the ITS has lost its type');
  return faults;
}

function bankFaults(bank: Bank, where: string): string[] {
  const faults: string[] = [];
  for (const [index, priority] of bank.priorities.entries()) if ((priority & ~0xf8) !== 0) faults.push(`${where}: priority ${priority} of interrupt ${index}`);
  for (const name of ['enabled', 'group', 'edge', 'line', 'latched', 'active'] as const) {
    if (!Number.isInteger(bank[name]) || bank[name] < 0 || bank[name] > 0xffff_ffff) faults.push(`${where}: ${name} is ${bank[name]}`);
  }
  return faults;
}
