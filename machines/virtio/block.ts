/** The block device: sectors of a disk, whose image nobody writes. Virtio 1.2, 5.2. */

import type { Kind, Work } from './kind.ts';
import { gather, lengthOf, part, pieces, scatter, store, bytesAt, type Chain, type Segment } from './queue.ts';
import type { BlockState } from './state.ts';

export const SECTOR_BYTES = 512;
/** What the disk is kept in: a write of whole pages reads nothing first. */
const PAGE_BYTES = 4096;
/** Segments in a request. */
const SEGMENTS_MAX = 254;
/** Sectors that one range of a DISCARD or WRITE_ZEROES may have, and ranges. */
const CLEAR_SECTORS_MAX = 1 << 22;
const CLEAR_RANGES_MAX = 256;

const Feature = {
  SEG_MAX: 1n << 2n, RO: 1n << 5n, BLK_SIZE: 1n << 6n, FLUSH: 1n << 9n, TOPOLOGY: 1n << 10n, CONFIG_WCE: 1n << 11n, DISCARD: 1n << 13n, WRITE_ZEROES: 1n << 14n,
} as const;
const Request = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;
const Outcome = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;
type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** Offset of `writeback` in the configuration space. */
const WRITEBACK = 32;
const HEADER_BYTES = 16;
const ID_BYTES = 20;
const RANGE_BYTES = 16;

export const block: Kind<BlockState> = {
  deviceId: 2,
  features: ({ readOnly }) => Feature.SEG_MAX | Feature.BLK_SIZE | Feature.FLUSH | Feature.TOPOLOGY | Feature.CONFIG_WCE
    | (readOnly ? Feature.RO : Feature.DISCARD | Feature.WRITE_ZEROES),
  configuration,
  configure(device, offset, value) {
    if (offset === WRITEBACK) device.writeback = (value & 1) === 1;
  },
  notified(work, index) {
    for (let chain = work.take(index); chain !== undefined; chain = work.take(index)) work.give(index, chain, perform(work, chain));
  },
  reset(device) { device.writeback = true; },
};

export const initialBlock = (disk: number, bytes: number, readOnly: boolean): BlockState => ({ kind: 'block', disk, sectors: bytes / SECTOR_BYTES, readOnly, writeback: true });

function configuration({ sectors, readOnly, writeback }: BlockState): Uint8Array {
  const view = new DataView(new ArrayBuffer(60));
  view.setBigUint64(0, BigInt(sectors), true);
  view.setUint32(12, SEGMENTS_MAX, true);
  view.setUint32(20, SECTOR_BYTES, true);
  // A physical block is 2^3 sectors, a page of the disk; so is the least and the best transfer.
  view.setUint8(24, 3);
  view.setUint16(26, PAGE_BYTES / SECTOR_BYTES, true);
  view.setUint32(28, PAGE_BYTES / SECTOR_BYTES, true);
  view.setUint8(WRITEBACK, writeback ? 1 : 0);
  view.setUint16(34, 1, true);
  if (readOnly) return new Uint8Array(view.buffer);
  for (const at of [36, 48]) {
    view.setUint32(at, CLEAR_SECTORS_MAX, true);
    view.setUint32(at + 4, CLEAR_RANGES_MAX, true);
  }
  view.setUint32(44, PAGE_BYTES / SECTOR_BYTES, true);
  view.setUint8(56, 1);
  return new Uint8Array(view.buffer);
}

