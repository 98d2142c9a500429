/** What a unit-test suite for QEMU's `virt` board has in its `unittests.cfg`, and what its tests print: for `unit-suites.ts`, which runs them. */

import { join } from 'node:path';

/** One section of the file, its values without their quotes. */
export interface SuiteTest { readonly name: string; readonly values: Readonly<Record<string, string>> }

/** One machine to make. `gic`: the version of its GIC. */
export interface Plan { readonly file: string; readonly vcpus: number; readonly memoryMiB: number; readonly gic: '2' | '3'; readonly append: string }

export type Outcome = 'PASS' | 'FAIL' | 'SKIP' | 'XPASS' | 'XFAIL';

export interface Results {
  /** Each check in order: its name, and what became of it. */
  readonly checks: readonly { readonly name: string; readonly outcome: Outcome }[];
  /** The number behind "EXIT: STATUS=", undefined when the test did not get there. */
  readonly status: number | undefined;
  /** What ended a run that did not end by power-off. */
  readonly fault: string | undefined;
  readonly summary: string;
}

export const VERDICTS = ['same', 'more', 'DIFFERS'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** Sections of `key = value` under `[name]`; `#` starts a comment. */
export function readSuite(text: string): SuiteTest[] {
  const tests: { name: string; values: Record<string, string> }[] = [];
  for (const line of text.split('\n')) {
    const name = /^\[(.+)\]\s*$/.exec(line)?.[1];
    if (name !== undefined) tests.push({ name, values: {} });
    const [, key, value] = /^(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && tests.length > 0) tests.at(-1)!.values[key] = /^(["'])(.*)\1$/.exec(value!)?.[2] ?? value!;
  }
  return tests;
}

const MEMORY_MIB = 128;

/** The machine for `test`, or why there is none. `wanted`: it was asked for by name. */
export function planOf({ values }: SuiteTest, folder: string, smpMax: number, wanted: boolean): Plan | string {
  const groups = (values['groups'] ?? '').split(/\s+/);
  if (values['file'] === undefined) return 'it names no file';
  if (values['arch'] !== undefined && values['arch'] !== 'arm64') return `it is for ${values['arch']}`;
  if (groups.includes('migration')) return 'it wants to be moved to another machine';
  if (!wanted && groups.includes('nodefault')) return 'it is run when asked for by name';
  let memoryMiB = MEMORY_MIB;
  let gic: Plan['gic'] = '3';
  const words = (values['qemu_params'] ?? values['extra_params'] ?? '').split(/\s+/).filter((word) => word !== '');
  for (let at = 0; at < words.length; at += 2) {
    const [option, value] = [words[at]!, words[at + 1] ?? ''];
    if (option === '-m') memoryMiB = Number(value);
    else if (option === '-machine' && (value === 'gic-version=2' || value === 'gic-version=3')) gic = value.at(-1) as Plan['gic'];
    else return `it needs a board with ${option} ${value}`;
  }
  const vcpus = vcpusOf(values['smp'] ?? '1', smpMax);
  if (vcpus === undefined) return `smp = ${values['smp']} is not understood`;
  return { file: join(folder, values['file']), vcpus, memoryMiB, gic, append: values['test_args'] ?? '' };
}

/** A number, $MAX_SMP, or $((($MAX_SMP < 8)?$MAX_SMP:8)). */
function vcpusOf(text: string, smpMax: number): number | undefined {
  const least = /^\$\(\(\(\$MAX_SMP\s*<\s*(\d+)\)\?\$MAX_SMP:\1\)\)$/.exec(text)?.[1];
  if (least !== undefined) return Math.min(smpMax, Number(least));
  if (text === '$MAX_SMP') return smpMax;
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Reads what a test printed. Numbers in the name of a check are part of it, those that are measured come in INFO lines. */
export function resultsOf(console: string, fault: string | undefined): Results {
  const checks = [...console.matchAll(/^(PASS|FAIL|SKIP|XPASS|XFAIL): (.*?)\r?$/gm)].map((match) => ({ outcome: match[1] as Outcome, name: match[2]! }));
  const status = /^EXIT: STATUS=(\d+)\r?$/m.exec(console)?.[1];
  const counts = (['PASS', 'FAIL', 'SKIP', 'XPASS', 'XFAIL'] as const).map((outcome) => [outcome, checks.filter((check) => check.outcome === outcome).length] as const).filter(([, count]) => count > 0);
  const ended = status === undefined ? 'no end' : status === '77' && counts.length === 0 ? 'SKIP' : undefined;
  return { checks, status: status === undefined ? undefined : Number(status), fault, summary: [...counts.map(([outcome, count]) => `${count} ${outcome}`), ...(ended === undefined ? [] : [ended])].join(', ') || 'no checks' };
}

/**
 * `same`: the same checks in the same order with the same outcomes, and the same status. `more`: theirs does nothing but skip, ours nothing but pass.
 * Each difference is a line.
 */
export function compareRuns(theirs: Results, ours: Results): { readonly verdict: Verdict; readonly differences: readonly string[] } {
  const differences = [theirs.fault, ours.fault].filter((fault) => fault !== undefined);
  const key = ({ name, outcome }: Results['checks'][number]): string => `${outcome}: ${name}`;
  const onlyIn = (one: Results, other: Results): string[] => {
    const rest = other.checks.map(key);
    return one.checks.map(key).filter((check) => {
      const at = rest.indexOf(check);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    });
  };
  const [lost, gained] = [onlyIn(theirs, ours), onlyIn(ours, theirs)];
  differences.push(...lost.map((check) => `QEMU only: ${check}`), ...gained.map((check) => `here only: ${check}`));
  if (lost.length === 0 && gained.length === 0 && theirs.checks.some((check, index) => key(check) !== key(ours.checks[index]!))) differences.push('the checks come in another order');
  const onlySkips = theirs.fault === undefined && theirs.status === SKIPPED && theirs.checks.every(({ outcome }) => outcome === 'SKIP');
  const onlyPasses = ours.fault === undefined && ours.status === PASSED && ours.checks.length > 0 && ours.checks.every(({ outcome }) => outcome === 'PASS');
  if (onlySkips && onlyPasses) return { verdict: 'more', differences: [] };
  if (theirs.status !== ours.status) differences.push(`status ${theirs.status ?? 'none'} on QEMU, ${ours.status ?? 'none'} here`);
  return { verdict: differences.length === 0 ? 'same' : 'DIFFERS', differences };
}

/** The suites' exit codes as they are printed: 2 * code + 1, and 77 for a test that was skipped whole. */
const PASSED = 1, SKIPPED = 77;
