/** The command line: `zeno VERB`, each verb a file of its own. */

import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { InputError } from '../actors/input-error.ts';
import { addBoot } from './boot.ts';
import { addBranches } from './branches.ts';
import { addDiff } from './diff.ts';
import { userMessage } from './errors.ts';
import { addExplore } from './explore.ts';
import { addFork } from './fork.ts';
import { addMark } from './mark.ts';
import { isGone, note, outputRefused } from './output.ts';
import { addReplay } from './replay.ts';
import { addRewind } from './rewind.ts';
import { addRun } from './run.ts';
import { addScenarios } from './scenarios.ts';
import { addShow } from './show.ts';
import { wasAmiss } from './session.ts';
import { addStat } from './stat.ts';
import { addTimeline } from './timeline.ts';
import { addWhere } from './where.ts';

/** Every verb, in the order in which the help lists them. */
const VERBS: readonly ((program: Command) => void)[] = [addRun, addBoot, addTimeline, addShow, addRewind, addFork, addBranches, addMark, addDiff, addReplay, addExplore, addStat, addScenarios, addWhere];

const { version: VERSION } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

/** Status of what is a bug of ours: neither the guest's answer nor the user's mistake (sysexits.h, EX_SOFTWARE). */
const BUG = 70;

/** Carries out one command line. Sets process.exitCode. */
export async function main(words: readonly string[]): Promise<void> {
  if (process.stdout.listenerCount('error', onOutputError) === 0) {
    process.stdout.on('error', onOutputError);
    // Nobody is left to be told.
    process.stderr.on('error', () => {});
  }
  try {
    const zeno = program();
    if (words.length === 0) throw new InputError(`name a verb: ${zeno.commands.map((command) => command.name()).join(', ')}; zeno --help explains them`);
    await zeno.parseAsync([...words], { from: 'user' });
    if (wasAmiss()) process.exitCode ||= 2;
  } catch (error) {
    if (isHelp(error)) return;
    const message = userMessage(error);
    if (message === undefined) {
      process.stderr.write(`zeno: this is a bug in Zeno, please report it: ${error instanceof Error ? error.stack ?? error.message : String(error)}\n`);
      process.exitCode = BUG;
      return;
    }
    note(message);
    process.exitCode = 2;
  }
}

/** `zeno timeline DIR | head` closes the pipe early, which is no error; nor is a terminal that goes away. A file that has no room for what is printed is one. What records ends its run first. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (process.stdout.listenerCount('error') > 1) return;
  if (isGone(error)) process.exit(process.exitCode ?? 0);
  note(outputRefused(error));
  process.exit(2);
}

function program(): Command {
  const top = new Command('zeno')
    .description('Time-travelling simulation of KVM/ARM nested virtualization, on real AArch64 code')
    .version(VERSION, '--version', 'the version of Zeno')
    .addHelpText('after', '\nA position is exit:42, nested:7, frame:1001, insn:2000000, vcpu1:insn:5000, time:1.5ms, irq:27#3, mark:NAME, start or end,\nwith a branch before it (fixed@exit:42) or steps after it (exit:42-1).\nExit status: 0 all went well, 1 the answer is no, 2 usage or bad input.');
  for (const add of VERBS) add(top);
  for (const command of [top, ...top.commands]) {
    command.exitOverride();
    // What is wrong is thrown, and told once.
    command.configureOutput({ writeErr: () => {} });
    command.showSuggestionAfterError(true);
  }
  return top;
}

const isHelp = (error: unknown): boolean => error instanceof Error && 'exitCode' in error && error.exitCode === 0;
