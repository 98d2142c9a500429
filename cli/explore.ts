/** `zeno explore SCENARIO | DIR --at POS`: searches the interleavings of vCPUs and L0 for one in which a claim does not hold, and saves it as a recording. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Option, type Command } from 'commander';
import { describeChoice, type Choice } from '../actors/choices.ts';
import { InputError } from '../actors/input-error.ts';
import type { Flavour, Mechanism } from '../machines/kvm/state.ts';
import type { ExploredScenario } from '../scenarios/explore.ts';
import { close as closeLine, fork, goTo, mark, placeOf, take, type Place } from '../snapshots/history.ts';
import { goToPosition } from '../snapshots/timeline.ts';
import type { ExploreReport, ExploreTask } from './explore-worker.ts';
import { openScenario } from './open.ts';
import { jsonOption, seedOption, wallTime, wholeNumber } from './options.ts';
import { grouped, note, paint, print, printJson, progress } from './output.ts';
import { VIOLATION } from './runner.ts';
import { openSession, startSession, withSession, type ZenoHistory } from './session.ts';

interface ExploreFlags {
  readonly at?: string;
  readonly strategy: 'exhaustive' | 'random' | 'dpor' | 'pct';
  readonly depth?: number;
  readonly schedules?: number;
  readonly budget?: number;
  readonly shorten?: number;
  readonly workers: number;
  readonly seed: number;
  readonly nested: Mechanism;
  readonly l1: Flavour | 'both';
  readonly smp?: number;
  readonly variant: readonly string[];
  readonly append?: string;
  readonly record?: string;
  readonly json?: boolean;
}

export function addExplore(program: Command): void {
  program.command('explore').argument('<scenario>', 'a scenario, or a recording with --at').description('search interleavings for one that breaks a claim')
    .option('--at <position>', 'the place in a recording where the search begins')
    .addOption(new Option('--strategy <name>', 'exhaustive, or random until a budget is spent; dpor and pct come later').choices(['exhaustive', 'random', 'dpor', 'pct']).default('exhaustive'))
    .addOption(new Option('--depth <n>', 'most choices in a schedule').argParser(wholeNumber('--depth', 1)))
    .addOption(new Option('--schedules <n>', 'most schedules').argParser(wholeNumber('--schedules', 1)))
    .addOption(new Option('--budget <time>', 'most time, such as 60s (the default of random)').argParser(wallTime))
    .addOption(new Option('--shorten <steps>', 'most steps spent on making a violation shorter').argParser(wholeNumber('--shorten')))
    .addOption(new Option('--workers <n>', 'threads that search; more than 1 come later').argParser(wholeNumber('--workers', 1)).default(1))
    .addOption(seedOption())
    .addOption(new Option('--nested <mechanism>', 'how virtual EL2 is made').choices(['pv', 'nv', 'nv2', 'none']).default('nv2'))
    .addOption(new Option('--l1 <flavour>', 'the EL2 that L1 sees').choices(['vhe', 'nvhe', 'both']).default('vhe'))
    .addOption(new Option('--smp <n>', 'vCPUs').argParser(wholeNumber('--smp', 1)))
    .option('--variant <name...>', 'known bugs for L0 to have', [])
    .option('--append <text>', "more of L1's command line")
    .option('--record <dir>', 'where a violation is saved; else under recordings/')
    .addOption(jsonOption('one object'))
    .action(async (name: string, flags: ExploreFlags) => { process.exitCode = await explore(name, flags); });
}

const RANDOM_BUDGET_MS = 60_000;

async function explore(name: string, flags: ExploreFlags): Promise<number> {
  const { strategy } = flags;
  if (strategy === 'dpor' || strategy === 'pct') throw new InputError(`--strategy ${strategy} is not built yet: exhaustive and random are`);
  if (flags.workers > 1) throw new InputError(`--workers ${flags.workers}: one thread searches so far, give --workers 1`);
  const directory = existsSync(join(name, 'main.log')) ? name : undefined;
  if (directory === undefined && flags.at !== undefined) throw new InputError(`--at ${flags.at}: ${name} is not a recording, and only a recording has positions`);
  const place = directory === undefined ? undefined : await placeIn(directory, flags.at ?? 'start');
  const options = {
    nested: flags.nested, l1: flags.l1, variants: flags.variant, seed: flags.seed,
    ...(flags.smp === undefined ? {} : { vcpus: flags.smp }), ...(flags.append === undefined ? {} : { append: flags.append }),
  };
  const started = performance.now();
  const explored = await search({
    from: directory === undefined ? { scenario: name, options } : { directory, place: place! },
    request: { strategy, seed: flags.seed, ...(flags.depth === undefined ? {} : { depthMax: flags.depth }), ...(flags.schedules === undefined ? {} : { schedulesMax: flags.schedules }), ...(flags.shorten === undefined ? {} : { minimiseStepsMax: flags.shorten }) },
    budgetMs: flags.budget ?? (strategy === 'random' && flags.schedules === undefined ? RANDOM_BUDGET_MS : Infinity),
    stop: new Int32Array(new SharedArrayBuffer(4)),
  });
  const seconds = Math.round((performance.now() - started) / 10) / 100;
  const saved: Saved[] = [];
  for (const { property, message, choices, deviations } of explored.violations) {
    const whole = [...explored.prefix, ...choices];
    const at = directory === undefined ? await saveRecording(name, options, whole, flags.record) : await saveBranch(directory, place!, whole);
    saved.push({ property, message, choices, deviations, ...at });
  }
  report(explored, saved, seconds, flags.json === true);
  return saved.length > 0 ? 1 : 0;
}

interface Saved {
  readonly property: string;
  readonly message: string;
  readonly choices: readonly Choice[];
  readonly deviations: number;
  readonly recording: string;
  /** The branch that the violation is, in a recording that was there. */
  readonly branch: string;
}

