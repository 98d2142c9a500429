/** `zeno diff DIR A B`: two instants or two branches compared by name, and for branches the first frame that differs and why. */

import type { Command } from 'commander';
import type { Patch } from '../actors/patch.ts';
import type { Choice } from '../actors/choices.ts';
import { describeRegister } from '../machines/aarch64/describe.ts';
import { registerByName } from '../machines/aarch64/sysregs.ts';
import { diffBranches } from '../snapshots/diff.ts';
import { framesOf, goTo } from '../snapshots/history.ts';
import { commonFrames, type Move } from '../snapshots/lines.ts';
import { placeText, resolve } from '../snapshots/timeline.ts';
import { differencesBetween, SUBJECTS, type Difference } from './differences.ts';
import { eachEntry, entryJson, type TimelineEntry } from './entries.ts';
import type { Opened } from './open.ts';
import { jsonOption } from './options.ts';
import { jsonText, paint, print, printJson, table, timeText, valueText } from './output.ts';
import { withSession, type ZenoHistory } from './session.ts';
import { fieldsText } from './timeline.ts';

export function addDiff(program: Command): void {
  program.command('diff').argument('<dir>', 'a recording').argument('<a>', 'a position or a branch').argument('<b>', 'another')
    .description('two positions or branches by name; the first frame that differs and why')
    .addOption(jsonOption('one object'))
    .action((directory: string, a: string, b: string, flags: { json?: boolean }) => withSession(directory, {}, ({ history, opened }) => {
      const isBranch = (name: string): boolean => history.lines.all.some((line) => line.name === name);
      if (isBranch(a) && isBranch(b)) {
        const comparison = compareBranches(history, opened, a, b);
        if (flags.json) printJson(comparisonJson(comparison));
        else printComparison(comparison, opened);
        return;
      }
      // A branch's name alone means its end.
      const [left, right] = [resolve(history, isBranch(a) ? `${a}@end` : a), resolve(history, isBranch(b) ? `${b}@end` : b)];
      const changes = differencesBetween(history, opened, left, right);
      if (flags.json) { printJson({ a: placeText(left), b: placeText(right), differences: changes }); return; }
      print(changes.length === 0 ? `${placeText(left)} and ${placeText(right)} are the same` : `${changes.length} difference${changes.length === 1 ? '' : 's'} between ${placeText(left)} and ${placeText(right)}`);
      printDifferences(changes, [a, b]);
    }));
}

/** Two branches: where they part, what each does there, the first event that is another, and what the state differs in after it. */
export interface Comparison {
  readonly a: string;
  readonly b: string;
  /** Undefined: they are the same. */
  readonly frame: number | undefined;
  readonly moves: readonly [Move<Choice> | undefined, Move<Choice> | undefined];
  /** The state after that frame. Where one of them is edited there, after the edit on one side and before the same frame on the other: what the edit did. */
  readonly differences: readonly Difference[];
  /** The first events since they parted that are not the same, times apart; undefined where one of them has ended or none differs. */
  readonly events: readonly [TimelineEntry | undefined, TimelineEntry | undefined];
  /** The state after the frames of those events. */
  readonly later: readonly Difference[];
}

export function compareBranches(history: ZenoHistory, opened: Opened, a: string, b: string): Comparison {
  const common = commonFrames(history.lines, a, b);
  const parted = diffBranches(history, a, b);
  if (parted === undefined) return { a, b, frame: undefined, moves: [undefined, undefined], differences: [], events: [undefined, undefined], later: [] };
  const { frame } = parted;
  const isEdit = (move: Move<Choice> | undefined): boolean => move?.type === 'patch';
  const after = isEdit(parted.a) === isEdit(parted.b) ? [frame + 1, frame + 1] as const : isEdit(parted.a) ? [frame + 1, frame] as const : [frame, frame + 1] as const;
  const between = (frameA: number | undefined, frameB: number | undefined): Difference[] =>
    (frameA === undefined || frameB === undefined || frameA > history.lines.line(a).frames || frameB > history.lines.line(b).frames ? []
      : differencesBetween(history, opened, { branch: a, frame: frameA, insns: 0 }, { branch: b, frame: frameB, insns: 0 }));
  const events = firstOtherEvent(entriesFrom(history, a, common), entriesFrom(history, b, common));
  const afterEvent = (entry: TimelineEntry | undefined): number | undefined => entry && entry.frame + 1;
  return { a, b, frame, moves: [parted.a, parted.b], differences: between(...after), events, later: between(afterEvent(events[0]), afterEvent(events[1])) };
}

