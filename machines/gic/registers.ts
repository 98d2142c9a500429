/** The memory-mapped registers of GICv3 as rows: offset, units, access sizes, what a read gives and a write does. Arm IHI 0069, chapter 12. GICv2's are in registers-v2.ts. */

import { hex } from '../bits.ts';
import type { DeviceRead, DeviceWrite, Out } from '../messages.ts';
import { clearActive, clearPending, pendingBits, setActive, setPending } from './bank.ts';
import { affinityOf, COLLECTION_ID_BITS, DEVICE_ID_BITS, EVENT_ID_BITS, INTID_BITS, TRANSLATION_ENTRY_BYTES, type Bank, type DistributorState, type GicVersion, type ItsState, type RedistributorState } from './state.ts';

/** `count` registers of `unit` bytes from `offset` on. No `read`: RAZ. No `write`: WI. */
export interface Register<S> {
  readonly name: string;
  readonly offset: number;
  readonly unit: 1 | 4 | 8;
  readonly count: number;
  /** The access sizes that it takes, in bytes. Larger than the unit: several units; smaller: a part of one. */
  readonly sizes: readonly number[];
  readonly read?: (state: S, index: number) => bigint;
  readonly write?: (state: S, index: number, value: bigint) => void;
}

/** One 32-bit register. */
export function register<S>(name: string, offset: number, read?: (state: S) => bigint, write?: (state: S, value: bigint) => void): Register<S> {
  return { name, offset, unit: 4, count: 1, sizes: [4], ...(read && { read }), ...(write && { write: (state: S, _index: number, value: bigint) => write(state, value) }) };
}

/** One 64-bit register, which takes 32-bit accesses to either half. */
function wideRegister<S>(name: string, offset: number, read: (state: S) => bigint, write?: (state: S, value: bigint) => void): Register<S> {
  return { name, offset, unit: 8, count: 1, sizes: [4, 8], read, ...(write && { write: (state: S, _index: number, value: bigint) => write(state, value) }) };
}

/** Registers that exist and have nothing in them here: RAZ/WI. */
export const reserved = (name: string, offset: number, count = 1): Register<unknown> => ({ name, offset, unit: 4, count, sizes: [1, 4] });

const IMPLEMENTER_ARM = 0x43b;
/** GICD_IIDR, GICR_IIDR, GITS_IIDR and V2M_IIDR: product 'Z', revision 0, implementer as KVM's. */
export const IIDR = (0x5a << 24) | IMPLEMENTER_ARM;

/** PIDR4 to 7, PIDR0 to 3, CIDR0 to 3. Only PIDR2.ArchRev is architected: the GIC's version. The designer is Arm (0x43b); the part number is 0. */
const IDENTIFICATION = [0x04, 0, 0, 0, 0, 0xb0, 0x0b, 0, 0x0d, 0xf0, 0x05, 0xb1] as const;
const PIDR2 = 6;
export const identification = (name: string, offset: number, version: GicVersion = 3): Register<unknown> => ({
  name, offset, unit: 4, count: 12, sizes: [4], read: (_state, index) => BigInt(IDENTIFICATION[index]! | (index === PIDR2 ? version << 4 : 0)),
});

/** The registers with one bit, two bits or a byte for each interrupt, which both frames have in the same places. */
interface Frame<S> {
  readonly prefix: 'GICD' | 'GICR';
  readonly base: number;
  /** Banks that the register map has room for, those that are not implemented included. */
  readonly banks: number;
  /** Bank `index` of the map, or undefined: RAZ/WI. */
  bank(state: S, index: number): Bank | undefined;
  /** A bank's interrupts whose trigger mode is fixed, and those that ISPENDR and ICPENDR do not write. */
  readonly fixedMode: number;
  readonly fixedPending: number;
  /** Interrupts were made inactive by a write. */
  deactivated?(state: S, index: number, bits: number): void;
}

