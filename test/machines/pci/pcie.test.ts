/** The host bridge as firmware and drivers see it: who is on the bus, how large their BARs are, where they answer, and how their interrupts leave. */

import { expect, test } from 'vitest';
import type { DeviceRead, PcieMessage } from '../../../machines/messages.ts';
import { describePcie } from '../../../machines/pci/describe.ts';
import { ECAM, receive } from '../../../machines/pci/pcie.ts';
import { CONFIG_REGISTERS } from '../../../machines/pci/registers.ts';
import { initialPcie, pcieFaults, type FunctionOptions } from '../../../machines/pci/state.ts';
import { ram, RAM } from '../../support/virtio-driver.ts';
import { recorder } from '../gic/recorder.ts';

const TRANSLATER = 0x0809_0040;
const functionBehind = (index: number, vectors = 2): FunctionOptions => ({ vendorId: 0x1af4, deviceId: 0x1042, classCode: 0x01_0000, revision: 1, subsystem: 0x1100_1af4, behind: `virtio:${index}`, vectors });

function bus(functions: readonly FunctionOptions[] = [functionBehind(0), functionBehind(1)], translater: number | null = TRANSLATER) {
  const state = initialPcie(functions, translater);
  const out = recorder();
  const memory = ram();
  const say = (message: PcieMessage): void => {
    receive(state, message, out, memory);
    expect(pcieFaults(state)).toEqual([]);
  };
  const read = (address: number, bytes: number): bigint => {
    const before = out.sent.length;
    say({ type: 'read', from: 'vcpu:0', offset: address, bytes });
    return out.sent.splice(before, 1)[0]!.message['value'] as bigint;
  };
  const config = (device: number, offset: number): number => ECAM[0] + device * 0x8000 + offset;
  return {
    state, out, memory, say,
    write: (address: number, value: bigint | number, bytes = 4) => say({ type: 'write', from: 'vcpu:0', offset: address, bytes, value: BigInt(value) }),
    read: (address: number, bytes = 4) => Number(read(address, bytes)),
    get: (device: number, offset: number, bytes = 4) => Number(read(config(device, offset), bytes)),
    set(device: number, offset: number, value: number, bytes = 4): void { this.write(config(device, offset), value, bytes); },
  };
}
/** What was sent, as [receiver, message]. */
const sent = (b: ReturnType<typeof bus>) => b.out.take().map(({ to, message }) => [to, message]);
const line = (intid: number, level: boolean) => ['gicd', { type: 'irq-line', intid, level }];

test('a scan finds the host bridge, the functions behind it and nobody else', () => {
  const b = bus();
  const found = Array.from({ length: 32 }, (_, device) => b.get(device, 0)).flatMap((id, device) => (id === 0xffff_ffff ? [] : [[device, id]]));
  expect(found).toEqual([[0, 0x0008_1b36], [1, 0x1042_1af4], [2, 0x1042_1af4]]);
  expect([b.read(ECAM[0] + 0x1000), b.read(ECAM[0] + 0x10_0000), b.get(3, 0, 2), b.get(3, 0, 1)]).toEqual([0xffff_ffff, 0xffff_ffff, 0xffff, 0xff]);
  expect([b.get(0, 8), b.get(1, 8), b.get(1, 0x0e, 1), b.get(1, 0x3d, 1), b.get(0, 0x3d, 1), b.get(1, 0x100)]).toEqual([0x0600_0000, 0x0100_0001, 0, 1, 0, 0]);
});

test('BARs say how large they are, and keep what is theirs', () => {
  const b = bus();
  const sizes = Array.from({ length: 6 }, (_, index) => { b.set(1, 0x10 + 4 * index, 0xffff_ffff); return b.get(1, 0x10 + 4 * index); });
  expect(sizes).toEqual([0, 0xffff_f000, 0, 0, 0xffff_c00c, 0xffff_ffff]);
  b.set(1, 0x20, 0x8000_5678);
  b.set(1, 0x24, 0x80);
  expect([b.get(1, 0x20), b.get(1, 0x24), b.get(0, 0x10)]).toEqual([0x8000_400c, 0x80, 0]);
});