function entriesFrom(history: ZenoHistory, branch: string, from: number): TimelineEntry[] {
  goTo(history, { branch, frame: 0, insns: 0 });
  const entries: TimelineEntry[] = [];
  eachEntry(history, from, framesOf(history), (entry) => { entries.push(entry); });
  return entries;
}

/** What an event says, without when: a patch shifts everything after it. */
const essence = ({ frame: _frame, timeNs: _timeNs, ...rest }: TimelineEntry): string => jsonText(rest);

function firstOtherEvent(a: readonly TimelineEntry[], b: readonly TimelineEntry[]): Comparison['events'] {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [left, right] = [a[index], b[index]];
    if (left === undefined || right === undefined || essence(left) !== essence(right)) return [left, right];
  }
  return [undefined, undefined];
}

const comparisonJson = ({ a, b, frame, moves, differences, events, later }: Comparison): Record<string, unknown> => ({
  a, b, same: frame === undefined, firstFrame: frame ?? null, moves: moves.map((move) => move ?? null), differences,
  firstEvents: events.map((entry) => (entry ? entryJson(entry) : null)), later,
});

export function printComparison({ a, b, frame, moves, differences, events, later }: Comparison, opened: Opened): void {
  if (frame === undefined) { print(`${a} and ${b} are the same`); return; }
  print(`the first frame that differs is ${paint('bold', `frame:${frame}`)}`);
  print(table(['', ''], [[`  ${a}`, moveText(moves[0])], [`  ${b}`, moveText(moves[1])]]));
  printDifferences(differences, [a, b]);
  if (events.some((entry) => entry !== undefined)) {
    print('\nthe first event that is another:');
    print(table(['', '', '', ''], [eventCells(a, events[0], opened), eventCells(b, events[1], opened)]));
    if (later.length > 0) print('\nafter it:');
    printDifferences(later, [a, b]);
  }
}

function eventCells(branch: string, entry: TimelineEntry | undefined, opened: Opened): string[] {
  if (entry === undefined) return [`  ${branch}`, '', '', 'has ended'];
  return [`  ${branch}`, `frame:${entry.frame}`, timeText(entry.timeNs), `${entry.vcpu === undefined ? '' : `vcpu${entry.vcpu} `}${paint('yellow', entry.event)} ${fieldsText(entry, opened)}`];
}

function moveText(move: Move<Choice> | undefined): string {
  if (move === undefined) return 'has ended';
  if (move.type === 'patch') return `is patched: ${(move.patch as Patch).map(editText).join(', ')}`;
  const { choice } = move;
  return `${choice.type}${Object.entries(choice).filter(([key]) => key !== 'type').map(([key, value]) => ` ${key} ${valueText(value)}`).join('')}`;
}

/** An edit as `--set` and its siblings write it. */
export function editText(edit: Patch[number]): string {
  if (edit.type === 'register') return `vcpu:${edit.vcpu}.${edit.name}=${valueText(edit.value)}`;
  if (edit.type === 'memory') return `${edit.machine === undefined ? '' : `${edit.machine}:`}mem:0x${edit.address.toString(16)},${edit.bytes.length}=0x${[...edit.bytes].reverse().map((byte) => byte.toString(16).padStart(2, '0')).join('').replace(/^0+(?=.)/, '')}`;
  return edit.type === 'variants' ? `variants ${edit.names.length === 0 ? 'none' : edit.names.join(' ')}` : `seed ${edit.seed}`;
}

const SHOWN_MAX = 24;

/** Differences by subject, the first of each. */
export function printDifferences(differences: readonly Difference[], [a, b]: readonly [string, string]): void {
  for (const subject of SUBJECTS) {
    const own = differences.filter((difference) => difference.subject === subject);
    if (own.length === 0) continue;
    print(`\n${paint('bold', subject)}`);
    print(table(['', a, b], own.slice(0, SHOWN_MAX).map((difference) => [`  ${difference.name}`, sideText(difference, difference.a), sideText(difference, difference.b)])));
    if (own.length > SHOWN_MAX) print(paint('dim', `  and ${own.length - SHOWN_MAX} more (--json has all)`));
  }
}

const WORDS_MAX = 2;

function sideText({ subject, name }: Difference, value: unknown): string {
  if (value === undefined) return 'absent';
  if (Array.isArray(value) && value.every((word) => typeof word === 'bigint')) return `${value.slice(0, WORDS_MAX).map(valueText).join(' ')}${value.length > WORDS_MAX ? ' …' : ''}`;
  const register = name.slice(name.indexOf('.') + 1);
  if (subject.endsWith('registers') && typeof value === 'bigint' && registerByName(register)) return describeRegister(register, value).slice(register.length + 1).replace(/^0x0+(?=[0-9a-f])/, '0x');
  return valueText(value);
}
