/**
 * How fast instructions are executed, ours beside QEMU's in the same run: `npm run bench:execute`. Options after `--`:
 *
 *   --engine NAME     one of our engines; may be repeated. All there are, unless given
 *   --workload NAME   one workload; may be repeated. All but the special ones, unless given
 *   --short           5 million instructions in place of hundreds
 *   --runs N          how often each is run, interleaved; the median counts. 5 unless given
 *   --quantum N       instructions in a turn of our machine, as `boot` has it unless given
 *   --core            the bare `run(core, budget)` in place of the machine with its actors
 *   --profile         where our time goes, from one more run of each workload
 *   --json            one object a row
 *
 * Instructions are counted by us, exactly. QEMU's time is that of its process less that of an image that does nothing; ours is taken
 * around the run, in a process of its own, so that warming up is in it. All must print the same sum. docs/BENCHMARKS.md says more.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ENGINES, type EngineName } from './engines.ts';
import { PEERS, runQemu, whyNoQemu, type PeerName } from './qemu.ts';
import { median, printRows, type Row } from './rows.ts';
import type { ImageRun } from './run-image.ts';
import { buildWorkload, NOTHING, WORKLOADS, type Workload } from './workloads.ts';

const MEMORY_BYTES = 256 << 20;
const TIMEOUT_MS = 600_000;
const PEER_NAMES = Object.keys(PEERS) as PeerName[];
/** In the short form a peer is timed over this many times the rounds, since it is done with the form itself before it can be measured. */
const PEER_TIMES = 20;
/** Where the machine stops for the row that says what stopping costs, and how rarely in the run it is compared with. */
const STOP_EVERY = 10_000;
const UNSLICED = 100_000_000;
const STOPPED = 'integer';

interface Settings {
  readonly engines: readonly EngineName[];
  readonly workloads: readonly Workload[];
  readonly short: boolean;
  readonly runs: number;
  readonly quantum: number | undefined;
  readonly core: boolean;
  readonly profile: boolean;
  readonly json: boolean;
}

function settings(): Settings {
  const { values } = parseArgs({
    options: {
      engine: { type: 'string', multiple: true }, workload: { type: 'string', multiple: true }, short: { type: 'boolean', default: false }, runs: { type: 'string', default: '5' },
      quantum: { type: 'string' }, core: { type: 'boolean', default: false }, profile: { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
    },
  });
  const names = WORKLOADS.map(({ name }) => name);
  return {
    engines: chosen('--engine', values.engine, ENGINES) as EngineName[],
    workloads: values.workload === undefined ? WORKLOADS.filter(({ special }) => !special) : chosen('--workload', values.workload, names).map((name) => WORKLOADS[names.indexOf(name)]!),
    short: values.short, runs: count('--runs', values.runs), quantum: values.quantum === undefined ? undefined : count('--quantum', values.quantum),
    core: values.core, profile: values.profile, json: values.json,
  };
}

function chosen(option: string, given: readonly string[] | undefined, all: readonly string[]): readonly string[] {
  const wrong = given?.find((name) => !all.includes(name));
  if (wrong !== undefined) throw new Error(`${option} ${wrong}: there are ${all.join(', ')}`);
  return given ?? all;
}

function count(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${option} ${text}: it must be a whole number from 1 on`);
  return value;
}

/** What was measured of one workload: milliseconds of each run by who ran it, our count, and every sum that was printed. */
interface Measured {
  readonly insns: Map<EngineName, number>;
  readonly ms: Map<string, number[]>;
  readonly skipped: Map<string, string>;
  readonly sums: Map<string, string>;
}

/** Under which name the image is that a peer is timed with, where it is not the workload's own. */
const timedOf = (name: string): string => `${name}, timed`;

const progress = (text: string): void => { if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`); };

