/** Debian's kernel by code that was kept: the same run, to the byte, the first time, by the engines' own code and by V8's. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { scratch, spawned } from '../support/zeno.ts';
import { lacking, LINUX, WHERE } from './guests.ts';

const { image, initramfs } = LINUX.find(({ series }) => series === '6.12')!;
const CACHE = join(scratch(), 'code');

describe.skipIf(lacking(image, initramfs))(`a kernel that was booted before ${WHERE}`, () => {
  test.each([['none', '1'], ['kvm', '2']])('--el2 %s --smp %s: does the same, console, counts and fingerprint', (el2, smp) => {
    const boot = (cache: string) => spawned(['boot', '--kernel', image, '--initrd', initramfs, '--append', 'console=ttyAMA0 -- poweroff', '--el2', el2, '--smp', smp, ...(el2 === 'kvm' ? ['--nested', 'nv2'] : []), '--json'], { env: { ZENO_CODE_CACHE: cache } });
    const without = boot('off');
    expect(JSON.parse(without.out)).toMatchObject({ outcome: 'passed' });
    for (let boots = 0; boots < 3; boots++) expect(boot(CACHE)).toEqual(without);
    expect(readdirSync(CACHE).map((name) => name.split('.')[1]).sort()).toEqual(['code', 'native']);
  });
});
