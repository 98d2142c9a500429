/** `zeno fork DIR --at POS --name B`: a branch from an instant, edited there if asked, and run on. */

import { Option, type Command } from 'commander';
import { addressOf, type Image } from '../actors/images.ts';
import { assertPossible, assertVariants, parseEdit, type Edit, type Patch } from '../actors/patch.ts';
import { actorOf, machinesOf, type World } from '../actors/world.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import { fork, patch, placeOf, worldOf } from '../snapshots/history.ts';
import { assertFork, type Line } from '../snapshots/lines.ts';
import { placeText } from '../snapshots/timeline.ts';
import type { Choice } from '../actors/choices.ts';
import { asInput } from './errors.ts';
import { editText } from './diff.ts';
import { jsonOption, wholeNumber } from './options.ts';
import type { Opened } from './open.ts';
import { print, printJson } from './output.ts';
import { reportRun, statusOf } from './run.ts';
import { runOn, type RunEnd, type RunOptions } from './runner.ts';
import { goToOrCursor, withSession, type RecordedSession, type ZenoHistory } from './session.ts';

interface ForkFlags {
  readonly at?: string;
  readonly name: string;
  readonly set: readonly string[];
  readonly variant?: readonly string[];
  readonly seed?: number;
  readonly runUntil?: string;
  readonly run: boolean;
  readonly json?: boolean;
}

export function addFork(program: Command): void {
  program.command('fork').argument('<dir>', 'a recording').description('a branch from a position, edited there and run on')
    .option('--at <position>', 'where it leaves; else where rewind left the cursor, else the end')
    .requiredOption('--name <branch>', 'how to call it')
    .option('--set <path=value...>', 'edits there: vcpu:N.REGISTER=V, mem:ADDR[,LEN]=V or sym:NAME[,LEN]=V, of machine 1 1:mem:…', [])
    .option('--variant <name...>', 'the known bugs that L0 has from there on, in place of those it had; none: none')
    .addOption(new Option('--seed <n>', 'seed of what is random from there on').argParser(wholeNumber('--seed')))
    .option('--run-until <position>', 'run the branch on to there; else to its end')
    .option('--no-run', 'only make the branch')
    .addOption(jsonOption('one object'))
    .action(async (directory: string, flags: ForkFlags) => {
      process.exitCode = await withSession(directory, { edit: true }, async (session) => {
        goToOrCursor(session, flags.at);
        const left = placeText(placeOf(session.history));
        const edits = [...readEdits(session.history, session.opened, flags.set), ...machineEdits(flags)];
        branchOff(session.history, flags.name, edits);
        if (!flags.json) print(`${flags.name} leaves ${left}${edits.length > 0 ? ` with ${edits.map(editText).join(', ')}` : ''}`);
        if (!flags.run) {
          if (flags.json) printJson({ from: left, ...placeOf(session.history) });
          return 0;
        }
        const end = await runBranch(session, {
          ...(flags.runUntil === undefined ? {} : { until: flags.runUntil }),
          ...(flags.json ? {} : { each: (event) => { if (event.event === 'console') process.stdout.write(String(event.text)); } }),
        });
        reportRun(session, session.opened.manifest.scenario, end, flags.json === true);
        return statusOf(end);
      });
    });
}

/** The edits that `--set` names, for the instant at the cursor. Throws InputError. */
export function readEdits(history: ZenoHistory, opened: Opened, sets: readonly string[]): Edit[] {
  const machines = machinesOf(worldOf(history));
  const { vcpus } = machines[0]!.engine.options;
  return sets.map((text) => guestsOwn(machines, parseEdit(text, machines.length * vcpus, (name) => physicalOf(opened.images.l1, name), machines.length)));
}

/** While L0 works for a vCPU the core's own PC and PSTATE are L0's: the guest's, which are meant, wait in ELR_EL2 and SPSR_EL2. */
function guestsOwn(machines: readonly World[], edit: Edit): Edit {
  const { el2, vcpus } = machines[0]!.engine.options;
  if (edit.type !== 'register' || el2 !== 'kvm' || actorOf<KvmState>(machines[Math.floor(edit.vcpu / vcpus)]!.state, `kvm:${edit.vcpu % vcpus}`).mode === 'guest') return edit;
  return edit.name === 'PC' ? { ...edit, name: 'ELR_EL2' } : edit.name === 'PSTATE' ? { ...edit, name: 'SPSR_EL2' } : edit;
}

function machineEdits({ variant, seed }: ForkFlags): Edit[] {
  const names = variant?.length === 1 && variant[0] === 'none' ? [] : variant;
  if (names) assertVariants(names);
  return [...(names ? [{ type: 'variants' as const, names }] : []), ...(seed === undefined ? [] : [{ type: 'seed' as const, seed }])];
}

/** Where a symbol's bytes lie in the guest's physical memory. L2's symbols are at L2's own addresses, which L1 decides on: they are not to be edited by name. */
function physicalOf(images: readonly Image[], name: string): number | undefined {
  const image = images.find((candidate) => candidate.symbols.some((symbol) => symbol.name === name));
  if (image === undefined) return undefined;
  const linked = addressOf(image, name);
  const segment = image.segments.find((candidate) => linked >= candidate.virtualAddress && linked < candidate.virtualAddress + BigInt(candidate.memoryBytes));
  return segment && segment.address + Number(linked - segment.virtualAddress);
}

/** Leaves the cursor's branch at the cursor, and edits the World there. Throws InputError, before anything is written, for a name or an edit that cannot be one. */
export function branchOff(history: ZenoHistory, name: string, edits: Patch): void {
  const { branch, cursor } = history;
  asInput(() => { assertFork(new Map(history.lines.all.map((line): [string, Line<Choice>] => [line.name, line])), branch, cursor, name); });
  for (const edit of edits) assertPossible(worldOf(history).engine.board.memory, edit);
  fork(history, name);
  if (edits.length > 0) patch(history, edits);
}

/** Runs the cursor's branch on from its end. */
export const runBranch = (session: RecordedSession, options: RunOptions): Promise<RunEnd> => runOn(session, options);
