/** Two positions or two branches compared: the first frame that differs, and the state there, by name. */

import { diffTrees } from '../machines/memory/page-tree.ts';
import { commonFrames, ownerOf, type Move } from './lines.ts';
import { aside, goTo, keepHere, worldOf, type History, type Place } from './history.ts';
import { bisect } from './verify.ts';

/** One value that is not the same. `path` is written as in JavaScript: `vcpus[1].listRegisters[0]`; undefined: not there. */
export interface Change { readonly path: string; readonly a: unknown; readonly b: unknown }

/** `pages`: of each machine. */
export interface StateDifference { readonly values: readonly Change[]; readonly pages: readonly (readonly number[])[] }

/** What differs between two places: plain state by path, and the indices of each machine's pages that differ. The cursor stays. */
export function diffPlaces<World, Choice, Event>(history: History<World, Choice, Event>, a: Place, b: Place): StateDifference {
  const look = (place: Place) => {
    goTo(history, place);
    const world = keepHere(history);
    return { view: history.system.view?.(world), pages: history.system.pages?.(world) };
  };
  return aside(history, () => {
    const [left, right] = [look(a), look(b)];
    return { values: diffValues(left.view, right.view), pages: left.pages?.map((tree, machine) => diffTrees(tree, right.pages![machine]!)) ?? [] };
  });
}

export interface BranchDifference<Choice> {
  /** The first frame whose end differs, and what each branch did in it; undefined: one ends there. */
  readonly frame: number;
  readonly a: Move<Choice> | undefined;
  readonly b: Move<Choice> | undefined;
  /** The state after it; undefined when one of the branches has ended there. */
  readonly state: StateDifference | undefined;
}

/** The first frame in which two branches part, or undefined when they are the same as long as both last and equally long. The cursor stays. */
export function diffBranches<World, Choice, Event>(history: History<World, Choice, Event>, a: string, b: string): BranchDifference<Choice> | undefined {
  const [framesA, framesB] = [history.lines.line(a).frames, history.lines.line(b).frames];
  const shorter = Math.min(framesA, framesB);
  return aside(history, () => {
    const sumAt = (branch: string, frame: number): string => {
      goTo(history, { branch, frame, insns: 0 });
      return history.system.fingerprint(worldOf(history));
    };
    const moveOf = (branch: string, frame: number, frames: number): Move<Choice> | undefined => (frame < frames ? ownerOf(history.lines, branch, frame).move(frame) : undefined);
    const common = Math.min(shorter, commonFrames(history.lines, a, b));
    const isSame = (frame: number): boolean => sumAt(a, frame) === sumAt(b, frame);
    // Two worlds that differ may meet again, as with two stores in the other order: then each frame is compared, from the fork.
    const first = common < shorter ? (isSame(shorter) ? firstFrom(common + 1, shorter, isSame) : bisect(common, shorter, isSame)) : undefined;
    if (first === undefined && framesA === framesB) return undefined;
    const frame = first === undefined ? shorter : first - 1;
    const state = first === undefined ? undefined : diffPlaces(history, { branch: a, frame: first, insns: 0 }, { branch: b, frame: first, insns: 0 });
    return { frame, a: moveOf(a, frame, framesA), b: moveOf(b, frame, framesB), state };
  });
}

function firstFrom(from: number, to: number, isSame: (frame: number) => boolean): number | undefined {
  for (let frame = from; frame <= to; frame++) if (!isSame(frame)) return frame;
  return undefined;
}

/** The leaves at which two plain values differ, in the order of `a`'s keys and then `b`'s own; at most `max`. */
export function diffValues(a: unknown, b: unknown, max = 10_000): Change[] {
  const changes: Change[] = [];
  walk(a, b, '', changes, max);
  return changes;
}

function walk(a: unknown, b: unknown, path: string, changes: Change[], max: number): void {
  if (Object.is(a, b) || changes.length >= max) return;
  if (isList(a) && isList(b) && Object.getPrototypeOf(a) === Object.getPrototypeOf(b)) {
    for (let index = 0; index < Math.max(a.length, b.length); index++) walk(a[index], b[index], `${path}[${index}]`, changes, max);
    return;
  }
  if (isRecord(a) && isRecord(b)) {
    const keys = [...Object.keys(a), ...Object.keys(b).filter((key) => !Object.hasOwn(a, key))];
    for (const key of keys) walk(a[key], b[key], /^[A-Za-z_$][\w$]*$/.test(key) ? (path === '' ? key : `${path}.${key}`) : `${path}[${JSON.stringify(key)}]`, changes, max);
    return;
  }
  changes.push({ path, a, b });
}

const isList = (value: unknown): value is ArrayLike<unknown> => Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !isList(value);
