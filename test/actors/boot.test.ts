/** The machine that `boot` makes: what its hardware has. */

import { describe, expect, test } from 'vitest';
import { hardwareFeatures } from '../../actors/boot.ts';
import { virtualHardware } from '../../machines/kvm/virtual-hardware.ts';
import type { Board } from '../../machines/aarch64/board.ts';

describe('the hardware', () => {
  test.each([['vhe', 'nv2'], ['vhe', 'nv'], ['nvhe', 'nv2'], ['nvhe', 'nv']] as const)('a bare board of flavour %s has what L0 shows with %s', (l1, nested) => {
    const under = { features: hardwareFeatures({ el2: 'kvm', nested, l1 }), counterHz: 1 } as Board;
    expect(hardwareFeatures({ el2: 'guest', nested: 'none', l1 })).toEqual(virtualHardware({ mechanism: nested, flavour: l1 }, under).features);
  });

  test('a bare board of no flavour has all that a core of ours has, FEAT_NV2 and FEAT_ECV too', () => {
    expect(hardwareFeatures({ el2: 'guest', nested: 'none', l1: 'both' })).toMatchObject({ nv: 2, ecv: true, vhe: true, e2h: 'writable' });
  });
});