export function bankRegisters<S>(frame: Frame<S>): Register<S>[] {
  const { prefix, base, banks } = frame;
  const bitmap = (name: string, offset: number, read: (bank: Bank) => number, write: (bank: Bank, bits: number, state: S, index: number) => void): Register<S> => ({
    name: `${prefix}_${name}<n>`, offset: base + offset, unit: 4, count: banks, sizes: [4],
    read: (state, index) => {
      const bank = frame.bank(state, index);
      return bank === undefined ? 0n : BigInt(read(bank));
    },
    write: (state, index, value) => {
      const bank = frame.bank(state, index);
      if (bank !== undefined) write(bank, Number(value), state, index);
    },
  });
  return [
    bitmap('IGROUPR', 0x080, (bank) => bank.group, (bank, bits) => { bank.group = bits; }),
    bitmap('ISENABLER', 0x100, (bank) => bank.enabled, (bank, bits) => { bank.enabled = (bank.enabled | bits) >>> 0; }),
    bitmap('ICENABLER', 0x180, (bank) => bank.enabled, (bank, bits) => { bank.enabled = (bank.enabled & ~bits) >>> 0; }),
    bitmap('ISPENDR', 0x200, pendingBits, (bank, bits) => setPending(bank, bits & ~frame.fixedPending)),
    bitmap('ICPENDR', 0x280, pendingBits, (bank, bits) => clearPending(bank, bits & ~frame.fixedPending)),
    bitmap('ISACTIVER', 0x300, (bank) => bank.active, setActive),
    bitmap('ICACTIVER', 0x380, (bank) => bank.active, (bank, bits, state, index) => {
      clearActive(bank, bits);
      frame.deactivated?.(state, index, bits);
    }),
    {
      name: `${prefix}_IPRIORITYR<n>`, offset: base + 0x400, unit: 1, count: 32 * banks, sizes: [1, 4],
      read: (state, index) => BigInt(frame.bank(state, index >> 5)?.priorities[index & 31] ?? 0),
      write: (state, index, value) => {
        const bank = frame.bank(state, index >> 5);
        if (bank !== undefined) bank.priorities[index & 31] = Number(value) & 0xf8;
      },
    },
    {
      name: `${prefix}_ICFGR<n>`, offset: base + 0xc00, unit: 4, count: 2 * banks, sizes: [4],
      read: (state, index) => {
        const edge = (frame.bank(state, index >> 1)?.edge ?? 0) >>> (16 * (index & 1));
        let value = 0;
        for (let bit = 0; bit < 16; bit++) if ((edge & (1 << bit)) !== 0) value |= 2 << (2 * bit);
        return BigInt(value >>> 0);
      },
      write: (state, index, value) => {
        const bank = frame.bank(state, index >> 1);
        if (bank === undefined) return;
        let edge = 0;
        for (let bit = 0; bit < 16; bit++) if ((Number(value) & (2 << (2 * bit))) !== 0) edge |= 1 << bit;
        const shift = 16 * (index & 1);
        const writable = (0xffff << shift) & ~frame.fixedMode;
        bank.edge = ((bank.edge & ~writable) | ((edge << shift) & writable)) >>> 0;
      },
    },
    // One Security state: neither a modifier of groups, which GICv2 does not know, nor Non-secure access control.
    reserved(`${prefix}_IGRPMODR<n>`, base + 0xd00, banks),
    reserved(`${prefix}_NSACR<n>`, base + 0xe00, 2 * banks),
  ];
}

/** SPIs of the distributor's bank `index` of the map were made inactive: no PE holds them. */
export function forgetHolders(state: DistributorState, index: number, bits: number): void {
  for (let bit = 0; bit < 32; bit++) if ((bits & (1 << bit)) !== 0) state.activeOn[32 * (index - 1) + bit] = -1;
}

/** GICD_CTLR: affinity routing always on (ARE is RAO/WI, no legacy operation), one Security state (DS is RAO/WI), writes complete at once (RWP 0). */
const GICD_CTLR_CONSTANT = (1 << 4) | (1 << 6);

