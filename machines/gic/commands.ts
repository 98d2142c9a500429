/** The ITS's commands as rows: opcode, name, and what each does to the tables and says to redistributors. Arm IHI 0069, 5.3. */

import { bit, bits } from '../bits.ts';
import type { DirectMemory, Out } from '../messages.ts';
import { EVENT_ID_BITS, FIRST_LPI, INTID_BITS, type ItsState } from './state.ts';
import {
  collectionOf, deviceOf, isCollectionInRange, isFound, setCollection, setDevice, setTranslation, translationOf, type Collection, type Device, type Found, type Stored, type Translation,
} from './tables.ts';

/** A command as it lies in the queue: four 64-bit words. */
export type Command = readonly [bigint, bigint, bigint, bigint];

/** What came of a command: done; an error that has a name, upon which it is ignored; or a table that is not in RAM, which stalls the queue. */
export type Result = 'done' | 'unreachable' | CommandError;
/** Errors by the architecture's names, less the command's (MAPD_DEVICE_OOR). */
export type CommandError =
  | 'DEVICE_OOR' | 'ITTSIZE_OOR' | 'PROCNUM_OOR' | 'COLLECTION_OOR' | 'UNMAPPED_DEVICE' | 'ID_OOR' | 'PHYSICALID_OOR' | 'UNMAPPED_INTERRUPT' | 'UNMAPPED_COLLECTION' | 'UNKNOWN';

type Handler = (its: ItsState, memory: DirectMemory, out: Out, command: Command) => Result;

interface Row { readonly opcode: number; readonly name: string; readonly carryOut: Handler }
const row = (opcode: number, name: string, carryOut: Handler): Row => ({ opcode, name, carryOut });

const ROWS: readonly Row[] = [
  row(0x01, 'MOVI', move),
  row(0x03, 'INT', (its, memory, out, command) => signal(its, memory, out, deviceIn(command), eventIn(command))),
  row(0x04, 'CLEAR', (its, memory, out, command) => withTarget(its, memory, deviceIn(command), eventIn(command), ({ intid, pe }) => clear(out, intid, pe))),
  // What came before is done: messages are taken in order.
  row(0x05, 'SYNC', (its, _memory, _out, command) => (peIn(command[2]) < its.vcpus ? 'done' : 'PROCNUM_OOR')),
  row(0x08, 'MAPD', mapDevice),
  row(0x09, 'MAPC', mapCollection),
  row(0x0a, 'MAPTI', (its, memory, _out, command) => mapInterrupt(its, memory, command, Number(bits(command[1], 63, 32)))),
  row(0x0b, 'MAPI', (its, memory, _out, command) => mapInterrupt(its, memory, command, eventIn(command))),
  row(0x0c, 'INV', (its, memory, out, command) => withTarget(its, memory, deviceIn(command), eventIn(command), ({ intid, pe }) => {
    out.send(`gicr:${pe}`, { type: 'lpi-invalidate', intid });
    return 'done';
  })),
  row(0x0d, 'INVALL', (its, memory, out, command) => withCollection(its, memory, collectionIn(command), ({ pe }) => {
    out.send(`gicr:${pe}`, { type: 'lpi-invalidate', intid: undefined });
    return 'done';
  })),
  row(0x0e, 'MOVALL', moveAll),
  row(0x0f, 'DISCARD', (its, memory, out, command) => withTarget(its, memory, deviceIn(command), eventIn(command), ({ device, intid, pe }) => {
    clear(out, intid, pe);
    return stored(setTranslation(memory, device, eventIn(command), undefined), 'ID_OOR');
  })),
];
const BY_OPCODE: ReadonlyMap<number, Row> = new Map(ROWS.map((one) => [one.opcode, one]));

/** Carries out one command. */
export function carryOut(its: ItsState, memory: DirectMemory, out: Out, command: Command): { readonly name: string; readonly result: Result } {
  const opcode = Number(command[0] & 0xffn);
  const found = BY_OPCODE.get(opcode);
  return found === undefined ? { name: `command ${opcode}`, result: 'UNKNOWN' } : { name: found.name, result: found.carryOut(its, memory, out, command) };
}

const deviceIn = (command: Command): number => Number(bits(command[0], 63, 32));
const eventIn = (command: Command): number => Number(bits(command[1], 31, 0));
const collectionIn = (command: Command): number => Number(bits(command[2], 15, 0));
/** RDbase is a processor number: GITS_TYPER.PTA is 0. */
const peIn = (word: bigint): number => Number(bits(word, 50, 16));
const isValid = (command: Command): boolean => bit(command[2], 63);

/** A device's event as the tables have it. */
interface Target extends Translation { readonly device: Device; readonly pe: number }

