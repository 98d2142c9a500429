/** The virtio-pci transport: the same device behind the common configuration, with vectors. */

import { expect, test } from 'vitest';
import { initialBlock } from '../../../machines/virtio/block.ts';
import { initialVirtio, pciTransport, virtioFaults } from '../../../machines/virtio/state.ts';
import { receive } from '../../../machines/virtio/virtio.ts';
import { arrayDisk, RAM, ram } from '../../support/virtio-driver.ts';
import { recorder } from '../gic/recorder.ts';

const NO_VECTOR = 0xffff;
const [DESCRIPTORS, AVAILABLE, USED, HEADER, DATA] = [RAM, RAM + 0x1000, RAM + 0x2000, RAM + 0x3000, RAM + 0x4000];

function disk() {
  const state = initialVirtio(3, pciTransport(1), initialBlock(0, 512 * 8, false), 1);
  const out = recorder();
  const memory = ram();
  const surroundings = { memory, disks: [arrayDisk(Uint8Array.from({ length: 512 * 8 }, (_, at) => at >> 9))] };
  const say = (message: Parameters<typeof receive>[1]): void => {
    receive(state, message, out, surroundings);
    expect(virtioFaults(state)).toEqual([]);
  };
  const write = (offset: number, value: number, bytes: number): void => say({ type: 'write', from: 'vcpu:0', offset, bytes, value: BigInt(value) });
  const read = (offset: number, bytes: number): number => {
    const before = out.sent.length;
    say({ type: 'read', from: 'vcpu:0', offset, bytes });
    return Number(out.sent.splice(before, 1)[0]!.message['value']);
  };
  return {
    state, out, memory, say, write, read,
    setUp(): void {
      for (const status of [0, 1, 3]) write(0x14, status, 1);
      write(0x08, 1, 4);
      write(0x0c, 1, 4);
      write(0x14, 11, 1);
      write(0x10, 0, 2);
      write(0x16, 0, 2);
      write(0x18, 8, 2);
      write(0x1a, 1, 2);
      for (const [offset, address] of [[0x20, DESCRIPTORS], [0x28, AVAILABLE], [0x30, USED]] as const) { write(offset, address, 4); write(offset + 4, 0, 4); }
      write(0x1c, 1, 2);
      write(0x14, 15, 1);
    },
    /** Asks for the disk's first sector. */
    ask(): void {
      [[HEADER, 16, 1, 1], [DATA, 512, 3, 2], [DATA + 512, 1, 2, 0]].forEach(([address, bytes, flags, next], slot) => {
        memory.view.setBigUint64(16 * slot, BigInt(address!), true);
        memory.view.setUint32(16 * slot + 8, bytes!, true);
        memory.view.setUint16(16 * slot + 12, flags!, true);
        memory.view.setUint16(16 * slot + 14, next!, true);
      });
      memory.view.setUint16(AVAILABLE - RAM + 2, 1, true);
      write(0x3000, 0, 2);
    },
    done: () => memory.view.getUint16(USED - RAM + 2, true) === 1,
  };
}

test('the common configuration reads back what was set up', () => {
  const d = disk();
  d.setUp();
  expect([d.read(0x12, 2), d.read(0x14, 1), d.read(0x18, 2), d.read(0x1a, 2), d.read(0x1c, 2), d.read(0x1e, 2), d.read(0x20, 4), d.read(0x0c, 4), d.read(0x10, 2)]).toEqual([1, 15, 8, 1, 1, 0, DESCRIPTORS, 1, 0]);
  expect([d.read(0x2000, 4), d.read(0x2014, 4), d.read(0x3000, 2)]).toEqual([8, 512, 0]);
  d.write(0x16, 5, 2);
  expect([d.read(0x18, 2), d.read(0x1a, 2), d.read(0x1c, 2)]).toEqual([0, NO_VECTOR, 0]);
  // A field is accessed whole.
  expect([d.read(0x14, 4), d.out.events.at(-1)]).toEqual([0, { event: 'virtio_unknown_register', device: 3, access: 'read', offset: 0x14, bytes: 4 }]);
});

test('a vector that there is not reads back as none', () => {
  const d = disk();
  d.write(0x10, 2, 2);
  expect(d.read(0x10, 2)).toBe(NO_VECTOR);
});

test('used buffers raise INTA and their vector; reading the interrupt status takes INTA away', () => {
  const d = disk();
  d.say({ type: 'bus-master', on: true });
  d.setUp();
  d.ask();
  expect(d.out.take().map(({ to, message }) => [to, message])).toEqual([['pcie', { type: 'intx', device: 3, level: true }], ['pcie', { type: 'vector', device: 3, vector: 1 }]]);
  expect([d.done(), d.read(0x1000, 1), d.read(0x1000, 1)]).toEqual([true, 1, 0]);
  expect(d.out.take().map(({ message }) => message)).toEqual([{ type: 'intx', device: 3, level: false }]);
});

test('without bus mastering it does not reach memory', () => {
  const d = disk();
  d.setUp();
  d.ask();
  expect([d.done(), d.out.take()]).toEqual([false, []]);
});

test('a reset takes the vectors away', () => {
  const d = disk();
  d.setUp();
  d.write(0x14, 0, 1);
  expect([d.read(0x10, 2), d.read(0x1a, 2), d.read(0x1c, 2), d.read(0x14, 1)]).toEqual([NO_VECTOR, NO_VECTOR, 0, 0]);
});