/** GICD_TYPER: ITLinesNumber, LPIS (as many as IDbits has room for: num_LPIs 0), IDbits 16, A3V. No message-based SPIs, no extended SPIs, range selector 0 only. */
const distributorType = (spis: number): number => spis / 32 | (1 << 17) | ((INTID_BITS - 1) << 19) | (1 << 24);

const IRM = 0x8000_0000;

export const DISTRIBUTOR_REGISTERS: readonly Register<DistributorState>[] = checked([
  register('GICD_CTLR', 0x000, (state) => BigInt(GICD_CTLR_CONSTANT | state.enables), (state, value) => { state.enables = Number(value & 3n); }),
  register('GICD_TYPER', 0x004, (state) => BigInt(distributorType(state.spis))),
  register('GICD_IIDR', 0x008, () => BigInt(IIDR)),
  reserved('GICD_TYPER2', 0x00c),
  // Reporting of access errors is optional; ours are events.
  reserved('GICD_STATUSR', 0x010),
  ...bankRegisters<DistributorState>({
    prefix: 'GICD', base: 0, banks: 32, fixedMode: 0, fixedPending: 0,
    // Bank 0 is banked by PE: with affinity routing it is the redistributors', and RAZ/WI here.
    bank: (state, index) => state.banks[index - 1],
    deactivated: forgetHolders,
  }),
  // Without meaning under affinity routing: RAZ/WI.
  reserved('GICD_ITARGETSR<n>', 0x800, 255),
  reserved('GICD_SGIR', 0xf00),
  reserved('GICD_CPENDSGIR<n>', 0xf10, 4),
  reserved('GICD_SPENDSGIR<n>', 0xf20, 4),
  {
    name: 'GICD_IROUTER<n>', offset: 0x6000, unit: 8, count: 1020, sizes: [4, 8],
    read: (state, index) => BigInt(state.routes[index - 32] ?? 0),
    write: (state, index, value) => {
      // Aff3, IRM, Aff2.Aff1.Aff0.
      if (index >= 32 && index - 32 < state.spis) state.routes[index - 32] = Number(value & 0xff_80ff_ffffn);
    },
  },
  identification('GICD_PIDR<n>', 0xffd0),
]);

/** Whether GICD_IROUTER asks for any PE (Interrupt_Routing_Mode), and the affinity that it names. */
export const routedToAny = (route: number): boolean => Math.floor(route / IRM) % 2 === 1;

const SGI_BASE = 0x1_0000;
const PROCESSOR_SLEEP = 1n << 1n;
const CHILDREN_ASLEEP = 1n << 2n;

/** GICR_CTLR: EnableLPIs, and CES, which says that it can be cleared again. Nothing to wait for, no choice of PE to take part in, no direct LPIs. */
const ENABLE_LPIS = 1n << 0n;
const CLEAR_ENABLE_SUPPORTED = 1n << 1n;
const PHYSICAL_LPIS = 1 << 0;
/** Outer and inner cacheability and shareability, which are kept and do nothing, and the address. */
const PROPBASER_WRITABLE = (7n << 56n) | 0x000f_ffff_ffff_f000n | (3n << 10n) | (7n << 7n) | 0x1fn;
const PENDBASER_WRITABLE = (7n << 56n) | 0x000f_ffff_ffff_0000n | (3n << 10n) | (7n << 7n);
const PENDING_TABLE_ZERO = 1n << 62n;

