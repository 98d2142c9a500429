/** The ITS: its registers, its commands against a model of their own, its tables in memory, and LPIs on their way to a PE. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeIts, describeRedistributor } from '../../../machines/gic/describe.ts';
import { receive as receiveIts } from '../../../machines/gic/its.ts';
import { receive as receiveRedistributor } from '../../../machines/gic/redistributor.ts';
import { initialIts, initialRedistributor, itsFaults, redistributorFaults, type ItsState, type RedistributorState } from '../../../machines/gic/state.ts';
import type { ItsMessage, RedistributorMessage } from '../../../machines/messages.ts';
import { flatMemory, recorder } from './recorder.ts';

const RAM = 0x4000_0000, RAM_BYTES = 0x10_0000;
const QUEUE = RAM, DEVICES = RAM + 0x1_0000, LEVEL2 = RAM + 0x2_0000, COLLECTIONS = RAM + 0x3_0000, CONFIGURATION = RAM + 0x4_0000, PENDING = RAM + 0x8_0000, ITTS = RAM + 0x6_0000;
const PES = 3;
const VALID = 1n << 63n;
const CTLR = 0, TYPER = 8, CBASER = 0x80, CWRITER = 0x88, CREADR = 0x90, BASER = 0x100, TRANSLATER = 0x1_0040;

/** An ITS and three PEs' redistributors on one memory: messages are delivered in order, as a World does. */
class Stage {
  readonly out = recorder();
  readonly memory = flatMemory(RAM, RAM_BYTES);
  readonly its: ItsState = initialIts(PES);
  readonly gicr: RedistributorState[] = Array.from({ length: PES }, (_, index) => initialRedistributor(index, index === PES - 1));
  written = 0;

  tell(message: ItsMessage): void {
    receiveIts(this.its, message, this.out, this.memory);
    for (let next = this.out.sent.findIndex(({ to }) => to.startsWith('gicr:')); next >= 0; next = this.out.sent.findIndex(({ to }) => to.startsWith('gicr:'))) {
      const [{ to, message: said }] = this.out.sent.splice(next, 1) as [{ to: string; message: unknown }];
      receiveRedistributor(this.gicr[Number(to.slice(5))]!, said as RedistributorMessage, this.out, this.memory);
    }
  }
  write(offset: number, value: bigint, bytes = 8): void { this.tell({ type: 'write', from: 'vcpu:0', offset, bytes, value }); }
  read(offset: number, bytes = 8): bigint {
    this.tell({ type: 'read', from: 'vcpu:0', offset, bytes });
    return this.out.sent.pop()!.message['value'] as bigint;
  }
  gicrWrite(pe: number, offset: number, value: bigint, bytes = 8): void { receiveRedistributor(this.gicr[pe]!, { type: 'write', from: 'vcpu:0', offset, bytes, value }, this.out, this.memory); }
  configure(intid: number, entry: number): void { this.memory.bytes[CONFIGURATION - RAM + intid - 8192] = entry; }
  /** Queues commands and rings the bell. */
  commands(...commands: readonly (readonly [bigint, bigint, bigint, bigint])[]): void {
    for (const command of commands) {
      for (const [word, value] of command.entries()) this.memory.view.setBigUint64(QUEUE - RAM + this.written + 8 * word, value, true);
      this.written = (this.written + 32) % 0x1000;
    }
    this.write(CWRITER, BigInt(this.written));
  }
  pending(pe: number): number[] { return this.gicr[pe]!.lpis.map(({ intid }) => intid); }
  errors(): unknown[] { return this.out.events.splice(0).filter(({ event }) => event === 'its_command_error').map(({ command, error }) => `${String(command)}_${String(error)}`); }
}

/** Set up and on, LPIs of every PE enabled with their configuration all `entry`. The device table has two levels of 4 KiB pages, of which the first 512 devices have one. */
function ready(entry = 0xa1): Stage {
  const stage = new Stage();
  stage.memory.bytes.fill(entry, CONFIGURATION - RAM, CONFIGURATION - RAM + 0x2000);
  stage.memory.view.setBigUint64(DEVICES - RAM, VALID | BigInt(LEVEL2), true);
  stage.write(BASER, VALID | (1n << 62n) | BigInt(DEVICES));
  stage.write(BASER + 8, VALID | BigInt(COLLECTIONS));
  stage.write(CBASER, VALID | BigInt(QUEUE));
  stage.write(CTLR, 1n, 4);
  for (let pe = 0; pe < PES; pe++) {
    stage.gicrWrite(pe, 0x70, BigInt(CONFIGURATION) | 13n);
    stage.gicrWrite(pe, 0x78, BigInt(PENDING + 0x1_0000 * pe));
    stage.gicrWrite(pe, 0, 1n, 4);
    receiveRedistributor(stage.gicr[pe]!, { type: 'spis', interrupts: [], groupsEnabled: [true, true] }, stage.out, stage.memory);
  }
  stage.out.take();
  return stage;
}

