/** Random translation tables for the system-level oracle: stage 1 and stage 2, every granule, with pages of every permission and every way to fault. */

/** Log2 of the granule: 4, 16 or 64 KiB. */
export type Granule = 12 | 14 | 16;

/** Pages of tables, by physical address. */
export interface Tables {
  readonly bytes: Map<number, DataView>;
  /** A free, zeroed range of that many bytes, aligned to `align`. */
  allocate(bytes: number, align: number): number;
}

export function tablesFrom(base: number): Tables {
  let free = base;
  const bytes = new Map<number, DataView>();
  return {
    bytes,
    allocate(size, align) {
      const address = Math.ceil(free / align) * align;
      free = address + size;
      bytes.set(address, new DataView(new ArrayBuffer(size)));
      return address;
    },
  };
}

/** One translation of a table. `descriptor` holds everything but the address and the type; `level` is where it stands (3: a page). */
export interface Mapping {
  readonly va: number;
  readonly pa: number;
  readonly level: number;
  readonly attributes: bigint;
  /** Attributes of the table descriptors above it, where this mapping makes them: APTable, XNTable, PXNTable. */
  readonly above?: bigint;
  /** The whole descriptor instead: what is invalid or reserved. */
  readonly raw?: bigint;
}

export interface Space { readonly root: number; readonly granule: Granule; readonly bits: number; readonly start: number }

/** The level at which a walk of `bits` of address begins. */
export const startLevel = (granule: Granule, bits: number): number => 4 - Math.ceil((bits - granule) / (granule - 3));

/** A new, empty table for addresses of `bits`; `start` other than the usual one is concatenated tables (stage 2). */
export function newSpace(tables: Tables, granule: Granule, bits: number, start = startLevel(granule, bits)): Space {
  const size = Math.max(64, 8 * 2 ** (bits - shiftOf(granule, start)));
  return { root: tables.allocate(size, size), granule, bits, start };
}

/** The lowest address bit that an entry of `level` decides. */
export const shiftOf = (granule: Granule, level: number): number => granule + (3 - level) * (granule - 3);

/** Puts a mapping in, with the tables that lead to it. `va` is the offset in the space: for TTBR1 its low bits. A place taken by a block above is left alone. */
export function map(tables: Tables, space: Space, { va, pa, level, attributes, above, raw }: Mapping): void {
  const { granule } = space;
  let table = space.root;
  for (let at = space.start; at < level; at += 1) {
    const place = entry(table, at);
    const view = viewOf(tables, place);
    const found = view.view.getBigUint64(view.offset, true);
    if ((found & 3n) === 3n) table = Number(found & 0xffff_ffff_f000n);
    else if (found !== 0n) return;
    else {
      table = tables.allocate(2 ** granule, 2 ** granule);
      view.view.setBigUint64(view.offset, BigInt(table) | 3n | (above ?? 0n), true);
    }
  }
  const { view, offset } = viewOf(tables, entry(table, level));
  if (view.getBigUint64(offset, true) === 0n) view.setBigUint64(offset, raw ?? (BigInt(pa) | attributes | (level === 3 ? 3n : 1n)), true);

  function entry(base: number, at: number): number {
    const shift = shiftOf(granule, at);
    const width = at === space.start ? space.bits - shift : granule - 3;
    return base + 8 * (Math.floor(va / 2 ** shift) % 2 ** width);
  }
}

function viewOf(tables: Tables, address: number): { view: DataView; offset: number } {
  for (const [base, view] of tables.bytes) if (address >= base && address < base + view.byteLength) return { view, offset: address - base };
  throw new RangeError(`no table at ${address.toString(16)}`);
}

/** Descriptor bits. Arm ARM D8.3. */
export const Bit = {
  AF: 1n << 10n, NG: 1n << 11n, CONTIGUOUS: 1n << 52n, PXN: 1n << 53n, UXN: 1n << 54n,
  /** Into a table descriptor. */
  PXN_TABLE: 1n << 59n, UXN_TABLE: 1n << 60n, AP_TABLE: 61n,
} as const;
export const ap = (value: number): bigint => BigInt(value) << 6n;
export const attribute = (index: number): bigint => BigInt(index) << 2n;
export const shareability = (value: number): bigint => BigInt(value) << 8n;

/** MAIR: Normal write-back, Normal non-cacheable, the four Device types, Normal write-through, and write-back again. */
export const MAIR = 0xff_bb_0c_08_04_00_44_ffn;
