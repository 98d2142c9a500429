/** The entropy device: the seed decides its bytes, and no byte comes twice. */

import { expect, test } from 'vitest';
import { initialRng } from '../../../machines/virtio/rng.ts';
import { driver, RAM, REGISTER } from '../../support/virtio-driver.ts';

function draws(seed: number, lengths: readonly number[]): string[] {
  const d = driver(initialRng(seed), 1);
  d.negotiate(d.offered());
  d.setUp(0, 8);
  d.go();
  return lengths.map((bytes, at) => {
    d.offer(0, d.chain(0, [at], [{ address: RAM, bytes, write: true }]));
    d.notify(0);
    const written = d.used(0)[0]!.written;
    return Buffer.from(d.bytes(RAM, written)).toString('hex');
  });
}

test('the same seed draws the same bytes, another seed others, and they do not repeat', () => {
  const [first, again, other] = [draws(1, [32, 64, 15]), draws(1, [32, 64, 15]), draws(2, [32, 64, 15])];
  expect(first).toEqual(again);
  expect(first.map((text) => text.length)).toEqual([64, 128, 30]);
  expect(new Set([...first, ...other].map((text) => text.slice(0, 14))).size).toBe(6);
});

test('a reset repeats nothing', () => {
  const d = driver(initialRng(5), 1);
  const once = (): string => {
    d.negotiate(d.offered());
    d.setUp(0, 8);
    d.memory.bytes.fill(0, 0x84000, 0x88000);
    d.go();
    d.offer(0, d.chain(0, [0], [{ address: RAM, bytes: 16, write: true }]));
    d.notify(0);
    return Buffer.from(d.bytes(RAM, 16)).toString('hex');
  };
  expect(new Set([once(), once(), once()]).size).toBe(3);
  expect(d.read(REGISTER.deviceId)).toBe(4);
});