/** Carries out one request. Returns how many bytes of the chain were written: the data, and the status byte that comes last. */
function perform(work: Work<BlockState>, { readable, writable }: Chain): number {
  const room = lengthOf(writable);
  const header = new DataView(gather(work.memory, part(readable, 0, HEADER_BYTES)).buffer);
  // Without a header there is no request, and without the last byte no place to say so.
  if (header.byteLength < HEADER_BYTES || room === 0) {
    work.out.event('virtio_blk_malformed', { device: work.index, header: header.byteLength, room });
    if (room > 0) scatter(work.memory, part(writable, room - 1), Uint8Array.of(Outcome.IOERR));
    return room;
  }
  const type = header.getUint32(0, true);
  const sector = Number(header.getBigUint64(8, true));
  const data = { toDevice: part(readable, HEADER_BYTES), fromDevice: part(writable, 0, room - 1) };
  const outcome = request(work, type, sector, data);
  work.out.event('virtio_blk_request', { device: work.index, request: nameOf(type), sector, bytes: lengthOf(type === Request.IN ? data.fromDevice : data.toDevice), status: outcome });
  scatter(work.memory, part(writable, room - 1), Uint8Array.of(outcome));
  return room;
}

const nameOf = (type: number): string => Object.entries(Request).find(([, value]) => value === type)?.[0] ?? String(type);

function request(work: Work<BlockState>, type: number, sector: number, { toDevice, fromDevice }: { toDevice: readonly Segment[]; fromDevice: readonly Segment[] }): Outcome {
  const { device, memory } = work;
  const disk = work.disks[device.disk]!;
  switch (type) {
    case Request.IN: {
      if (!onDisk(device, sector, lengthOf(fromDevice))) return Outcome.IOERR;
      for (const { address, bytes, offset } of pieces(fromDevice)) store(memory, address, disk.read(sector * SECTOR_BYTES + offset, bytes));
      return Outcome.OK;
    }
    case Request.OUT: {
      if (device.readOnly || !onDisk(device, sector, lengthOf(toDevice))) return Outcome.IOERR;
      for (const { address, bytes, offset } of pieces(toDevice)) {
        if (!disk.write(sector * SECTOR_BYTES + offset, bytesAt(memory, address, bytes))) return full(work);
      }
      return Outcome.OK;
    }
    case Request.FLUSH: return Outcome.OK;
    case Request.GET_ID: {
      const id = new Uint8Array(ID_BYTES);
      id.set(new TextEncoder().encode(`zeno-disk${device.disk}`));
      scatter(memory, fromDevice, id);
      return Outcome.OK;
    }
    case Request.DISCARD: case Request.WRITE_ZEROES: return device.readOnly ? Outcome.IOERR : clear(work, toDevice, type === Request.DISCARD);
    default: return Outcome.UNSUPP;
  }
}

/** What was discarded reads as zero here: a choice that is ours. */
function clear(work: Work<BlockState>, segments: readonly Segment[], discard: boolean): Outcome {
  const { device, disks } = work;
  const bytes = lengthOf(segments);
  if (bytes === 0 || bytes % RANGE_BYTES !== 0 || bytes > RANGE_BYTES * CLEAR_RANGES_MAX) return Outcome.IOERR;
  const view = new DataView(gather(work.memory, segments).buffer);
  for (let at = 0; at < bytes; at += RANGE_BYTES) {
    const sector = Number(view.getBigUint64(at, true));
    const count = view.getUint32(at + 8, true);
    const flags = view.getUint32(at + 12, true);
    // Bit 0 lets WRITE_ZEROES unmap; DISCARD has no flags.
    if ((flags & (discard ? ~0 : ~1)) !== 0) return Outcome.UNSUPP;
    if (count > CLEAR_SECTORS_MAX || !onDisk(device, sector, count * SECTOR_BYTES)) return Outcome.IOERR;
    if (!disks[device.disk]!.clear(sector * SECTOR_BYTES, count * SECTOR_BYTES)) return full(work);
  }
  return Outcome.OK;
}

const onDisk = ({ sectors }: BlockState, sector: number, bytes: number): boolean => bytes % SECTOR_BYTES === 0 && sector + bytes / SECTOR_BYTES <= sectors;

function full({ device, index, out }: Work<BlockState>): Outcome {
  out.event('virtio_blk_full', { device: index, disk: device.disk });
  return Outcome.IOERR;
}
