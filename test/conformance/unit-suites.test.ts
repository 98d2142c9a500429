/** What `npm run verify:units` reads and how it judges. The suites themselves are nobody's here, and run outside. */

import { describe, expect, test } from 'vitest';
import { compareRuns, planOf, readSuite, resultsOf, type Results } from '../support/unit-suite.ts';

const CONFIG = `
# a comment
[plain]
file = one.flat
test_args = 'setup smp=2 mem=256'
smp = 2
qemu_params = -m 256

[many]
file = two.flat
smp = $((($MAX_SMP < 8)?$MAX_SMP:8))
qemu_params = -machine gic-version=3
arch = arm64

[old-gic]
file = two.flat
smp = $MAX_SMP
qemu_params = -machine gic-version=2
[older-gic]
file = two.flat
qemu_params = -machine gic-version=1
[moved]
file = two.flat
groups = its migration
[by-name]
file = three.flat
groups = nodefault bench
[other]
file = three.flat
arch = arm
`;

describe('unittests.cfg', () => {
  const suite = readSuite(CONFIG);
  const plan = (name: string, smp = 4, wanted = false) => planOf(suite.find((one) => one.name === name)!, '/suite', smp, wanted);

  test('says file, vCPUs, memory and arguments', () => {
    expect(plan('plain')).toEqual({ file: '/suite/one.flat', vcpus: 2, memoryMiB: 256, gic: '3', append: 'setup smp=2 mem=256' });
    expect(plan('many')).toEqual({ file: '/suite/two.flat', vcpus: 4, memoryMiB: 128, gic: '3', append: '' });
    expect(plan('old-gic')).toMatchObject({ file: '/suite/two.flat', gic: '2' });
    expect(plan('many', 16)).toMatchObject({ vcpus: 8 });
  });

  test('what this board or this way of running has not is said by name', () => {
    expect(['older-gic', 'moved', 'by-name', 'other'].map((name) => plan(name))).toEqual([
      'it needs a board with -machine gic-version=1', 'it wants to be moved to another machine', 'it is run when asked for by name', 'it is for arm',
    ]);
    expect(plan('by-name', 4, true)).toMatchObject({ file: '/suite/three.flat' });
  });
});

describe('results', () => {
  const passed = resultsOf('INFO: t: 17 us\r\nPASS: t: a\r\nPASS: t: b\r\nSUMMARY: 2 tests\r\n\r\nEXIT: STATUS=1\r\n', undefined);
  const skipped = resultsOf('SKIP: t: no such event\nEXIT: STATUS=77\n', undefined);
  const results = (text: string, fault?: string): Results => resultsOf(text, fault);

  test('are the checks, without what is measured', () => {
    expect(passed).toMatchObject({ status: 1, summary: '2 PASS', checks: [{ outcome: 'PASS', name: 't: a' }, { outcome: 'PASS', name: 't: b' }] });
    expect(results('SUMMARY: 0 tests\nEXIT: STATUS=77\n').summary).toBe('SKIP');
    expect(results('PASS: t: a\n').summary).toBe('1 PASS, no end');
  });

  test.each<[string, Results, Results, string, number]>([
    ['alike', passed, passed, 'same', 0],
    ['a skip where the other passes', skipped, passed, 'more', 0],
    ['a pass where the other skips', passed, skipped, 'DIFFERS', 4],
    ['a skip where the other fails', skipped, results('PASS: t: a\nFAIL: t: b\nEXIT: STATUS=3\n'), 'DIFFERS', 4],
    ['a failed check', passed, results('PASS: t: a\nFAIL: t: b\nEXIT: STATUS=3\n'), 'DIFFERS', 3],
    ['a check less', passed, results('PASS: t: a\nEXIT: STATUS=1\n'), 'DIFFERS', 1],
    ['another order', passed, results('PASS: t: b\nPASS: t: a\nEXIT: STATUS=1\n'), 'DIFFERS', 1],
    ['no end', passed, results('PASS: t: a\nPASS: t: b\n', 'stopped: --max-insns was reached'), 'DIFFERS', 2],
    ['an end of neither, which proves nothing', results('', 'QEMU ended with 1'), results('', 'stopped'), 'DIFFERS', 2],
  ])('%s', (_, theirs, ours, verdict, lines) => {
    const outcome = compareRuns(theirs, ours);
    expect([outcome.verdict, outcome.differences.length]).toEqual([verdict, lines]);
  });
});