/** Ours, in a process of its own. */
function runOurs(engine: EngineName, image: string, options: { readonly core: boolean; readonly quantum: number | undefined; readonly profile?: boolean }): ImageRun {
  const words = [join(import.meta.dirname, 'run-image.ts'), '--engine', engine, '--image', image, '--mem', String(MEMORY_BYTES)];
  if (options.core) words.push('--core');
  if (options.quantum !== undefined) words.push('--quantum', String(options.quantum));
  if (options.profile) words.push('--profile');
  const { error, status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: TIMEOUT_MS });
  if (error || status !== 0) throw new Error(`${engine} on ${image}: ${error?.message ?? stderr}`);
  return JSON.parse(stdout) as ImageRun;
}

/** Runs everything on everyone, round by round, so that what else the machine does meets all alike. */
function measure(settings: Settings, images: ReadonlyMap<string, string>, noQemu: string | undefined): Map<string, Measured> {
  const workloads = [NOTHING, ...settings.workloads];
  const measured = new Map(workloads.map(({ name }): [string, Measured] => [name, { insns: new Map(), ms: new Map(), skipped: new Map(), sums: new Map() }]));
  const note = (name: string, who: string, ms: number, sum: string): void => {
    const { ms: times, sums } = measured.get(name)!;
    times.set(who, [...(times.get(who) ?? []), ms]);
    const before = sums.get(who);
    if (before !== undefined && before !== sum) throw new Error(`${name} on ${who}: prints ${sum}, and printed ${before} before`);
    sums.set(who, sum);
  };
  for (let round = 1; round <= settings.runs; round++) {
    for (const { name } of workloads) {
      const image = images.get(name)!;
      const timed = images.get(timedOf(name)) ?? image;
      if (noQemu === undefined) {
        for (const peer of PEER_NAMES) {
          progress(`round ${round} of ${settings.runs}: ${name} on ${peer}`);
          const { sums, ms: times } = measured.get(name)!;
          if (timed === image) {
            const { ms, console } = runQemu(peer, image, MEMORY_BYTES, TIMEOUT_MS);
            note(name, peer, ms, console);
          } else {
            if (!sums.has(peer)) sums.set(peer, runQemu(peer, image, MEMORY_BYTES, TIMEOUT_MS).console);
            times.set(peer, [...(times.get(peer) ?? []), runQemu(peer, timed, MEMORY_BYTES, TIMEOUT_MS).ms]);
          }
        }
      }
      if (name === NOTHING.name) continue;
      for (const engine of settings.engines) {
        const { insns, skipped } = measured.get(name)!;
        if (skipped.has(engine)) continue;
        progress(`round ${round} of ${settings.runs}: ${name} on ${engine}`);
        const result = runOurs(engine, image, settings);
        // A guest that meets an exception it did not ask for says so (workloads/start.S).
        const why = result.stopped ?? (result.console.startsWith('!') ? `an unexpected exception, FAR and ESR ${result.console.trim().slice(1)}` : undefined);
        if (why !== undefined) {
          skipped.set(engine, why);
          continue;
        }
        if ((insns.get(engine) ?? result.insns) !== result.insns) throw new Error(`${name} on ${engine}: ${result.insns} instructions, and ${insns.get(engine)} before`);
        insns.set(engine, result.insns);
        note(name, engine, result.ms, result.console);
      }
    }
  }
  progress('');
  return measured;
}

/** Throws where two that ran a workload printed different sums, or counted differently. */
function compare(name: string, { sums, insns }: Measured): void {
  if (new Set(sums.values()).size > 1) throw new Error(`${name}: the sums differ: ${[...sums].map(([who, sum]) => `${who} prints ${JSON.stringify(sum)}`).join(', ')}`);
  if (new Set(insns.values()).size > 1) throw new Error(`${name}: the counts differ: ${[...insns].map(([who, insns]) => `${who} ${insns}`).join(', ')}`);
}

/** A process whose own time is less than this beside that of starting it says nothing. */
const LEAST_MS = 10;
const TOO_SHORT = 'too short to measure: the long form is not';