const placeIn = (directory: string, position: string): Promise<Place> => withSession(directory, {}, ({ history, opened }) => {
  if (opened.prepared === undefined) throw new InputError(`${directory}: only scenarios are explored, and this is a recording of ${opened.manifest.scenario}`);
  return goToPosition(history, position);
});

/** Carries out a search in its thread. Ctrl-C ends it with what it has. */
function search(task: ExploreTask): Promise<ExploredScenario> {
  const bar = progress('exploring', 'schedules');
  const worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './explore-worker.ts' : './explore-worker.js', import.meta.url), { workerData: task });
  const onInterrupt = (): void => {
    bar.clear();
    note('interrupted: the search ends with what it has');
    Atomics.store(task.stop, 0, 1);
  };
  process.once('SIGINT', onInterrupt);
  return new Promise<ExploredScenario>((resolve, reject) => {
    worker.on('message', (told: ExploreReport) => {
      if (told.type === 'progress') bar.update(told.schedules);
      else if (told.type === 'done') resolve(told.explored);
      else reject(new InputError(told.message));
    });
    worker.on('error', reject);
    worker.on('exit', () => reject(new Error('the search ended without a result')));
  }).finally(() => {
    bar.end();
    process.off('SIGINT', onInterrupt);
  });
}

/** The violation as a recording of its own, from boot. */
async function saveRecording(name: string, options: Parameters<typeof openScenario>[1], choices: readonly Choice[], asked: string | undefined): Promise<{ recording: string; branch: string }> {
  const opened = await openScenario(name, options);
  const scenario = opened.prepared!.scenario.name;
  const directory = asked ?? free((number) => join('recordings', `explore-${[scenario, ...(options.variants ?? [])].join('-')}${number === 1 ? '' : `-${number}`}`), existsSync);
  const session = startSession(opened, directory);
  try {
    follow(session.history, choices);
  } finally {
    session.close();
  }
  return { recording: directory, branch: 'main' };
}

/** The violation as a branch of the recording that was explored. */
async function saveBranch(directory: string, place: Place, choices: readonly Choice[]): Promise<{ recording: string; branch: string }> {
  const session = await openSession(directory, { edit: true });
  try {
    const { history } = session;
    const name = free((number) => `${VIOLATION}-${number}`, (candidate) => history.lines.all.some((line) => line.name === candidate));
    goTo(history, place);
    fork(history, name);
    follow(history, choices);
    return { recording: directory, branch: name };
  } finally {
    session.close();
  }
}

function follow(history: ZenoHistory, choices: readonly Choice[]): void {
  for (const choice of choices) take(history, choice);
  mark(history, VIOLATION, placeOf(history));
  closeLine(history);
}

/** The first of a row of names that is not taken. */
function free(name: (number: number) => string, taken: (name: string) => boolean): string {
  let number = 1;
  while (taken(name(number))) number++;
  return name(number);
}

const LAST_SHOWN = 6;

function report(explored: ExploredScenario, violations: readonly Saved[], seconds: number, json: boolean): void {
  const { strategy, schedules, states, transitions, depth, complete, choicePoints } = explored;
  if (json) {
    printJson({ strategy, schedules, states, violations: violations.map(({ property, message, recording, branch, choices }) => ({ property, message, recording, branch, choices })), complete, seconds, transitions, depth, choicePoints });
    return;
  }
  const { classes, sharedPages } = choicePoints;
  print(`${grouped(schedules)} schedules, ${grouped(states)} states, ${grouped(transitions)} steps, at most ${grouped(depth)} choices in a row, ${seconds} s`);
  print(`choices: at every exit, every L0 step, before every ${classes.join(', ')} instruction, before every access to ${sharedPages.length} shared page${sharedPages.length === 1 ? '' : 's'} (${sharedPages.map((page) => `0x${(page * 4096).toString(16)}`).join(', ')}), and preemption of L0 ${choicePoints.preemptionOfL0}`);
  if (violations.length === 0) {
    print(complete ? `${paint('green', 'complete')}: no schedule of these choices breaks a claim` : `${paint('yellow', 'not complete')}: none of the schedules tried breaks a claim${strategy === 'random' ? '; random search never is complete' : ''}`);
    return;
  }
  for (const { property, message, choices, deviations, recording, branch } of violations) {
    print(`\n${paint('red', 'violation')}: ${property}: ${message}`);
    print(`${grouped(choices.length)} choices, ${grouped(deviations)} of them not the usual ones; preemptions and the last:`);
    for (const [index, choice] of choices.entries()) {
      if (choice.type === 'preempt' || index >= choices.length - LAST_SHOWN) print(`  ${String(index).padStart(5)}  ${describeChoice(choice)}`);
    }
    print(`saved in ${recording}${branch === 'main' ? '' : `, branch ${branch}`}; zeno show ${recording} --at ${branch === 'main' ? '' : `${branch}@`}mark:${VIOLATION} shows where it ends`);
  }
}