type Words = readonly [bigint, bigint, bigint, bigint];
const device = (opcode: number, id: number): bigint => BigInt(opcode) | (BigInt(id) << 32n);
const mapd = (id: number, bits: number, valid = true, table = ITTS + 0x1000 * id): Words => [device(0x08, id), BigInt(bits - 1), BigInt(table) | (valid ? VALID : 0n), 0n];
const mapc = (id: number, pe: number, valid = true): Words => [0x09n, 0n, BigInt(id) | (BigInt(pe) << 16n) | (valid ? VALID : 0n), 0n];
const mapti = (id: number, event: number, intid: number, collection: number): Words => [device(0x0a, id), BigInt(event) | (BigInt(intid) << 32n), BigInt(collection), 0n];
const mapi = (id: number, event: number, collection: number): Words => [device(0x0b, id), BigInt(event), BigInt(collection), 0n];
const movi = (id: number, event: number, collection: number): Words => [device(0x01, id), BigInt(event), BigInt(collection), 0n];
const onEvent = (opcode: number) => (id: number, event: number): Words => [device(opcode, id), BigInt(event), 0n, 0n];
const [int, clear, inv, discard] = [onEvent(0x03), onEvent(0x04), onEvent(0x0c), onEvent(0x0f)] as const;
const invall = (collection: number): Words => [0x0dn, 0n, BigInt(collection), 0n];
const movall = (from: number, to: number): Words => [0x0en, 0n, BigInt(from) << 16n, BigInt(to) << 16n];
const sync = (pe: number): Words => [0x05n, 0n, BigInt(pe) << 16n, 0n];

describe('registers', () => {
  test('GITS_TYPER has QEMU\'s sizes, and reads in one access or two', () => {
    const stage = new Stage();
    // Physical, 12 bytes an entry, 16 bits of EventID, DeviceID and collection.
    expect(stage.read(TYPER)).toBe(0x1f_0001_efb1n);
    expect([stage.read(TYPER, 4), stage.read(TYPER + 4, 4)]).toEqual([0x0001_efb1n, 0x1fn]);
  });

  test('a table\'s type and entry size stay; the rest is written, by halves too, until the ITS is enabled', () => {
    const stage = new Stage();
    expect([stage.read(BASER), stage.read(BASER + 8), stage.read(BASER + 16)]).toEqual([0x0107_0000_0000_0200n, 0x0407_0000_0000_0200n, 0n]);
    stage.write(BASER, 0xffff_ffffn, 4);
    stage.write(BASER + 4, 0xffff_ffffn, 4);
    expect(stage.read(BASER)).toBe(0xf9e7_ffff_ffff_ffffn);
    stage.write(BASER + 16, MASK);
    expect(stage.read(BASER + 16)).toBe(0n);
    stage.write(CTLR, 1n, 4);
    stage.write(BASER, 0n);
    stage.write(CBASER, VALID);
    expect([stage.read(BASER), stage.read(CBASER)]).toEqual([0xf9e7_ffff_ffff_ffffn, 0n]);
  });

  test('a new queue begins at its beginning', () => {
    const stage = ready();
    stage.commands(sync(0), sync(1));
    expect([stage.read(CREADR), stage.read(CWRITER)]).toEqual([64n, 64n]);
    stage.write(CTLR, 0n, 4);
    stage.write(CBASER, VALID | BigInt(QUEUE) | 1n);
    expect([stage.read(CREADR), stage.read(CWRITER)]).toEqual([0n, 0n]);
  });
  const MASK = (1n << 64n) - 1n;
});