/** Milliseconds of a workload alone: a peer's are those of its process less those of one that does nothing. Undefined: not run, or too short. */
function timeOf(measured: ReadonlyMap<string, Measured>, name: string, who: string): number | undefined {
  const times = measured.get(name)?.ms.get(who);
  if (times === undefined) return undefined;
  const idle = measured.get(NOTHING.name)!.ms.get(who);
  if (idle === undefined) return median(times);
  const ms = median(times) - median(idle);
  return ms < Math.max(LEAST_MS, median(idle) / 4) ? undefined : ms;
}

const quotient = (above: number | null, below: number | null): number | null => (above === null || below === null ? null : above / below);
const RATE = 'million instructions/s';

function rowsOf(settings: Settings, measured: ReadonlyMap<string, Measured>, noQemu: string | undefined): Row[] {
  const rows: Row[] = [];
  const { runs } = settings;
  for (const { name } of settings.workloads) {
    const { insns, skipped } = measured.get(name)!;
    for (const engine of settings.engines) {
      const count = insns.get(engine);
      const rate = (who: string, times = 1): number | null => {
        const ms = timeOf(measured, name, who);
        return ms === undefined || count === undefined ? null : (times * count) / ms / 1000;
      };
      const ours = rate(engine);
      for (const peerName of PEER_NAMES) {
        const peer = rate(peerName, settings.short ? PEER_TIMES : 1);
        const why = skipped.get(engine) ?? (peer === null ? (noQemu ?? TOO_SHORT) : undefined);
        rows.push({ bench: 'execute', workload: name, engine, ours, peer, peerName, ratio: quotient(ours, peer), unit: RATE, runs, ...(why === undefined ? {} : { skipped: why }) });
      }
    }
  }
  return [...rows, ...codeDataRows(settings, measured, noQemu)];
}

/** How many times more a loop costs whose data lie in its own page. */
function codeDataRows({ engines, workloads, runs }: Settings, measured: ReadonlyMap<string, Measured>, noQemu: string | undefined): Row[] {
  if (!['code-data', 'code-apart'].every((wanted) => workloads.some(({ name }) => name === wanted))) return [];
  const cost = (who: string): number | null => quotient(timeOf(measured, 'code-data', who) ?? null, timeOf(measured, 'code-apart', who) ?? null);
  return engines.flatMap((engine) => PEER_NAMES.map((peerName): Row => {
    const [ours, peer] = [cost(engine), cost(peerName)];
    const why = peer === null ? (noQemu ?? TOO_SHORT) : undefined;
    return { bench: 'execute', workload: 'data in code page', engine, ours, peer, peerName, ratio: quotient(peer, ours), unit: 'times the cost', runs, ...(why === undefined ? {} : { skipped: why }) };
  }));
}

/** The machine stopped exactly every 10,000 instructions, beside the same one hardly ever stopped. */
function stopRow(settings: Settings, engine: EngineName, image: string): Row {
  const times: [number[], number[]] = [[], []];
  for (let round = 1; round <= settings.runs; round++) {
    progress(`round ${round} of ${settings.runs}: stops on ${engine}`);
    [STOP_EVERY, UNSLICED].forEach((quantum, index) => {
      const { insns, ms } = runOurs(engine, image, { core: false, quantum });
      times[index]!.push(insns / ms / 1000);
    });
  }
  progress('');
  const [ours, peer] = [median(times[0]), median(times[1])];
  return { bench: 'execute', workload: `${STOPPED}, stopped every ${STOP_EVERY}`, engine, ours, peer, peerName: 'ours, unstopped', ratio: ours / peer, unit: RATE, runs: settings.runs };
}

