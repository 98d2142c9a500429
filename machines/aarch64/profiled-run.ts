/** `run`, and what a profile on the board wants to know of it. */

import type { RunResult, Stops } from './exit.ts';
import { run } from './run.ts';
import type { Core } from './state.ts';

export function profiledRun(core: Core, budget: number, stops?: Stops): RunResult {
  const { profile } = core.board;
  if (profile === undefined) return run(core, budget, stops);
  const { counts } = profile;
  const translated = counts.translated;
  const began = profile.clock();
  const result = run(core, budget, stops);
  profile.ms.running += profile.clock() - began;
  counts.runs += 1;
  // What an engine did not count as translated was interpreted.
  counts.interpreted += result.attempted - (counts.translated - translated);
  if (result.end.type !== 'budget') counts.exits += 1;
  return result;
}
