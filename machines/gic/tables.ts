/**
 * The ITS's tables in the guest's memory: which interrupt translation table a device has, which PE a collection, and which LPI and collection an event.
 * Their entries are IMPLEMENTATION DEFINED, ours, of QEMU's sizes: with nothing held beside them, memory alone says what is mapped. Arm IHI 0069, 5.2.
 */

import { bits } from '../bits.ts';
import type { DirectMemory } from '../messages.ts';
import { COLLECTION_ENTRY_BYTES, COLLECTION_ID_BITS, DEVICE_ENTRY_BYTES, DEVICE_ID_BITS, TRANSLATION_ENTRY_BYTES, type ItsState } from './state.ts';

/** Where a table's entry is, or why it is nowhere: its number is out of the table's range, or the table is not in RAM. */
type Place = number | 'out-of-range' | 'unreachable';

const LEVEL1_ENTRY_BYTES = 8;
const VALID = 1n << 63n;
const PAGE_BYTES = [0x1000, 0x4000, 0x1_0000, 0x1_0000] as const;

/** Entry `id` of the table that a GITS_BASER<n> describes, flat or of two levels. */
function entryPlace(baser: bigint, id: number, idBits: number, entryBytes: number, memory: DirectMemory): Place {
  if ((baser & VALID) === 0n || id >= 2 ** idBits) return 'out-of-range';
  const pageBytes = PAGE_BYTES[Number(bits(baser, 9, 8))]!;
  // With 64 KiB pages bits 15 to 12 of the register are bits 51 to 48 of the address.
  const base = Number(pageBytes === 0x1_0000 ? (bits(baser, 47, 16) << 16n) | (bits(baser, 15, 12) << 48n) : bits(baser, 47, 12) << 12n);
  const tableBytes = pageBytes * (Number(bits(baser, 7, 0)) + 1);
  if ((baser & (1n << 62n)) === 0n) return (id + 1) * entryBytes <= tableBytes ? base + id * entryBytes : 'out-of-range';
  const entriesAPage = pageBytes / entryBytes;
  const index = Math.floor(id / entriesAPage);
  if ((index + 1) * LEVEL1_ENTRY_BYTES > tableBytes) return 'out-of-range';
  const level1 = readEntry(memory, base + index * LEVEL1_ENTRY_BYTES);
  if (level1 === undefined) return 'unreachable';
  if ((level1 & VALID) === 0n) return 'out-of-range';
  return Math.floor(Number(bits(level1, 51, 12)) * 0x1000 / pageBytes) * pageBytes + (id % entriesAPage) * entryBytes;
}

function readEntry(memory: DirectMemory, place: number): bigint | undefined {
  const bytes = memory.read(place, 8);
  return bytes === undefined ? undefined : new DataView(bytes.buffer).getBigUint64(0, true);
}

function writeEntry(memory: DirectMemory, place: number, entry: bigint): boolean {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, entry, true);
  return memory.write(place, bytes);
}

/** What a look-up gives: the entry, or why there is none. */
export type Found<T> = T | 'out-of-range' | 'unmapped' | 'unreachable';
/** What a change gives. */
export type Stored = 'stored' | 'out-of-range' | 'unreachable';

/** Whether something was found, and not a reason why not. */
export const isFound = <T extends object>(found: Found<T>): found is T => typeof found === 'object';

/** A device: where its interrupt translation table is, and for how many bits of EventID. */
export interface Device { readonly table: number; readonly eventBits: number }
/** A collection: the PE that its interrupts go to. */
export interface Collection { readonly pe: number }
export interface Translation { readonly intid: number; readonly collection: number }

const devicePlace = (state: ItsState, memory: DirectMemory, id: number): Place => entryPlace(state.basers[0], id, DEVICE_ID_BITS, DEVICE_ENTRY_BYTES, memory);
const collectionPlace = (state: ItsState, memory: DirectMemory, id: number): Place => entryPlace(state.basers[1], id, COLLECTION_ID_BITS, COLLECTION_ENTRY_BYTES, memory);

function look(memory: DirectMemory, place: Place): Found<{ readonly entry: bigint }> {
  if (typeof place !== 'number') return place;
  const entry = readEntry(memory, place);
  if (entry === undefined) return 'unreachable';
  return (entry & VALID) === 0n ? 'unmapped' : { entry };
}

function store(memory: DirectMemory, place: Place, entry: bigint): Stored {
  if (typeof place !== 'number') return place;
  return writeEntry(memory, place, entry) ? 'stored' : 'unreachable';
}

/** A device's entry: Valid, the table's address in bits 51 to 8, EventID bits less one in bits 4 to 0. */
export function deviceOf(state: ItsState, memory: DirectMemory, id: number): Found<Device> {
  const found = look(memory, devicePlace(state, memory, id));
  return isFound(found) ? { table: Number(found.entry & 0x000f_ffff_ffff_ff00n), eventBits: Number(found.entry & 0x1fn) + 1 } : found;
}

export function setDevice(state: ItsState, memory: DirectMemory, id: number, device: Device | undefined): Stored {
  return store(memory, devicePlace(state, memory, id), device === undefined ? 0n : VALID | BigInt(device.table) | BigInt(device.eventBits - 1));
}

/** A collection's entry: Valid, and the PE's number. */
export function collectionOf(state: ItsState, memory: DirectMemory, id: number): Found<Collection> {
  const found = look(memory, collectionPlace(state, memory, id));
  return isFound(found) ? { pe: Number(found.entry & 0xffffn) } : found;
}

export function setCollection(state: ItsState, memory: DirectMemory, id: number, collection: Collection | undefined): Stored {
  return store(memory, collectionPlace(state, memory, id), collection === undefined ? 0n : VALID | BigInt(collection.pe));
}

const eventPlace = (device: Device, event: number): Place => (event < 2 ** device.eventBits ? device.table + event * TRANSLATION_ENTRY_BYTES : 'out-of-range');

/** An event's entry, of which the last four bytes are unused: Valid, the LPI in bits 47 to 16, the collection in bits 15 to 0. */
export function translationOf(memory: DirectMemory, device: Device, event: number): Found<Translation> {
  const found = look(memory, eventPlace(device, event));
  return isFound(found) ? { intid: Number(bits(found.entry, 47, 16)), collection: Number(found.entry & 0xffffn) } : found;
}

export function setTranslation(memory: DirectMemory, device: Device, event: number, translation: Translation | undefined): Stored {
  return store(memory, eventPlace(device, event), translation === undefined ? 0n : VALID | (BigInt(translation.intid) << 16n) | BigInt(translation.collection));
}

export const isCollectionInRange = (state: ItsState, memory: DirectMemory, id: number): boolean => typeof collectionPlace(state, memory, id) === 'number';
