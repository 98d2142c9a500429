/** Branches as lines of moves: what was chosen, frame by frame, and the sums, marks and parents that go with it. */

/** What moved the world in one frame. A patch is an edit by hand and takes a frame of its own. */
export type Move<Choice> = { readonly type: 'choice'; readonly choice: Choice } | { readonly type: 'patch'; readonly patch: unknown };

/** The fingerprint of the instant before `frame`. */
export interface Print { readonly frame: number; readonly fingerprint: string }

/** A named instant: `insns` instructions into `frame`. */
export interface Mark { readonly name: string; readonly frame: number; readonly insns: number }

/** Where a branch left its parent: at the instant before `frame`. */
export interface Fork { readonly branch: string; readonly frame: number }

/** One branch. Frames below `first` are its parent's. */
export interface Line<Choice> {
  readonly name: string;
  readonly parent: Fork | undefined;
  readonly first: number;
  /** Frames 0 to frames-1 are known, the parent's included. */
  readonly frames: number;
  /** True when the last thing written says that the run ended or was closed here. */
  readonly closed: boolean;
  /** Bytes that flush would hand over. */
  readonly buffered: number;
  readonly prints: readonly Print[];
  readonly marks: readonly Mark[];
  /** The move of an own frame. Throws RangeError outside first to frames-1. */
  move(frame: number): Move<Choice>;
  /** The 32-bit sum of what an own frame did (see frameSum). */
  sumOf(frame: number): number;
  append(move: Move<Choice>, sum: number): void;
  print(print: Print): void;
  /** Names an instant of this line; the same name again moves it. */
  mark(mark: Mark): void;
  /** Hands over what is buffered, so that a killed process keeps it. */
  flush(): void;
  /** As flush, and waits until it is on disk. */
  sync(): void;
  close(): void;
}

/** A tree of branches. The first is `main`. */
export interface Lines<Choice> {
  /** Main, then the others by name. */
  readonly all: readonly Line<Choice>[];
  /** The branch called `name`. Throws UnknownBranchError. */
  line(name: string): Line<Choice>;
  /** A new branch of `parent` that leaves it at the instant before `frame`. Throws RangeError on a bad or used name. */
  fork(parent: string, frame: number, name: string): Line<Choice>;
}

export class UnknownBranchError extends Error { override readonly name = 'UnknownBranchError'; }

/** Lines that live only as long as the program. */
export function memoryLines<Choice>(): Lines<Choice> {
  const lines = new Map<string, Line<Choice>>([['main', memoryLine<Choice>('main', undefined)]]);
  return {
    get all() { return inOrder([...lines.values()]); },
    line: (name) => found(lines, name),
    fork(parent, frame, name) {
      assertFork(lines, parent, frame, name);
      const line = memoryLine<Choice>(name, { branch: parent, frame });
      lines.set(name, line);
      return line;
    },
  };
}

/** The line that owns `frame` on branch `name`: itself, or an ancestor that it left later. */
export function ownerOf<Choice>(lines: Lines<Choice>, name: string, frame: number): Line<Choice> {
  let line = lines.line(name);
  while (line.parent !== undefined && frame < line.first) line = lines.line(line.parent.branch);
  return line;
}

/** The branch and its ancestors, oldest first, each with those of its own frames that `name` runs through: `from` to before `to`. */
export function lineage<Choice>(lines: Lines<Choice>, name: string): { readonly line: Line<Choice>; readonly from: number; readonly to: number }[] {
  const path: { line: Line<Choice>; from: number; to: number }[] = [];
  let line = lines.line(name);
  for (let to = line.frames; ;) {
    // A branch may leave its parent before the parent's own first frame: then it takes nothing of the parent's own.
    if (to > line.first) path.unshift({ line, from: line.first, to });
    if (line.parent === undefined) return path;
    to = Math.min(to, line.parent.frame);
    line = lines.line(line.parent.branch);
  }
}

