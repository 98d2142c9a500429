/** `zeno replay DIR`: runs a recording again and compares every frame, and every keyframe's fingerprint. */

import type { Command } from 'commander';
import type { EngineName } from '../machines/aarch64/board.ts';
import { goTo } from '../snapshots/history.ts';
import { verify, type Verdict } from '../snapshots/verify.ts';
import { InputError } from '../actors/input-error.ts';
import { engineOption, jsonOption } from './options.ts';
import { grouped, paint, print, printJson, progress } from './output.ts';
import { withSession, type Session, type ZenoHistory } from './session.ts';

export function addReplay(program: Command): void {
  program.command('replay').argument('<dir>', 'a recording').description('run it again and compare every keyframe')
    .option('--branch <name>', 'only this branch').addOption(engineOption()).addOption(jsonOption('one object'))
    .action(async (directory: string, flags: ReplayFlags) => { process.exitCode = await replay(directory, flags); });
}

interface ReplayFlags { readonly branch?: string; readonly engine: EngineName; readonly json?: boolean }

async function replay(directory: string, flags: ReplayFlags): Promise<number> {
  return withSession(directory, { engine: flags.engine }, ({ history }) => {
    const names = history.lines.all.map((line) => line.name);
    if (flags.branch !== undefined && !names.includes(flags.branch)) throw new InputError(`--branch ${flags.branch}: there is no such branch: there are ${names.join(', ')}`);
    const verdict = replayBranches(history, flags.branch === undefined ? names : [flags.branch]);
    if (flags.json) {
      const { frames, keyframes, identical, firstDifference } = verdict;
      printJson({ frames, keyframes, identical, firstDifference: firstDifference ?? null });
    } else if (verdict.firstDifference === undefined) print(`${paint('green', 'identical')}: ${grouped(verdict.frames)} frames and ${grouped(verdict.keyframes)} keyframes${names.length > 1 && flags.branch === undefined ? ` of ${names.length} branches` : ''}`);
    else print(`${paint('red', 'different')}: branch ${verdict.firstDifference.branch}: ${verdict.firstDifference.message}\nthe last instant known to be as recorded is ${verdict.firstDifference.branch}@frame:${verdict.firstDifference.lastSame}`);
    return verdict.identical ? 0 : 1;
  });
}

export interface BranchesVerdict {
  readonly frames: number;
  readonly keyframes: number;
  readonly identical: boolean;
  readonly firstDifference: (NonNullable<Verdict['firstDifference']> & { readonly branch: string }) | undefined;
}

/** Replays each branch from the start of the recording; the frames and keyframes that two of them share count for both. Ends at the first that differs. */
export function replayBranches(history: Session['history'], branches: readonly string[]): BranchesVerdict {
  const total = branches.reduce((sum, name) => sum + history.lines.line(name).frames, 0);
  const bar = progress('replaying', 'frames');
  let frames = 0;
  let keyframes = 0;
  try {
    for (const branch of branches) {
      onBranch(history, branch);
      const verdict = verify(history, { progress: (frame) => { bar.update(frames + frame, total); return true; } });
      frames += verdict.frames;
      keyframes += verdict.keyframes;
      if (verdict.firstDifference) return { frames, keyframes, identical: false, firstDifference: { branch, ...verdict.firstDifference } };
    }
  } finally {
    bar.end();
  }
  return { frames, keyframes, identical: true, firstDifference: undefined };
}

/** Makes `branch` the current one, with the cursor at its start. */
const onBranch = (history: ZenoHistory, branch: string): void => goTo(history, { branch, frame: 0, insns: 0 });
