/**
 * A public arm64 unit-test suite on QEMU and here, check by check: `npm run verify:units -- --suite DIR [--el2 guest] [--test timer]`. DIR holds
 * `unittests.cfg` and the flat binaries that it names (docs/HACKING.md says where to get one). Prints a table, then each check that differs. Ends with
 * status 1 where one does.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compareRuns, planOf, readSuite, resultsOf, VERDICTS, type Plan, type Results, type Verdict } from '../support/unit-suite.ts';
import { ZENO } from '../support/zeno.ts';

const { values: options } = parseArgs({
  options: {
    suite: { type: 'string' },
    /** Tests by name; without it all that the board can run. */
    test: { type: 'string', multiple: true },
    el2: { type: 'string', default: 'none' },
    nested: { type: 'string', default: 'none' },
    engine: { type: 'string', default: 'translator' },
    /** What the suite calls MAX_SMP. */
    smp: { type: 'string', default: '4' },
    qemu: { type: 'string', default: 'qemu-system-aarch64' },
    /** QEMU's instruction counter: with it, as here, an instruction takes its time, and INST_RETIRED is there. 'off' for none. */
    icount: { type: 'string', default: 'shift=6,sleep=off' },
    /** Seconds for one test on one machine. */
    seconds: { type: 'string', default: '120' },
    'max-insns': { type: 'string', default: '6000000000' },
  },
});

const startsAtEl2 = options.el2 === 'guest' || options.nested !== 'none';
const timeout = 1000 * Number(options.seconds);

function onQemu(plan: Plan): Results {
  const { status, signal, error, stdout } = spawnSync(options.qemu, [
    '-nodefaults', '-machine', `virt,gic-version=${plan.gic},virtualization=${startsAtEl2 ? 'on' : 'off'}`, '-cpu', 'max', '-accel', 'tcg', ...(options.icount === 'off' ? [] : ['-icount', options.icount]),
    '-display', 'none', '-serial', 'stdio', '-smp', String(plan.vcpus), '-m', `${plan.memoryMiB}M`, '-kernel', plan.file, ...(plan.append === '' ? [] : ['-append', plan.append]),
  ], { encoding: 'utf8', input: '', timeout, maxBuffer: 1 << 28 });
  if (error !== undefined && stdout === null) throw error;
  return resultsOf(stdout, status === 0 ? undefined : `QEMU ended with ${signal ?? status}`);
}

function here(plan: Plan): Results {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [
    ZENO, 'boot', '--kernel', plan.file, '--el2', options.el2, '--gic', plan.gic, ...(options.nested === 'none' ? [] : ['--nested', options.nested]), '--engine', options.engine,
    '--smp', String(plan.vcpus), '--mem', `${plan.memoryMiB}M`, '--max-insns', options['max-insns'], ...(plan.append === '' ? [] : ['--append', plan.append]),
  ], { encoding: 'utf8', input: '', timeout, maxBuffer: 1 << 28 });
  const stopped = /^(?:stopped|failed): .*$/m.exec(stdout)?.[0];
  return resultsOf(stdout, stopped ?? (status === 0 ? undefined : `zeno ended with ${signal ?? status}: ${stderr.trim().split('\n').at(-1)}`));
}

function main(): number {
  if (options.suite === undefined) {
    console.log('no suite: give --suite DIR, a folder that holds unittests.cfg and what was built from it (docs/HACKING.md says where to get one)');
    return 2;
  }
  const config = join(options.suite, 'unittests.cfg');
  if (!existsSync(config)) {
    console.log(`--suite ${options.suite}: there is no unittests.cfg in it`);
    return 2;
  }
  const suite = readSuite(readFileSync(config, 'utf8'));
  const unknown = options.test?.find((name) => !suite.some((test) => test.name === name));
  if (unknown !== undefined) {
    console.log(`--test ${unknown}: ${config} has ${suite.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  const left: string[] = [];
  const details: string[] = [];
  const count: Record<Verdict, number> = { same: 0, more: 0, DIFFERS: 0 };
  console.log('| test | vCPUs | QEMU | here | |\n|---|---|---|---|---|');
  for (const test of suite) {
    if (options.test !== undefined && !options.test.includes(test.name)) continue;
    const plan = planOf(test, options.suite, Number(options.smp), options.test !== undefined);
    if (typeof plan === 'string') {
      left.push(`${test.name}: ${plan}`);
      continue;
    }
    if (plan.gic === '2' && options.el2 === 'kvm') {
      left.push(`${test.name}: L0 gives its guests a GICv3`);
      continue;
    }
    if (!existsSync(plan.file)) {
      left.push(`${test.name}: there is no ${plan.file}`);
      continue;
    }
    const [theirs, ours] = [onQemu(plan), here(plan)];
    const { verdict, differences } = compareRuns(theirs, ours);
    count[verdict]++;
    console.log(`| ${test.name} | ${plan.vcpus} | ${theirs.summary} | ${ours.summary} | ${verdict} |`);
    details.push(...differences.map((line) => `${test.name}: ${line}`));
  }
  for (const line of details) console.log(line);
  for (const line of left) console.log(`not run: ${line}`);
  console.log(`${VERDICTS.map((verdict) => `${count[verdict]} ${verdict}`).join(', ')}${count.more === 0 ? '' : ' (more: QEMU skips what passes here)'}`);
  if (count.same + count.more + count.DIFFERS === 0) console.log('nothing was compared');
  return count.DIFFERS > 0 || count.same + count.more === 0 ? 1 : 0;
}

process.exitCode = main();