/** RD_base, then SGI_base 64 KiB above. */
export const REDISTRIBUTOR_REGISTERS: readonly Register<RedistributorState>[] = checked([
  register('GICR_CTLR', 0x000, (state) => CLEAR_ENABLE_SUPPORTED | (state.lpisEnabled ? ENABLE_LPIS : 0n), (state, value) => { state.lpisEnabled = (value & ENABLE_LPIS) !== 0n; }),
  register('GICR_IIDR', 0x004, () => BigInt(IIDR)),
  wideRegister('GICR_TYPER', 0x008, (state) => (BigInt(affinityOf(state.index)) << 32n) | BigInt((state.index << 8) | (state.last ? 1 << 4 : 0) | PHYSICAL_LPIS)),
  reserved('GICR_STATUSR', 0x010),
  register('GICR_WAKER', 0x014, (state) => (state.asleep ? PROCESSOR_SLEEP | CHILDREN_ASLEEP : 0n), (state, value) => { state.asleep = (value & PROCESSOR_SLEEP) !== 0n; }),
  // While LPIs are enabled, a write is UNPREDICTABLE; here it does nothing.
  wideRegister('GICR_PROPBASER', 0x070, (state) => state.propbaser, (state, value) => { if (!state.lpisEnabled) state.propbaser = value & PROPBASER_WRITABLE; }),
  // PTZ is write-only, and matters when EnableLPIs is set.
  wideRegister('GICR_PENDBASER', 0x078, (state) => state.pendbaser, (state, value) => {
    if (state.lpisEnabled) return;
    state.pendbaser = value & PENDBASER_WRITABLE;
    state.pendingTableZero = (value & PENDING_TABLE_ZERO) !== 0n;
  }),
  identification('GICR_PIDR<n>', 0xffd0),
  ...bankRegisters<RedistributorState>({
    prefix: 'GICR', base: SGI_BASE, banks: 1, fixedMode: 0xffff, fixedPending: 0,
    bank: (state) => state.bank,
  }),
  identification('GICR_SGI_PIDR<n>', SGI_BASE + 0xffd0),
]);

/**
 * GITS_TYPER: Physical, ITT_entry_size, ID_bits, Devbits, CIL and CIDbits. No virtual LPIs; a target is a processor number (PTA 0), a collection is in
 * memory always (HCC 0), and errors are no SErrors (SEIS 0). The sizes are those of QEMU's ITS.
 */
const ITS_TYPE = (1n << 0n) | (BigInt(TRANSLATION_ENTRY_BYTES - 1) << 4n) | (BigInt(EVENT_ID_BITS - 1) << 8n) | (BigInt(DEVICE_ID_BITS - 1) << 13n) | (BigInt(COLLECTION_ID_BITS - 1) << 32n) | (1n << 36n);
/** Commands act at once: nothing is ever in progress. */
const QUIESCENT = 1n << 31n;
const CBASER_WRITABLE = (1n << 63n) | (7n << 59n) | (7n << 53n) | 0x000f_ffff_ffff_f000n | (3n << 10n) | 0xffn;
/** All but Type and Entry_Size. */
const BASER_WRITABLE = ~((7n << 56n) | (0x1fn << 48n)) & ((1n << 64n) - 1n);
const QUEUE_OFFSET = 0xf_ffe0n;
const RETRY = 1n << 0n;
const STALLED = 1n << 0n;
/** In the translation frame. It is write-only, and its writes are its.ts's. */
export const GITS_TRANSLATER = 0x1_0040;

/** The control frame, then the translation frame 64 KiB above. */
export const ITS_REGISTERS: readonly Register<ItsState>[] = checked([
  register('GITS_CTLR', 0x000, (state) => QUIESCENT | (state.enabled ? 1n : 0n), (state, value) => { state.enabled = (value & 1n) !== 0n; }),
  register('GITS_IIDR', 0x004, () => BigInt(IIDR)),
  wideRegister('GITS_TYPER', 0x008, () => ITS_TYPE),
  // While the ITS is enabled, writes of the places of its queue and tables are UNPREDICTABLE; here they do nothing.
  wideRegister('GITS_CBASER', 0x080, (state) => state.cbaser, (state, value) => {
    if (state.enabled) return;
    state.cbaser = value & CBASER_WRITABLE;
    state.creadr = 0;
    state.cwriter = 0;
    state.stalled = false;
  }),
  wideRegister('GITS_CWRITER', 0x088, (state) => BigInt(state.cwriter), (state, value) => {
    state.cwriter = Number(value & QUEUE_OFFSET);
    if ((value & RETRY) !== 0n) state.stalled = false;
  }),
  wideRegister('GITS_CREADR', 0x090, (state) => BigInt(state.creadr) | (state.stalled ? STALLED : 0n)),
  {
    name: 'GITS_BASER<n>', offset: 0x100, unit: 8, count: 8, sizes: [4, 8],
    read: (state, index) => state.basers[index] ?? 0n,
    write: (state, index, value) => {
      const baser = state.basers[index];
      if (baser !== undefined && !state.enabled) state.basers[index] = (value & BASER_WRITABLE) | (baser & ~BASER_WRITABLE);
    },
  },
  identification('GITS_PIDR<n>', 0xffd0),
  { name: 'GITS_TRANSLATER', offset: GITS_TRANSLATER, unit: 4, count: 1, sizes: [2, 4] },
]);