describe('interrupts', () => {
  test('a device\'s message becomes the LPI of its event, on the PE of its collection', () => {
    const stage = ready();
    stage.commands(mapd(5, 4), mapc(2, 1), mapti(5, 3, 8200, 2), mapti(5, 4, 8201, 2));
    stage.tell({ type: 'msi', deviceId: 5, eventId: 3 });
    expect([stage.pending(0), stage.pending(1), stage.pending(2)]).toEqual([[], [8200], []]);
    expect(stage.out.take()).toEqual([{ to: 'vcpu:1', message: { type: 'offer', lpisTaken: 0, interrupts: [{ intid: 8200, priority: 0xa0, group: 1, pending: true, active: false, level: false }] } }]);
    receiveRedistributor(stage.gicr[1]!, { type: 'acknowledge', intid: 8200 }, stage.out, stage.memory);
    expect(stage.out.take()).toEqual([{ to: 'vcpu:1', message: { type: 'offer', lpisTaken: 1, interrupts: [] } }]);
  });

  test('a PE that writes GITS_TRANSLATER is device 0', () => {
    const stage = ready();
    stage.commands(mapd(0, 5), mapc(0, 2), mapi(0, 3, 0), mapti(0, 4, 9000, 0));
    expect(stage.errors()).toEqual(['MAPI_PHYSICALID_OOR']);
    stage.write(TRANSLATER, 4n, 4);
    expect(stage.pending(2)).toEqual([9000]);
  });

  test('nothing comes through while the ITS is off', () => {
    const stage = ready();
    stage.commands(mapd(5, 4), mapc(2, 1), mapti(5, 3, 8200, 2));
    stage.write(CTLR, 0n, 4);
    stage.tell({ type: 'msi', deviceId: 5, eventId: 3 });
    expect(stage.pending(1)).toEqual([]);
    // The tables are memory: what was mapped is mapped again.
    stage.write(CTLR, 1n, 4);
    stage.tell({ type: 'msi', deviceId: 5, eventId: 3 });
    expect(stage.pending(1)).toEqual([8200]);
  });
});

test.each<[string, readonly Words[], readonly string[]]>([
  ['a device outside the table', [mapd(512, 1), mapd(0x1_0000, 1)], ['MAPD_DEVICE_OOR', 'MAPD_DEVICE_OOR']],
  ['too large a translation table', [mapd(1, 17)], ['MAPD_ITTSIZE_OOR']],
  ['a PE that is not there', [mapc(1, PES), sync(PES), movall(0, PES)], ['MAPC_PROCNUM_OOR', 'SYNC_PROCNUM_OOR', 'MOVALL_PROCNUM_OOR']],
  ['a collection outside the table', [mapc(512, 0), mapd(1, 2), mapti(1, 0, 8192, 512), invall(512)], ['MAPC_COLLECTION_OOR', 'MAPTI_COLLECTION_OOR', 'INVALL_COLLECTION_OOR']],
  ['what is not mapped', [int(1, 0), mapd(1, 2), int(1, 0), mapti(1, 0, 8192, 7), int(1, 0), invall(7)], ['INT_UNMAPPED_DEVICE', 'INT_UNMAPPED_INTERRUPT', 'INT_UNMAPPED_COLLECTION', 'INVALL_UNMAPPED_COLLECTION']],
  ['an event outside the device\'s table', [mapd(1, 2), mapti(1, 4, 8192, 0), clear(1, 4)], ['MAPTI_ID_OOR', 'CLEAR_ID_OOR']],
  ['an INTID that is no LPI', [mapd(1, 2), mapti(1, 0, 8191, 0), mapti(1, 0, 0x1_0000, 0)], ['MAPTI_PHYSICALID_OOR', 'MAPTI_PHYSICALID_OOR']],
  ['an opcode that is none', [[0xffn, 0n, 0n, 0n]], ['command 255_UNKNOWN']],
])('an error is told by its name, and the queue goes on: %s', (_, commands, errors) => {
  const stage = ready();
  stage.commands(...commands);
  expect(stage.errors()).toEqual(errors);
  expect(stage.read(CREADR)).toBe(BigInt(32 * commands.length));
});

test('what is not in RAM stalls the queue until the guest writes Retry', () => {
  const stage = ready();
  stage.write(CTLR, 0n, 4);
  stage.write(BASER + 8, VALID | 0x9000_0000n);
  stage.write(CBASER, VALID | BigInt(QUEUE));
  stage.written = 0;
  stage.write(CTLR, 1n, 4);
  stage.commands(mapd(1, 2), mapc(0, 0), mapd(2, 2));
  expect([stage.read(CREADR), stage.read(CWRITER)]).toEqual([32n | 1n, 96n]);
  expect(describeIts(stage.its)).toContain('on, stalled');
  stage.write(CWRITER, 96n);
  expect(stage.read(CREADR)).toBe(33n);
  // The guest turns the command into another and has it tried again.
  stage.memory.view.setBigUint64(QUEUE - RAM + 32, 0x05n, true);
  stage.write(CWRITER, 96n | 1n);
  expect([stage.read(CREADR), itsFaults(stage.its)]).toEqual([96n, []]);
});