test('capabilities are a list that ends, MSI-X only where messages go somewhere, and each part lies in its BAR', () => {
  for (const [vectors, ids] of [[2, [0x11, 9, 9, 9, 9, 9]], [0, [9, 9, 9, 9, 9]]] as const) {
    const b = bus([functionBehind(0, vectors)]);
    const found: number[] = [];
    const types: number[] = [];
    for (let at = b.get(1, 0x34, 1); at !== 0; at = b.get(1, at + 1, 1)) {
      found.push(b.get(1, at, 1));
      if (found.at(-1) === 9) types.push(b.get(1, at + 3, 1));
      if (b.get(1, at, 1) === 9 && b.get(1, at + 3, 1) < 5) expect([b.get(1, at + 4, 1), b.get(1, at + 8) + b.get(1, at + 12) <= 0x4000]).toEqual([4, true]);
    }
    expect([found, types]).toEqual([ids, [1, 2, 3, 4, 5]]);
  }
  expect(bus().get(1, 0x42, 2)).toBe(1);
});

test('bytes and halves of configuration registers are written by themselves', () => {
  const b = bus();
  b.set(1, 0x3c, 0x55, 1);
  b.set(1, 0x04, 0x0006, 2);
  b.set(1, 0x05, 0x04, 1);
  expect([b.get(1, 0x3c), b.get(1, 0x04, 2), b.get(1, 0x05, 1)]).toEqual([0x155, 0x406, 4]);
  // Wider than a word, or across one: no configuration request.
  expect([b.get(1, 2, 4), b.get(1, 0, 8)]).toEqual([0xffff_ffff, Number(0xffff_ffff_ffff_ffffn)]);
});

test('accesses go to the device whose BAR was put there, above 4 GiB too, once its memory is on', () => {
  const b = bus();
  b.set(2, 0x20, 0x4000);
  b.set(2, 0x24, 0x80);
  const at = 0x80_0000_4014;
  expect([b.read(at, 1), b.out.events.pop()]).toEqual([0xff, { event: 'pcie_unclaimed', access: 'read', address: at, bytes: 1 }]);
  b.set(2, 0x04, 2, 2);
  b.say({ type: 'read', from: 'vcpu:0', offset: at, bytes: 1 });
  b.write(at, 0x7f, 1);
  expect(sent(b)).toEqual([['virtio:1', { type: 'read', from: 'vcpu:0', offset: 0x14, bytes: 1 }], ['virtio:1', { type: 'write', from: 'vcpu:0', offset: 0x14, bytes: 1, value: 0x7fn }]]);
});

test('the window in configuration space reaches the same', () => {
  const b = bus();
  b.set(1, 0x9c, 4, 1);
  b.set(1, 0xa0, 0x2000);
  b.set(1, 0xa4, 4);
  b.say({ type: 'read', from: 'vcpu:0', offset: ECAM[0] + 0x8000 + 0xa8, bytes: 4 });
  expect(sent(b)).toEqual([['virtio:0', { type: 'read', from: 'vcpu:0', offset: 0x2000, bytes: 4 }]]);
  b.set(1, 0x9c, 1, 1);
  expect(b.get(1, 0xa8)).toBe(0);
});

test('the device hears whether it may reach memory, when that changes', () => {
  const b = bus();
  b.set(1, 0x04, 4, 2);
  b.set(1, 0x04, 6, 2);
  b.set(1, 0x04, 2, 2);
  expect(sent(b)).toEqual([['virtio:0', { type: 'bus-master', on: true }], ['virtio:0', { type: 'bus-master', on: false }]]);
});

test('INTA is one of four lines, which devices share; it can be kept back, and status says so', () => {
  const b = bus([0, 1, 2, 3, 4].map((index) => functionBehind(index)));
  b.say({ type: 'intx', device: 0, level: true });
  b.say({ type: 'intx', device: 4, level: true });
  expect([sent(b), b.get(1, 6, 2) & 8]).toEqual([[line(36, true)], 8]);
  b.say({ type: 'intx', device: 0, level: false });
  expect(sent(b)).toEqual([]);
  b.set(5, 0x04, 0x400, 2);
  expect(sent(b)).toEqual([line(36, false)]);
  b.set(5, 0x04, 0, 2);
  b.say({ type: 'intx', device: 4, level: false });
  expect(sent(b)).toEqual([line(36, true), line(36, false)]);
});

