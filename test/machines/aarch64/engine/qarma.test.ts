/** The functions behind pointer authentication, against published vectors. */

import { expect, test } from 'vitest';
import { fastCode, qarma5 } from '../../../../machines/aarch64/engine/qarma.ts';

test('QARMA-64 with five rounds and sbox 2 gives the paper\'s ciphertext (R. Avanzi, 2017, appendix)', () => {
  expect(qarma5(0xfb62_3599_da6e_8127n, 0x477d_469d_ec0b_8762n, 0x84be_85ce_9804_e94bn, 0xec28_02d4_e0a4_88e9n).toString(16)).toBe('c003b93999b33765');
});

test('every bit of data, modifier and key changes about half of the bits of either function', () => {
  for (const compute of [qarma5, fastCode]) {
    const inputs: [bigint, bigint, bigint, bigint] = [0x0123_4567_89ab_cdefn, 0xfedc_ba98_7654_3210n, 0x1357_9bdf_0246_8acen, 0x0f1e_2d3c_4b5a_6978n];
    const before = compute(...inputs);
    for (let place = 0; place < 4; place++) {
      let changed = 0;
      for (let bit = 0; bit < 64; bit++) {
        const other: [bigint, bigint, bigint, bigint] = [...inputs];
        other[place]! ^= 1n << BigInt(bit);
        changed += (compute(...other) ^ before).toString(2).replaceAll('0', '').length;
      }
      expect(changed / 64).toBeGreaterThan(28);
      expect(changed / 64).toBeLessThan(36);
    }
  }
});