test('the queue wraps', () => {
  const stage = ready();
  stage.commands(mapd(1, 2), mapc(0, 1), mapti(1, 0, 8192, 0));
  for (let round = 0; round < 200; round++) stage.commands(int(1, 0), clear(1, 0), sync(0));
  stage.commands(int(1, 0));
  expect([stage.pending(1), stage.read(CREADR)]).toEqual([[8192], BigInt((32 * 604) % 0x1000)]);
});

describe('LPIs of a PE', () => {
  const mapped = (entry: number): Stage => {
    const stage = ready(entry);
    stage.commands(mapd(1, 4), mapc(0, 0), mapti(1, 0, 8192, 0), mapti(1, 1, 8193, 0));
    return stage;
  };
  const offered = (stage: Stage): number[] => stage.gicr[0]!.offered.map(({ intid }) => intid);

  test('keep the configuration that they had when they began to pend, until it is invalidated', () => {
    const stage = mapped(0xa0);
    stage.commands(int(1, 0), int(1, 1));
    stage.configure(8192, 0xa1);
    stage.configure(8193, 0x41);
    stage.commands(int(1, 0));
    expect(offered(stage)).toEqual([]);
    stage.commands(inv(1, 0));
    expect(offered(stage)).toEqual([8192]);
    stage.commands(invall(0));
    expect(offered(stage)).toEqual([8193, 8192]);
    expect(describeRedistributor(stage.gicr[0]!)).toContain('8193: pending, enabled, Group 1, priority 0x40, edge');
  });

  test('go into the pending table when they are disabled, and come from there', () => {
    const stage = mapped(0x81);
    stage.commands(int(1, 1));
    stage.gicrWrite(0, 0, 0n, 4);
    expect(stage.memory.bytes.subarray(PENDING - RAM + 0x400, PENDING - RAM + 0x402)).toEqual(new Uint8Array([2, 0]));
    stage.commands(int(1, 0));
    expect([offered(stage), stage.pending(0)]).toEqual([[], []]);
    stage.memory.bytes[PENDING - RAM + 0x7ff] = 0x80;
    stage.gicrWrite(0, 0, 1n, 4);
    expect(stage.pending(0)).toEqual([8193, 16383]);
    expect(offered(stage)).toEqual([8193, 16383]);
  });

  test('with PTZ the pending table is not read; it reads as zero', () => {
    const stage = mapped(0x81);
    stage.gicrWrite(0, 0, 0n, 4);
    stage.memory.bytes[PENDING - RAM + 0x400] = 1;
    stage.gicrWrite(0, 0x78, BigInt(PENDING) | (1n << 62n));
    expect(stage.gicr[0]!.pendbaser).toBe(BigInt(PENDING));
    stage.gicrWrite(0, 0, 1n, 4);
    expect(stage.pending(0)).toEqual([]);
  });

  test('beyond GICR_PROPBASER.IDbits there are none', () => {
    const stage = mapped(0x81);
    stage.commands(mapti(1, 2, 16384, 0), mapti(1, 3, 16383, 0), int(1, 2), int(1, 3));
    expect(stage.pending(0)).toEqual([16383]);
  });

  test('a release pends again', () => {
    const stage = mapped(0x81);
    stage.commands(int(1, 0));
    for (const type of ['acknowledge', 'release'] as const) receiveRedistributor(stage.gicr[0]!, { type, intid: 8192 }, stage.out, stage.memory);
    expect([offered(stage), stage.gicr[0]!.offeredTaken]).toEqual([[8192], 2]);
  });
});

/** What a command does, written down again without tables: maps from numbers to numbers. */
class Model {
  readonly devices = new Map<number, number>();
  readonly collections = new Map<number, number>();
  readonly events = new Map<string, { intid: number; collection: number }>();
  readonly pending = Array.from({ length: PES }, () => new Set<number>());

  target(id: number, event: number) {
    const bits = this.devices.get(id);
    const found = bits !== undefined && event < 2 ** bits ? this.events.get(`${id} ${event}`) : undefined;
    const pe = found && this.collections.get(found.collection);
    return found === undefined || pe === undefined ? undefined : { ...found, pe };
  }
  signal(id: number, event: number): void {
    const target = this.target(id, event);
    if (target) this.pending[target.pe]!.add(target.intid);
  }
  take(from: number, intid: number, to: number): void { if (this.pending[from]!.delete(intid)) this.pending[to]!.add(intid); }
}