/** How many frames, from the start, two branches share because one left the other or both left a third. */
export function commonFrames<Choice>(lines: Lines<Choice>, name: string, other: string): number {
  const mine = lineage(lines, name);
  const theirs = lineage(lines, other);
  let common = 0;
  for (let part = 0; part < mine.length && part < theirs.length; part++) {
    const a = mine[part]!;
    const b = theirs[part]!;
    if (a.line !== b.line) break;
    common = Math.min(a.to, b.to);
    if (a.to !== b.to) break;
  }
  return common;
}

/** 32 bits of what a frame did, cheap enough to store for every frame: replay is compared with it before any keyframe is. */
export function frameSum(frame: { readonly timeNs: number; readonly insns: number; readonly events: readonly unknown[] }): number {
  let sum = Math.imul(frame.timeNs | 0, 0x9e3779b1) ^ Math.imul(Math.floor(frame.timeNs / 2 ** 32) | 0, 0x85ebca77);
  sum = Math.imul((sum << 13) | (sum >>> 19), 5) + frame.insns;
  return (Math.imul(sum ^ (sum >>> 15), 0xc2b2ae3d) + frame.events.length) >>> 0;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Throws RangeError unless `name` can name a branch: it is also a file's name. */
export function assertBranchName(name: string): void {
  if (!NAME.test(name)) throw new RangeError(`a branch cannot be called ${JSON.stringify(name)}: names are 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first`);
}

/** Throws RangeError unless `name` can name an instant. A trailing +3 or -3 would read as steps after the mark. */
export function assertMarkName(name: string): void {
  if (!NAME.test(name) || /[+-]\d+$/.test(name)) throw new RangeError(`a mark cannot be called ${JSON.stringify(name)}: names are 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first, and do not end in a dash and a number`);
}

export function assertFork<Choice>(lines: ReadonlyMap<string, Line<Choice>>, parent: string, frame: number, name: string): void {
  assertBranchName(name);
  if (lines.has(name)) throw new RangeError(`there is already a branch ${name}`);
  const from = found(lines, parent);
  if (!Number.isInteger(frame) || frame < 0 || frame > from.frames) throw new RangeError(`branch ${parent} has frames 0 to ${from.frames}, so ${name} cannot leave it at frame ${frame}`);
}

export function found<Choice>(lines: ReadonlyMap<string, Line<Choice>>, name: string): Line<Choice> {
  const line = lines.get(name);
  if (line === undefined) throw new UnknownBranchError(`there is no branch ${name}: the branches are ${inOrder([...lines.values()]).map((other) => other.name).join(', ')}`);
  return line;
}

export const inOrder = <Choice>(lines: Line<Choice>[]): Line<Choice>[] =>
  lines.sort((a, b) => (a.name === 'main' ? -1 : b.name === 'main' ? 1 : a.name < b.name ? -1 : 1));

function memoryLine<Choice>(name: string, parent: Fork | undefined): Line<Choice> {
  const first = parent?.frame ?? 0;
  const moves: Move<Choice>[] = [];
  const sums: number[] = [];
  const prints: Print[] = [];
  const marks: Mark[] = [];
  let closed = false;
  return {
    name, parent, first, prints, marks, buffered: 0,
    get frames() { return first + moves.length; },
    get closed() { return closed; },
    move(frame) {
      const move = moves[frame - first];
      if (move === undefined) throw new RangeError(`branch ${name} owns frames ${first} to ${first + moves.length - 1}, not ${frame}`);
      return move;
    },
    sumOf: (frame) => sums[frame - first]!,
    append(move, sum) { moves.push(move); sums.push(sum); closed = false; },
    print(print) { prints.push(print); },
    mark(mark) { placeMark(marks, mark); },
    flush() {},
    sync() {},
    close() { closed = true; },
  };
}

/** Adds `mark`, or moves the one of that name. */
export function placeMark(marks: Mark[], mark: Mark): void {
  assertMarkName(mark.name);
  const old = marks.findIndex((other) => other.name === mark.name);
  if (old >= 0) marks.splice(old, 1);
  marks.push(mark);
}
