/** The system-level oracle by itself: `node test/conformance/oracle-system.ts --steps 1000000 --seed 7 --engine interpreter`. Ends with status 1 where something differs. */

import { parseArgs } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { KNOWN_DIFFERENCES, NOT_COMPARED, QEMU_SYSTEM, WRITTEN_PROGRAMS, compilerIsThere, runRandomProgram, runWrittenProgram, type StepResult } from './system-oracle.ts';
import type { EngineName } from '../../machines/aarch64/board.ts';
import { ENGINES } from './user-oracle.ts';

interface Options { readonly engine: EngineName; readonly seed: number }
/** A random program by its number, or a written one by its name. */
interface Order { readonly program: number | string; readonly steps: number }

/** Steps of one random program, after which its part of the state space is well trodden. */
const PROGRAM_STEPS = 8000;
/** The part of the steps that programs in C take. */
const WRITTEN_SHARE = 0.3;

function worker(): void {
  const { engine, seed } = workerData as Options;
  parentPort!.on('message', ({ program, steps }: Order) => {
    const result = typeof program === 'number' ? runRandomProgram(engine, seed, program, steps) : runWrittenProgram(engine, program, steps);
    parentPort!.postMessage(result, []);
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      steps: { type: 'string', default: '1000000' }, seed: { type: 'string', default: String(Date.now() % 1_000_000_007) }, engine: { type: 'string', default: 'reference' },
      workers: { type: 'string', default: '2' }, program: { type: 'string' },
    },
  });
  const engine = ENGINES.find((name) => name === values.engine);
  if (engine === undefined) throw new Error(`--engine is one of ${ENGINES.join(', ')}`);
  if (QEMU_SYSTEM === undefined) throw new Error('qemu-system-aarch64 is not there (Debian: qemu-system-arm)');
  if (!compilerIsThere()) throw new Error('aarch64-linux-gnu-gcc is not there (Debian: gcc-aarch64-linux-gnu)');
  const options: Options = { engine, seed: Number(values.seed) };
  const wanted = Number(values.steps);
  console.log(`seed ${options.seed}, engine ${engine}, ${wanted} steps`);

  const totals = { steps: 0, inFull: 0, programs: 0, taken: new Map<string, number>(), met: new Map<string, number>(), levels: [0, 0, 0], differences: 0 };
  const began = Date.now();
  let next = 0, ordered = 0;
  const waiting: Order[] = values.program === undefined ? WRITTEN_PROGRAMS.map((program) => ({ program, steps: Math.ceil(wanted * WRITTEN_SHARE) })) : [];
  const only = values.program === undefined ? [] : [{ program: Number(values.program), steps: PROGRAM_STEPS }];
  const more = (): Order | undefined => waiting.shift() ?? (values.program === undefined ? (totals.steps + ordered < wanted ? { program: next++, steps: PROGRAM_STEPS } : undefined) : only.shift());

  await Promise.all(Array.from({ length: Number(values.workers) }, () => new Promise<void>((resolve, reject) => {
    const one = new Worker(new URL(import.meta.url), { workerData: options });
    let order: Order | undefined;
    const go = (): void => {
      order = more();
      ordered += order?.steps ?? 0;
      if (order === undefined) void one.terminate().then(() => resolve());
      else one.postMessage(order, []);
    };
    one.on('error', reject);
    one.on('message', (result: StepResult) => {
      ordered -= order!.steps;
      totals.programs += 1;
      totals.steps += result.steps;
      totals.inFull += result.inFull;
      for (const [level, count] of result.levels.entries()) totals.levels[level]! += count;
      for (const [name, count] of result.taken) totals.taken.set(name, (totals.taken.get(name) ?? 0) + count);
      for (const [name, count] of result.met) totals.met.set(name, (totals.met.get(name) ?? 0) + count);
      if (result.difference !== undefined) {
        totals.differences += 1;
        console.log(`program ${order!.program} (${result.title}) differs:\n    ${result.difference.join('\n    ')}`);
      }
      go();
    });
    go();
  })));

  for (const [name, count] of [...totals.taken].sort()) console.log(`exceptions: ${name}: ${count}`);
  for (const { name, rule } of KNOWN_DIFFERENCES) console.log(`known difference, met ${totals.met.get(name) ?? 0} times: ${name}: ${rule}`);
  for (const [name, reason] of NOT_COMPARED) console.log(`not compared: ${name.source}: ${reason}`);
  const seconds = (Date.now() - began) / 1000;
  console.log(`seed ${options.seed}: ${totals.steps} steps of ${totals.programs} programs (${totals.levels.map((count, level) => `EL${level} ${count}`).join(', ')}), ${[...totals.taken.values()].reduce((sum, count) => sum + count, 0)} exceptions, ${totals.inFull} times all registers; ${seconds.toFixed(0)} s, ${totals.differences} differences`);
  if (totals.differences > 0 || (values.program === undefined && totals.steps < wanted)) process.exitCode = 1;
}

if (isMainThread) await main();
else worker();
