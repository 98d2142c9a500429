/** The user-level oracle by itself: `node test/conformance/oracle.ts --seconds 600 --seed 7 --engine interpreter`. Ends with status 1 where something differs. */

import { parseArgs } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { KNOWN_DIFFERENCES } from './random-words.ts';
import type { EngineName } from '../../machines/aarch64/board.ts';
import { ENGINES, NOT_DRAWN, QEMU, USER_ROWS, runBatch, thrown, type BatchResult, type Difference } from './user-oracle.ts';

interface Options { readonly engine: EngineName; readonly seed: number; readonly rows: string }
interface Report { readonly number: number; readonly result: BatchResult; readonly thrown: readonly string[] }

/** Differences of a row that are printed whole. */
const PRINTED_MAX = 3;

function worker(): void {
  const { engine, seed, rows } = workerData as Options;
  const wanted = new RegExp(rows);
  parentPort!.on('message', (number: number) => {
    void runBatch(engine, seed, number, undefined, USER_ROWS.filter(({ name }) => wanted.test(name)))
      .then((result) => parentPort!.postMessage({ number, result, thrown: [...thrown] } satisfies Report, []));
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: String(Date.now() % 1_000_000_007) }, engine: { type: 'string', default: 'reference' },
      workers: { type: 'string', default: '2' }, batch: { type: 'string' }, rows: { type: 'string', default: '' }, counts: { type: 'boolean', default: false },
    },
  });
  const engine = ENGINES.find((name) => name === values.engine);
  if (engine === undefined) throw new Error(`--engine is one of ${ENGINES.join(', ')}`);
  if (QEMU === undefined) throw new Error('qemu-aarch64 is not there (Debian: qemu-user)');
  const options: Options = { engine, seed: Number(values.seed), rows: values.rows };
  console.log(`seed ${options.seed}, engine ${engine}, ${USER_ROWS.length} rows`);

  const totals = { distinct: new Map<string, number>(), executed: new Map<string, number>(), preparing: 0, unexplained: 0, differing: new Map<string, Difference[]>(), known: new Map<string, number>() };
  const messages = new Set<string>();
  const began = Date.now();
  const deadline = began + 1000 * Number(values.seconds);
  let next = values.batch === undefined ? 0 : Number(values.batch);
  const more = (): number | undefined => (values.batch === undefined ? Date.now() < deadline : next === Number(values.batch)) ? next++ : undefined;

  await Promise.all(Array.from({ length: Number(values.workers) }, () => new Promise<void>((resolve, reject) => {
    const one = new Worker(new URL(import.meta.url), { workerData: options });
    const go = (): void => {
      const number = more();
      if (number === undefined) void one.terminate().then(() => resolve());
      else one.postMessage(number, []);
    };
    one.on('error', reject);
    one.on('message', ({ number, result, thrown: said }: Report) => {
      for (const [name, count] of result.distinct) totals.distinct.set(name, (totals.distinct.get(name) ?? 0) + count);
      for (const [name, count] of result.executed) totals.executed.set(name, (totals.executed.get(name) ?? 0) + count);
      totals.preparing += result.preparing;
      totals.unexplained += result.unexplained;
      for (const message of said) messages.add(message);
      for (const difference of result.differences) {
        if (difference.known !== undefined) {
          totals.known.set(difference.known, (totals.known.get(difference.known) ?? 0) + 1);
          continue;
        }
        const known = totals.differing.get(difference.row) ?? [];
        totals.differing.set(difference.row, known);
        known.push(difference);
        if (known.length <= PRINTED_MAX) print(number, difference);
      }
      go();
    });
    go();
  })));

  const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((total, count) => total + count, 0);
  const total = sum(totals.executed);
  const seconds = (Date.now() - began) / 1000;
  const rows = USER_ROWS.filter(({ name }) => new RegExp(options.rows).test(name)).map(({ name }) => name);
  console.log(`executed by row: ${rows.map((name) => `${name} ${totals.executed.get(name) ?? 0}`).join(', ')}`);
  for (const { name, rule } of KNOWN_DIFFERENCES) console.log(`known difference, met ${totals.known.get(name) ?? 0} times: ${name}: ${rule}`);
  for (const [name, reason] of NOT_DRAWN) console.log(`not drawn: ${name.source}: ${reason}`);
  for (const message of messages) console.log(`our core threw: ${message}`);
  for (const [row, { length }] of totals.differing) console.log(`differs: ${row}: ${length} times`);
  if (totals.unexplained > 0) console.log(`${totals.unexplained} more runs of blocks differed and were not looked at`);
  const never = rows.filter((name) => !totals.executed.has(name));
  if (never.length > 0) console.log(`never drawn: ${never.join(', ')}`);
  console.log(`seed ${options.seed}: ${total} random instructions executed (${sum(totals.distinct)} drawn, each from ${(total / sum(totals.distinct)).toFixed(0)} states; ${totals.preparing} more that prepare them), ${rows.length} rows, ${seconds.toFixed(0)} s, ${Math.round(total / seconds)} a second; ${[...totals.differing.values()].flat().length + totals.unexplained} differences`);
  if (totals.differing.size > 0 || totals.unexplained > 0 || never.length > 0 || total === 0) process.exitCode = 1;
}

function print(number: number, { row, text, alone, parts }: Difference): void {
  console.log(`batch ${number}: ${row}${alone ? '' : ' (not when run alone)'}\n    ${text.join('\n    ')}\n    ${parts.join('\n    ')}`);
}

if (isMainThread) await main();
else worker();