/** Function 1 with its vectors at 0x1000_0000, memory and messages on, and bus mastering. */
function withVectors() {
  const b = bus();
  b.set(1, 0x14, 0x1000_0000);
  b.set(1, 0x04, 6, 2);
  b.set(1, 0x42, 0x8000, 2);
  b.out.take();
  const program = (vector: number, address: number, data: number, control: number): void => {
    [address % 2 ** 32, Math.floor(address / 2 ** 32), data, control].forEach((word, at) => b.write(0x1000_0000 + 16 * vector + 4 * at, word));
  };
  return { ...b, program };
}
const msi = (eventId: number) => ['its', { type: 'msi', deviceId: 8, eventId }];

test('a vector goes to the ITS under the function\'s number, or is a write to memory, or is lost with an event', () => {
  const b = withVectors();
  b.program(0, TRANSLATER, 7, 0);
  b.program(1, RAM + 0x100, 0xabcd, 0);
  b.say({ type: 'vector', device: 0, vector: 0 });
  b.say({ type: 'vector', device: 0, vector: 1 });
  expect([sent(b), b.memory.view.getUint32(0x100, true)]).toEqual([[msi(7)], 0xabcd]);
  b.program(1, 0x1000, 1, 0);
  b.say({ type: 'vector', device: 0, vector: 1 });
  expect(b.out.events).toEqual([{ event: 'pcie_msi_lost', device: 1, address: 0x1000, data: 1 }]);
  expect([b.read(0x1000_0000), b.read(0x1000_0008), b.read(0x1000_000c), Number(b.read(0x1000_0000, 8))]).toEqual([TRANSLATER, 7, 0, TRANSLATER]);
});

test('a masked vector pends and goes when it is unmasked, the function\'s mask likewise; without bus mastering none goes', () => {
  const b = withVectors();
  b.program(0, TRANSLATER, 7, 1);
  b.say({ type: 'vector', device: 0, vector: 0 });
  expect([sent(b), b.read(0x1000_0800)]).toEqual([[], 1]);
  b.program(0, TRANSLATER, 9, 0);
  expect([sent(b), b.read(0x1000_0800)]).toEqual([[msi(9)], 0]);
  b.set(1, 0x42, 0xc000, 2);
  b.say({ type: 'vector', device: 0, vector: 0 });
  expect(sent(b)).toEqual([]);
  b.set(1, 0x42, 0x8000, 2);
  expect(sent(b)).toEqual([msi(9)]);
  b.set(1, 0x04, 2, 2);
  b.out.take();
  b.say({ type: 'vector', device: 0, vector: 0 });
  expect(sent(b)).toEqual([]);
});

test('with MSI-X on the line is quiet, and with it off there are no messages', () => {
  const b = withVectors();
  b.program(0, TRANSLATER, 7, 0);
  b.say({ type: 'intx', device: 0, level: true });
  expect(sent(b)).toEqual([]);
  b.set(1, 0x42, 0, 2);
  b.say({ type: 'vector', device: 0, vector: 0 });
  expect(sent(b)).toEqual([line(36, true)]);
});

test('it tells who is there; rows do not overlap; a bus has 31 devices', () => {
  const b = withVectors();
  expect(describePcie(b.state).split('\n').slice(0, 2)).toEqual(['00:00.0 1b36:0008 host bridge, command 0x0', '00:01.0 1af4:1042 virtio:0 at 0x0, MSI-X on, INTA quiet, command 0x6']);
  expect(new Set(CONFIG_REGISTERS.map(({ offset }) => offset)).size).toBe(CONFIG_REGISTERS.length);
  expect(() => bus(Array.from({ length: 32 }, (_, index) => functionBehind(index)))).toThrow(RangeError);
  const lost: DeviceRead = { type: 'read', from: 'kvm:1', offset: 0x3eff_0000, bytes: 1 };
  b.say(lost);
  expect(sent(b)).toEqual([['kvm:1', { type: 'device-reply', offset: 0x3eff_0000, bytes: 1, value: 0xffn }]]);
});
