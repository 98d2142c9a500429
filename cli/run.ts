/** `zeno run SCENARIO`: runs a scenario, prints its console and how it ended. */

import { join } from 'node:path';
import { Option, type Command } from 'commander';
import type { EngineName } from '../machines/aarch64/board.ts';
import type { Flavour, Mechanism } from '../machines/kvm/state.ts';
import { openScenario } from './open.ts';
import { grouped, note, paint, print, printJson, timeText } from './output.ts';
import { engineOption, seedOption, wholeNumber } from './options.ts';
import { runOn, type RunEnd, VIOLATION } from './runner.ts';
import { noteAnswer } from './scenarios.ts';
import { startSession, untilClosed, type Session } from './session.ts';

export interface RunFlags {
  readonly nested: Mechanism;
  readonly l1: Flavour | 'both';
  readonly smp?: number;
  readonly engine: EngineName;
  readonly variant: readonly string[];
  readonly seed: number;
  readonly append?: string;
  readonly record?: string | true;
  readonly until?: string;
  readonly json?: boolean;
}

export function addRun(program: Command): void {
  program.command('run').argument('<scenario>', 'a built-in scenario, or a TypeScript file with one')
    .description('run a scenario')
    .addOption(new Option('--nested <mechanism>', 'how virtual EL2 is made; none: L1 on bare EL2').choices(['pv', 'nv', 'nv2', 'none']).default('nv2'))
    .addOption(new Option('--l1 <flavour>', 'the EL2 that L1 sees').choices(['vhe', 'nvhe', 'both']).default('vhe'))
    .addOption(new Option('--smp <n>', 'vCPUs').argParser(wholeNumber('--smp', 1)))
    .addOption(engineOption())
    .option('--variant <name...>', 'known bugs for L0 to have', [])
    .addOption(seedOption())
    .option('--append <text>', "more of L1's command line")
    .option('--record [dir]', 'record in DIR, or under recordings/')
    .option('--until <position>', 'stop there')
    .option('--json', 'one object')
    .action(async (scenario: string, flags: RunFlags) => { process.exitCode = await run(scenario, flags); });
}

async function run(name: string, flags: RunFlags): Promise<number> {
  const opened = await openScenario(name, {
    nested: flags.nested, l1: flags.l1, variants: flags.variant, seed: flags.seed, engine: flags.engine,
    ...(flags.smp === undefined ? {} : { vcpus: flags.smp }), ...(flags.append === undefined ? {} : { append: flags.append }),
  });
  const scenario = opened.prepared!.scenario.name;
  const directory = flags.record === true ? join('recordings', [scenario, flags.nested, flags.l1, ...flags.variant].join('-')) : flags.record;
  const session = startSession(opened, directory);
  return untilClosed(session, async () => {
    const end = await runOn(session, {
      ...(flags.until === undefined ? {} : { until: flags.until }),
      ...(flags.json ? {} : { each: (event) => { if (event.event === 'console') process.stdout.write(String(event.text)); } }),
    });
    if (end.by === 'end' || end.by === 'claim') noteAnswer(opened.manifest, end.outcome, end.reason);
    reportRun(session, scenario, end, flags.json === true);
    return statusOf(end);
  });
}

/** Prints how a run ended: the object that `run` and `boot` promise, or lines for people. */
export function reportRun(session: Session, scenario: string, end: RunEnd, json: boolean): void {
  const recording = session.recording?.directory ?? null;
  const { outcome, reason, insns, timeNs, exits, nestedExits, fingerprint } = end;
  if (end.by === 'interrupt') note(`interrupted at ${end.place.branch}@frame:${end.place.frame}${recording === null ? '' : `; what ran is recorded in ${recording}`}`);
  // Nobody reads it any more.
  if (process.stdout.errored) return;
  if (json) {
    printJson({ scenario, outcome, reason, insns, timeNs, exits, nestedExits, fingerprint, recording });
    return;
  }
  const colour = outcome === 'passed' ? 'green' : outcome === 'failed' ? 'red' : 'yellow';
  print(`\n${paint(colour, outcome)}: ${reason}`);
  if (end.by === 'claim') print(`at frame:${end.place.frame - 1}${end.nested > 0 ? `, while L1 handled nested:${end.nested} of vcpu${end.vcpu}` : ''}${recording === null ? '' : `; the instant after it is mark:${VIOLATION}`}`);
  print(`${grouped(insns)} instructions, ${timeText(timeNs)} of virtual time, ${grouped(exits)} exits to L0, ${grouped(nestedExits)} of them from L2`);
  print(`fingerprint ${fingerprint}`);
  if (recording !== null) print(`recorded in ${recording}`);
}

/** 0: it passed, or went as far as was asked. 1: it did not. 130: Ctrl-C, as shells have it. */
export const statusOf = (end: RunEnd): number => (end.by === 'interrupt' ? 130 : end.by === 'until' || end.outcome === 'passed' ? 0 : 1);
