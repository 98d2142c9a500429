/** A bank of flash: what a driver of Intel's command set sees. */

import { describe, expect, test } from 'vitest';
import { describeFlash } from '../../../machines/flash/describe.ts';
import { receive } from '../../../machines/flash/flash.ts';
import { flashFaults, initialFlash, SECTOR_BYTES } from '../../../machines/flash/state.ts';
import type { FlashMessage } from '../../../machines/messages.ts';
import { recorder } from '../gic/recorder.ts';

const READY = 0x0080_0080;

function bank(readOnly = false) {
  const state = initialFlash(1, readOnly);
  const out = recorder();
  const cells = new Uint8Array(4 * SECTOR_BYTES).fill(0xff);
  const say = (message: FlashMessage): void => {
    receive(state, message, out, { read: (offset, bytes) => cells.slice(offset, offset + bytes), write: (offset, bytes) => { cells.set(bytes, offset); return true; } });
    expect(flashFaults(state)).toEqual([]);
  };
  return {
    state, out, cells,
    write: (offset: number, value: number, bytes = 4) => say({ type: 'write', from: 'vcpu:0', offset, bytes, value: BigInt(value) }),
    read: (offset: number, bytes = 4): number => {
      say({ type: 'read', from: 'vcpu:0', offset, bytes });
      return Number(out.take()[0]!.message['value']);
    },
  };
}

test('the query table stands in both chips, and says 256 sectors of 128 KiB each', () => {
  const flash = bank();
  flash.write(0x154, 0x98_0098);
  const query = (word: number): number => flash.read(4 * word);
  expect([0x10, 0x11, 0x12].map(query)).toEqual([0x51_0051, 0x52_0052, 0x59_0059]);
  expect([query(0x13), query(0x27), query(0x2a), query(0x2c), query(0x2d), query(0x2e), query(0x2f), query(0x30), query(0x60)].map((word) => word & 0xffff)).toEqual([1, 25, 11, 1, 255, 0, 0, 2, 0]);
  expect([flash.read(0x40, 1), flash.read(0x41, 1), flash.read(0x42, 2), flash.read(0x40, 8)]).toEqual([0x51, 0, 0x51, Number(0x52_0052_0051_0051n)]);
  flash.write(0, 0xff);
  expect([flash.state.mode, flash.read(0)]).toEqual(['array', 0xffff_ffff]);
});

test('the identifiers are Intel\'s', () => {
  const flash = bank();
  flash.write(0, 0x90_0090);
  expect([flash.read(0), flash.read(4), flash.read(8)]).toEqual([0x89_0089, 0x18_0018, 0]);
});

test('programming clears bits, erasing a sector sets all of its and of no other', () => {
  const flash = bank();
  const program = (offset: number, value: number): number => {
    flash.write(offset, 0x40_0040);
    flash.write(offset, value);
    return flash.read(offset);
  };
  expect([program(SECTOR_BYTES, 0xf0f0_1234), program(SECTOR_BYTES, 0xff00_ffff), program(2 * SECTOR_BYTES, 7)]).toEqual([READY, READY, READY]);
  flash.write(0, 0xff);
  expect([flash.read(SECTOR_BYTES), flash.read(2 * SECTOR_BYTES)]).toEqual([0xf000_1234, 7]);
  flash.write(SECTOR_BYTES + 0x10, 0x20_0020);
  flash.write(SECTOR_BYTES + 0x10, 0xd0_00d0);
  expect(flash.read(SECTOR_BYTES)).toBe(READY);
  flash.write(0, 0xff);
  expect([flash.read(SECTOR_BYTES), flash.read(2 * SECTOR_BYTES)]).toEqual([0xffff_ffff, 7]);
  expect(flash.out.events).toEqual([{ event: 'flash_erase', bank: 1, offset: SECTOR_BYTES, done: true }]);
});

test('a buffered write is there when it is confirmed, and not when it is not', () => {
  const flash = bank();
  const fill = (confirm: number): void => {
    flash.write(0x100, 0xe8_00e8);
    expect(flash.read(0x100)).toBe(READY);
    flash.write(0x100, 0x2_0002);
    [1, 2, 3].forEach((value, index) => flash.write(0x100 + 4 * index, value));
    expect(describeFlash(flash.state)).toBe('flash 1: writable, reads give the status (in confirm), status 0x80, 3 words in the write buffer');
    flash.write(0x100, confirm);
  };
  fill(0xff);
  expect([flash.state.mode, flash.read(0x100)]).toEqual(['array', 0xffff_ffff]);
  fill(0xd0_00d0);
  expect(flash.read(0x100)).toBe(READY);
  flash.write(0, 0xff);
  expect([0x100, 0x104, 0x108, 0x10c].map((offset) => flash.read(offset))).toEqual([1, 2, 3, 0xffff_ffff]);
});

describe('a read-only bank', () => {
  test.each([[0x40, 5, 0x90_0090], [0x20, 0xd0_00d0, 0xa0_00a0]])('fails command %i, keeps its cells, and says so until the status is cleared', (command, second, status) => {
    const flash = bank(true);
    flash.write(0, command);
    flash.write(0, second);
    expect(flash.read(0)).toBe(status);
    flash.write(0, 0x50_0050);
    flash.write(0, 0x70_0070);
    expect(flash.read(0)).toBe(READY);
    flash.write(0, 0xff_00ff);
    expect(flash.cells.every((byte) => byte === 0xff)).toBe(true);
  });
});

test('what is no command leads to the array, and is told', () => {
  const flash = bank();
  flash.write(0, 0x70);
  flash.write(0, 0x77);
  expect([flash.state.mode, flash.out.events]).toEqual(['array', [{ event: 'flash_unknown_command', bank: 1, offset: 0, command: 0x77 }]]);
});
