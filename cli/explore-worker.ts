/** The search of `zeno explore`, in a thread of its own, so that the one with the terminal hears Ctrl-C. */

import { parentPort, workerData } from 'node:worker_threads';
import type { ScenarioOptions } from '../scenarios/scenario.ts';
import { exploreScenario, type ExploredScenario, type ExploreRequest } from '../scenarios/explore.ts';
import { InputError } from '../actors/input-error.ts';
import { goTo, type Place } from '../snapshots/history.ts';
import { keep } from '../actors/world.ts';
import { userMessage } from './errors.ts';
import { openScenario } from './open.ts';
import { liveWorld, openSession } from './session.ts';

export interface ExploreTask {
  /** From the place that a scenario names, or from a place of a recording. */
  readonly from: { readonly scenario: string; readonly options: ScenarioOptions } | { readonly directory: string; readonly place: Place };
  readonly request: Pick<ExploreRequest, 'strategy' | 'seed' | 'depthMax' | 'schedulesMax' | 'minimiseStepsMax'>;
  /** Milliseconds to search for. */
  readonly budgetMs: number;
  /** One word: not 0 when the search is to end. */
  readonly stop: Int32Array<SharedArrayBuffer>;
}

export type ExploreReport =
  | { readonly type: 'progress'; readonly schedules: number; readonly states: number }
  | { readonly type: 'done'; readonly explored: ExploredScenario }
  | { readonly type: 'input-error'; readonly message: string };

const PROGRESS_MS = 100;

async function explore({ from, request, budgetMs, stop }: ExploreTask): Promise<ExploredScenario> {
  const prepared = 'scenario' in from ? (await openScenario(from.scenario, from.options)).prepared! : await preparedAt(from.directory, from.place);
  const started = performance.now();
  let told = started;
  return exploreScenario(prepared, {
    ...request,
    deadline: () => Atomics.load(stop, 0) !== 0 || performance.now() - started > budgetMs,
    progress: ({ schedules, states }) => {
      const now = performance.now();
      if (now - told < PROGRESS_MS) return;
      told = now;
      tell({ type: 'progress', schedules, states });
    },
  });
}

/** The scenario of a recording with its World at `place`: there the search begins. */
async function preparedAt(directory: string, place: Place) {
  const session = await openSession(directory);
  try {
    const { prepared } = session.opened;
    if (prepared === undefined) throw new InputError(`${directory}: this is no recording of a scenario`);
    goTo(session.history, place);
    const { explorePlace: _explorePlace, ...scenario } = prepared.scenario;
    return { ...prepared, world: keep(liveWorld(session.history)), scenario };
  } finally {
    session.close();
  }
}

// A thread's port has no origin.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
const tell = (report: ExploreReport): void => { parentPort!.postMessage(report); };

try {
  tell({ type: 'done', explored: await explore(workerData as ExploreTask) });
} catch (error) {
  const message = userMessage(error);
  if (message === undefined) throw error;
  tell({ type: 'input-error', message });
}