const id = fc.nat(3), event = fc.nat(9), collection = fc.nat(3), pe = fc.nat(PES), intid = fc.integer({ min: 8190, max: 8200 });
const mostly = fc.nat(4).map((number) => number > 0);
type Act = readonly [Words | { readonly msi: readonly [number, number] }, (model: Model) => unknown];
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(id, fc.integer({ min: 1, max: 4 }), mostly).map(([d, bits, valid]): Act => [mapd(d, bits, valid), (model) => { if (valid) model.devices.set(d, bits); else model.devices.delete(d); }]),
  fc.tuple(collection, pe, mostly).map(([c, p, valid]): Act => [mapc(c, p, valid), (model) => { if (!valid) model.collections.delete(c); else if (p < PES) model.collections.set(c, p); }]),
  fc.tuple(id, event, intid, collection).map(([d, e, i, c]): Act => [mapti(d, e, i, c), (model) => {
    if (i >= 8192 && e < 2 ** (model.devices.get(d) ?? -Infinity)) model.events.set(`${d} ${e}`, { intid: i, collection: c });
  }]),
  fc.tuple(id, event, collection).map(([d, e, c]): Act => [movi(d, e, c), (model) => {
    const target = model.target(d, e);
    const to = model.collections.get(c);
    if (target === undefined || to === undefined) return;
    model.events.set(`${d} ${e}`, { intid: target.intid, collection: c });
    model.take(target.pe, target.intid, to);
  }]),
  fc.tuple(pe, pe).map(([from, to]): Act => [movall(from, to), (model) => { if (from < PES && to < PES && from !== to) for (const one of model.pending[from]!) model.take(from, one, to); }]),
  fc.tuple(id, event).map(([d, e]): Act => [int(d, e), (model) => model.signal(d, e)]),
  fc.tuple(id, event).map(([d, e]): Act => [{ msi: [d, e] }, (model) => model.signal(d, e)]),
  fc.tuple(id, event).map(([d, e]): Act => [clear(d, e), (model) => { const target = model.target(d, e); if (target) model.pending[target.pe]!.delete(target.intid); }]),
  fc.tuple(id, event).map(([d, e]): Act => [discard(d, e), (model) => {
    const target = model.target(d, e);
    if (target === undefined) return;
    model.pending[target.pe]!.delete(target.intid);
    model.events.delete(`${d} ${e}`);
  }]),
);

/** Every device, collection and event mapped, so that what comes at random meets something. */
const MAPPED: readonly Act[] = [0, 1, 2, 3].flatMap((d): Act[] => [
  [mapd(d, 4), (model) => model.devices.set(d, 4)], [mapc(d, d % PES), (model) => model.collections.set(d, d % PES)],
  ...Array.from({ length: 10 }, (_, e): Act => [mapti(d, e, 8192 + 10 * d + e, e % 4), (model) => model.events.set(`${d} ${e}`, { intid: 8192 + 10 * d + e, collection: e % 4 })]),
]);

test('random commands and messages leave pending what a model of them has', () => {
  fc.assert(fc.property(fc.array(act, { minLength: 10, maxLength: 80, size: 'max' }), (acts) => {
    const stage = ready();
    const model = new Model();
    for (const [what, effect] of [...MAPPED, ...acts]) {
      if ('msi' in what) stage.tell({ type: 'msi', deviceId: what.msi[0], eventId: what.msi[1] });
      else stage.commands(what);
      effect(model);
      expect(stage.gicr.map((_, index) => stage.pending(index))).toEqual(model.pending.map((set) => [...set].sort((a, b) => a - b)));
      expect([...itsFaults(stage.its), ...stage.gicr.flatMap(redistributorFaults)]).toEqual([]);
      expect(stage.its.creadr).toBe(stage.its.cwriter);
    }
  }), { numRuns: 150 });
});

test('whatever is written to its registers and its queue, it goes on', () => {
  const offset = fc.constantFrom(0, 4, 8, CBASER, CBASER + 4, CWRITER, CWRITER + 4, CREADR, BASER, BASER + 4, BASER + 8, BASER + 16, 0x200, TRANSLATER, 0x1_0000);
  fc.assert(fc.property(fc.uint8Array({ minLength: 256, maxLength: 256 }), fc.array(fc.tuple(offset, fc.constantFrom(2, 4, 8), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })), { maxLength: 30 }), (bytes, writes) => {
    const stage = ready();
    stage.memory.bytes.set(bytes, QUEUE - RAM);
    stage.memory.bytes.set(bytes, LEVEL2 - RAM);
    for (const [at, size, value] of writes) stage.write(at, BigInt.asUintN(8 * size, value), size);
    expect(itsFaults(stage.its)).toEqual([]);
  }), { numRuns: 300 });
});
