/** Code that is kept between processes: it changes nothing that can be seen, and what is damaged, old or another's is not used. */

import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openKeptCode } from '../../cli/kept-code.ts';
import { readParts, writeParts } from '../../cli/parts-file.ts';
import { FLAT_KERNEL } from '../support/echo-guest.ts';
import { words } from '../support/guest-program.ts';
import { fileIn, scratch, spawned, type Spoken } from '../support/zeno.ts';

const DIR = scratch();
const file = fileIn(DIR);
const CACHE = join(DIR, 'code');
const files = (): string[] => readdirSync(CACHE).sort();

/** A machine that spends its time in `functions` loops, one behind the other, and powers off: regions enough to be kept. `add` is in each. */
const loops = (functions: number, rounds: number, add = 1): string => [
  'movz x9, #0',
  ...Array.from({ length: functions }, (_, index) => `movz x0, #${rounds & 0xffff}; movk x0, #${rounds >>> 16}, lsl #16\nl${index}: add x9, x9, #${add}; eor x10, x9, x0; add x11, x11, x10; subs x0, x0, #1; b.ne {l${index}}\nb {n${index}}\n${'nop\n'.repeat(40)}n${index}: nop`),
  'movz x0, #8; movk x0, #0x8400, lsl #16; hvc #0',
].join('\n');
const FUNCTIONS = 80;
const ROUNDS = 200_000;
const boot = (name: string, text: string, cache = CACHE): Spoken =>
  spawned(['boot', '--kernel', file(name, new Uint8Array(Uint32Array.from(words(text, FLAT_KERNEL)).buffer)), '--mem', '16M', '--el2', 'none', '--json'], { env: { ZENO_CODE_CACHE: cache } });

describe('a machine that was booted before', () => {
  afterEach(() => { rmSync(CACHE, { recursive: true, force: true }); });

  test('does the same by code that was kept, by code of V8\'s that was kept, and without', () => {
    const text = loops(FUNCTIONS, ROUNDS);
    const without = boot('loops.bin', text, 'off');
    expect(JSON.parse(without.out)).toMatchObject({ outcome: 'passed' });
    expect(boot('loops.bin', text)).toEqual(without);
    expect(files()).toHaveLength(1);
    const made = readParts(join(CACHE, files()[0]!))!.parts;
    expect((made['entries'] as Int32Array).length).toBeGreaterThanOrEqual(64);
    const written = readFileSync(join(CACHE, files()[0]!));
    expect(boot('loops.bin', text)).toEqual(without);
    // What there is was enough: regions are not made again. V8's code is there now.
    expect(readFileSync(join(CACHE, files()[0]!))).toEqual(written);
    expect(files().map((name) => name.split('.')[1])).toEqual(['code', 'native']);
    expect(boot('loops.bin', text)).toEqual(without);
  }, 60_000);

  test('does the same where a file is damaged, cut short, empty, another\'s or cannot be written', () => {
    const text = loops(FUNCTIONS, ROUNDS);
    const without = boot('loops.bin', text, 'off');
    boot('loops.bin', text);
    boot('loops.bin', text);
    const [code, native] = files().map((name) => join(CACHE, name)) as [string, string];
    const whole = [code, native].map((path) => [path, readFileSync(path)] as const);
    // What is found damaged is written anew, V8's code of it not at once.
    const mend = (): void => { for (const [path, bytes] of whole) writeFileSync(path, bytes); };
    for (const [path, bytes] of whole) {
      for (const at of [0, 40, bytes.length >> 1, bytes.length - 1]) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= 1;
        writeFileSync(path, damaged);
        expect(readParts(path), `${path}, byte ${at}`).toBeUndefined();
      }
      expect(boot('loops.bin', text)).toEqual(without);
      mend();
      truncateSync(path, 100);
      expect(boot('loops.bin', text)).toEqual(without);
      mend();
      truncateSync(path, 0);
      expect(boot('loops.bin', text)).toEqual(without);
      mend();
    }
    // V8's code of other modules, which V8 would take.
    const { parts } = readParts(native)!;
    writeParts(native, { ...parts, of: 'another', regions: parts['handlers']!, handlers: parts['regions']! });
    expect(boot('loops.bin', text)).toEqual(without);
    rmSync(CACHE, { recursive: true });
    mkdirSync(CACHE);
    chmodSync(CACHE, 0o500);
    expect(boot('loops.bin', text)).toEqual(without);
    chmodSync(CACHE, 0o700);
    writeFileSync(join(DIR, 'no-folder'), '');
    expect(boot('loops.bin', text, join(DIR, 'no-folder'))).toEqual(without);
  }, 120_000);

  test('is found again by its image only', async () => {
    process.env['ZENO_CODE_CACHE'] = CACHE;
    try {
      const text = loops(FUNCTIONS, ROUNDS);
      boot('loops.bin', text);
      expect((await openKeptCode(['0']))!.code.count).toBe(0);
      expect(await openKeptCode([])).toBeUndefined();
      // Another image of the same name is another machine.
      const other = loops(FUNCTIONS, ROUNDS, 2);
      expect(boot('loops.bin', other)).toEqual(boot('loops.bin', other, 'off'));
      expect(files()).toHaveLength(2);
    } finally {
      delete process.env['ZENO_CODE_CACHE'];
    }
  }, 60_000);

  test('the files used last stay', () => {
    mkdirSync(CACHE);
    for (let index = 0; index < 40; index++) {
      for (const kind of ['code', 'native']) writeFileSync(join(CACHE, `${index}.${kind}`), '');
      utimesSync(join(CACHE, `${index}.code`), 1000 + index, 1000 + index);
    }
    boot('loops.bin', loops(FUNCTIONS, ROUNDS));
    expect(files().filter((name) => name.endsWith('.code'))).toHaveLength(32);
    expect(files()).not.toContain('8.native');
    expect(files()).toContain('9.native');
  }, 60_000);
});

test('a file of parts gives back what was put into it, and its arrays are aligned', () => {
  const parts = { bytes: Uint8Array.of(1, 2, 3), text: ['a', 'ü"'], words: Int32Array.of(-1, 2 ** 31 - 1), number: 5, more: Uint32Array.of(2 ** 32 - 1), none: new Uint8Array(0) };
  const path = join(DIR, 'parts', 'file');
  writeParts(path, parts);
  expect(readParts(path)?.parts).toEqual(parts);
  expect(readParts(join(DIR, 'nowhere'))).toBeUndefined();
});