/** Refuses a map in which two rows claim a byte. */
export function checked<S>(rows: readonly Register<S>[]): readonly Register<S>[] {
  const sorted = [...rows].sort((one, other) => one.offset - other.offset);
  for (const [position, row] of sorted.entries()) {
    const next = sorted[position + 1];
    if (next !== undefined && row.offset + row.unit * row.count > next.offset) throw new Error(`${row.name} runs into ${next.name} at ${hex(next.offset)}`);
  }
  return sorted;
}

/** The row of a register access, or undefined: no register there, or not of that size. */
export function registerAt<S>(rows: readonly Register<S>[], offset: number, bytes: number): Register<S> | undefined {
  const row = rows.find((candidate) => offset >= candidate.offset && offset < candidate.offset + candidate.unit * candidate.count);
  return row !== undefined && row.sizes.includes(bytes) && offset % bytes === 0 ? row : undefined;
}

export type FrameName = 'GICD' | 'GICR' | 'GITS' | 'GICC' | 'GICH' | 'GICV' | 'V2M';

/** The row of an access to the frame `frame`; where there is none, an event says so. */
export function rowOf<S>(rows: readonly Register<S>[], frame: FrameName, message: DeviceRead | DeviceWrite, out: Out): Register<S> | undefined {
  const row = registerAt(rows, message.offset, message.bytes);
  if (row === undefined) out.event('gic_unknown_register', { frame, access: message.type, offset: message.offset, bytes: message.bytes });
  return row;
}

/** Answers a read of a frame: zero where it has no register. */
export function answerRead<S>(rows: readonly Register<S>[], frame: FrameName, state: S, message: DeviceRead, out: Out): void {
  const row = rowOf(rows, frame, message, out);
  const value = row === undefined ? 0n : readRegister(row, state, message.offset, message.bytes);
  out.send(message.from, { type: 'device-reply', offset: message.offset, bytes: message.bytes, value });
}

/** Reads `bytes` at `offset`, which `registerAt` found to be `row`'s. */
export function readRegister<S>(row: Register<S>, state: S, offset: number, bytes: number): bigint {
  if (row.read === undefined) return 0n;
  const index = Math.floor((offset - row.offset) / row.unit);
  const part = BigInt(8 * ((offset - row.offset) % row.unit));
  if (bytes <= row.unit) return BigInt.asUintN(8 * bytes, row.read(state, index) >> part);
  let value = 0n;
  for (let unit = 0; unit < bytes / row.unit; unit++) value |= row.read(state, index + unit) << BigInt(8 * row.unit * unit);
  return value;
}

/** Writes `bytes` at `offset`. A part of a unit leaves the rest of it as it reads. */
export function writeRegister<S>(row: Register<S>, state: S, offset: number, bytes: number, value: bigint): void {
  if (row.write === undefined) return;
  const index = Math.floor((offset - row.offset) / row.unit);
  const width = 8 * Math.min(bytes, row.unit);
  if (bytes < row.unit) {
    const part = BigInt(8 * ((offset - row.offset) % row.unit));
    const rest = row.read!(state, index) & ~(((1n << BigInt(width)) - 1n) << part);
    row.write(state, index, rest | (BigInt.asUintN(width, value) << part));
    return;
  }
  for (let unit = 0; unit < bytes / row.unit; unit++) row.write(state, index + unit, BigInt.asUintN(width, value >> BigInt(width * unit)));
}