function withDevice(its: ItsState, memory: DirectMemory, id: number, then: (device: Device) => Result): Result {
  return orError(deviceOf(its, memory, id), 'DEVICE_OOR', 'UNMAPPED_DEVICE', then);
}

function withCollection(its: ItsState, memory: DirectMemory, id: number, then: (collection: Collection) => Result): Result {
  return orError(collectionOf(its, memory, id), 'COLLECTION_OOR', 'UNMAPPED_COLLECTION', then);
}

function withTarget(its: ItsState, memory: DirectMemory, deviceId: number, eventId: number, then: (target: Target) => Result): Result {
  return withDevice(its, memory, deviceId, (device) => orError(translationOf(memory, device, eventId), 'ID_OOR', 'UNMAPPED_INTERRUPT', (translation) =>
    // A table that the guest has overwritten may name a PE that is not there.
    withCollection(its, memory, translation.collection, ({ pe }) => (pe < its.vcpus ? then({ ...translation, device, pe }) : 'UNMAPPED_COLLECTION'))));
}

function orError<T extends object>(found: Found<T>, outOfRange: CommandError, unmapped: CommandError, then: (found: T) => Result): Result {
  if (isFound(found)) return then(found);
  return found === 'unreachable' ? found : found === 'unmapped' ? unmapped : outOfRange;
}

const stored = (outcome: Stored, outOfRange: CommandError): Result => (outcome === 'stored' ? 'done' : outcome === 'unreachable' ? outcome : outOfRange);

/** An event of a device, by INT or by a write to GITS_TRANSLATER: its LPI pends. */
export function signal(its: ItsState, memory: DirectMemory, out: Out, deviceId: number, eventId: number): Result {
  return withTarget(its, memory, deviceId, eventId, ({ intid, pe }) => {
    out.send(`gicr:${pe}`, { type: 'lpi', intid, pending: true });
    return 'done';
  });
}

function clear(out: Out, intid: number, pe: number): Result {
  out.send(`gicr:${pe}`, { type: 'lpi', intid, pending: false });
  return 'done';
}

function mapDevice(its: ItsState, memory: DirectMemory, _out: Out, command: Command): Result {
  const eventBits = Number(bits(command[1], 4, 0)) + 1;
  if (isValid(command) && eventBits > EVENT_ID_BITS) return 'ITTSIZE_OOR';
  const device = isValid(command) ? { table: Number(command[2] & 0x000f_ffff_ffff_ff00n), eventBits } : undefined;
  return stored(setDevice(its, memory, deviceIn(command), device), 'DEVICE_OOR');
}

function mapCollection(its: ItsState, memory: DirectMemory, _out: Out, command: Command): Result {
  const pe = peIn(command[2]);
  if (isValid(command) && pe >= its.vcpus) return 'PROCNUM_OOR';
  return stored(setCollection(its, memory, collectionIn(command), isValid(command) ? { pe } : undefined), 'COLLECTION_OOR');
}

/** The collection need not be mapped yet. */
function mapInterrupt(its: ItsState, memory: DirectMemory, command: Command, intid: number): Result {
  return withDevice(its, memory, deviceIn(command), (device) => {
    if (!isCollectionInRange(its, memory, collectionIn(command))) return 'COLLECTION_OOR';
    if (eventIn(command) >= 2 ** device.eventBits) return 'ID_OOR';
    if (intid < FIRST_LPI || intid >= 2 ** INTID_BITS) return 'PHYSICALID_OOR';
    return stored(setTranslation(memory, device, eventIn(command), { intid, collection: collectionIn(command) }), 'ID_OOR');
  });
}

/** The event goes to another collection, and what pends of it to that collection's PE. */
function move(its: ItsState, memory: DirectMemory, out: Out, command: Command): Result {
  return withTarget(its, memory, deviceIn(command), eventIn(command), ({ device, intid, pe }) =>
    withCollection(its, memory, collectionIn(command), (collection) => {
      if (collection.pe >= its.vcpus) return 'UNMAPPED_COLLECTION';
      const result = stored(setTranslation(memory, device, eventIn(command), { intid, collection: collectionIn(command) }), 'ID_OOR');
      if (result === 'done' && collection.pe !== pe) out.send(`gicr:${pe}`, { type: 'lpi-move', intid, to: `gicr:${collection.pe}` });
      return result;
    }));
}

function moveAll(its: ItsState, _memory: DirectMemory, out: Out, command: Command): Result {
  const from = peIn(command[2]);
  const to = peIn(command[3]);
  if (from >= its.vcpus || to >= its.vcpus) return 'PROCNUM_OOR';
  if (from !== to) out.send(`gicr:${from}`, { type: 'lpi-move', intid: undefined, to: `gicr:${to}` });
  return 'done';
}