/** From the start of the process to its end, for a machine that is stopped at its first stop: a bound on the time to the first instruction. */
function startRow(settings: Settings, image: string, nothing: Measured, noQemu: string | undefined): Row {
  const zeno = join(import.meta.dirname, '../cli/zeno.js');
  const times = Array.from({ length: settings.runs }, () => {
    const began = performance.now();
    const { status, stderr } = spawnSync(process.execPath, [zeno, 'boot', '--kernel', image, '--el2', 'none', '--max-insns', '1', '--mem', String(MEMORY_BYTES)], { encoding: 'utf8' });
    // Stopped before the guest said anything about how it went: status 1.
    if (status !== 0 && status !== 1) throw new Error(`zeno boot: exit status ${status}: ${stderr}`);
    return performance.now() - began;
  });
  const peer = nothing.ms.get('qemu');
  const ours = median(times);
  const peerMs = peer === undefined ? null : median(peer);
  return {
    bench: 'execute', workload: 'zeno boot, start to end', ours, peer: peerMs, peerName: 'qemu', ratio: quotient(peerMs, ours), unit: 'ms', runs: settings.runs,
    ...(noQemu === undefined ? {} : { skipped: noQemu }),
  };
}

/** One more run of each workload, with clocks on. Exclusive shares of the time in the machine. */
function printProfiles(settings: Settings, images: ReadonlyMap<string, string>): void {
  for (const engine of settings.engines) {
    for (const { name } of settings.workloads) {
      const { profile, ms, insns, stopped } = runOurs(engine, images.get(name)!, { ...settings, profile: true });
      if (profile === undefined || stopped !== undefined) {
        console.log(settings.json ? JSON.stringify({ bench: 'profile', workload: name, engine, skipped: stopped }) : `\n${name} on ${engine}: ${stopped}`);
        continue;
      }
      const { counts, ms: times } = profile;
      const parts: Record<string, number> = {
        interpreted: times.running - times.translated - times.translating - times.misses, translated: times.translated, translating: times.translating,
        'TLB misses': times.misses, messages: times.messages, 'exits and the rest': ms - times.running - times.messages,
      };
      if (settings.json) {
        console.log(JSON.stringify({ bench: 'profile', workload: name, engine, insns, ms, parts, counts }));
        continue;
      }
      console.log(`\n${name} on ${engine}: ${insns.toLocaleString('en')} instructions`);
      for (const [part, partMs] of Object.entries(parts)) console.log(`  ${part.padEnd(20)} ${((100 * partMs) / ms).toFixed(1).padStart(6)} %`);
      console.log(`  ${Object.entries(counts).map(([what, value]) => `${what} ${value.toLocaleString('en')}`).join(', ')}`);
    }
  }
}

function main(): void {
  const chosen = settings();
  const folder = mkdtempSync(join(tmpdir(), 'zeno-bench-'));
  try {
    const images = new Map([...new Set([NOTHING, ...chosen.workloads])].map((workload) => [workload.name, buildWorkload(workload, chosen.short ? workload.short : workload.long, folder)]));
    if (chosen.short) for (const workload of chosen.workloads) images.set(timedOf(workload.name), buildWorkload(workload, { ...workload.short, rounds: PEER_TIMES * workload.short.rounds }, folder));
    const noQemu = whyNoQemu();
    const measured = measure(chosen, images, noQemu);
    for (const [name, one] of measured) compare(name, one);
    const rows = rowsOf(chosen, measured, noQemu);
    if (chosen.workloads.some(({ name }) => name === STOPPED)) rows.push(...chosen.engines.map((engine) => stopRow(chosen, engine, images.get(STOPPED)!)));
    rows.push(startRow(chosen, images.get(NOTHING.name)!, measured.get(NOTHING.name)!, noQemu));
    printRows(rows, chosen.json);
    if (chosen.profile) printProfiles(chosen, images);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

try {
  main();
} catch (error) {
  progress('');
  console.error(`bench:execute: ${(error as Error).message}`);
  process.exitCode = error instanceof TypeError || (error as Error).message.startsWith('--') ? 2 : 1;
}
