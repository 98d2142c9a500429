/** `zeno timeline DIR`: a recording's events in order, filtered, or folded into nested exits with all that each caused. */

import { Option, type Command } from 'commander';
import { framesOf, worldOf, type Place } from '../snapshots/history.ts';
import { resolve } from '../snapshots/timeline.ts';
import { SERIAL } from '../actors/console.ts';
import type { Image } from '../actors/images.ts';
import { symbolAt } from '../actors/images.ts';
import { describeSystemAccess } from '../machines/aarch64/describe.ts';
import { eachEntry, entryJson, type TimelineEntry } from './entries.ts';
import { countBy, exitsOf, nestedExitsOf, purposeOf, type Exit, type NestedExit } from './exits.ts';
import { parseExpression } from './expression.ts';
import type { Opened } from './open.ts';
import { jsonOption, wholeNumber } from './options.ts';
import { grouped, paint, print, printJson, timeText, valueText, type Colour } from './output.ts';
import { withSession, type ZenoHistory } from './session.ts';

interface TimelineFlags {
  readonly from?: string;
  readonly to?: string;
  readonly kind?: readonly string[];
  readonly level?: string;
  readonly vcpu?: number;
  readonly where?: string;
  readonly branch?: string;
  readonly tree?: boolean;
  readonly json?: boolean;
}

export function addTimeline(program: Command): void {
  program.command('timeline').argument('<dir>', 'a recording').description('the events in order')
    .option('--from <position>', 'from there', 'start').option('--to <position>', 'up to there', 'end')
    .option('--kind <event...>', 'only events of this name, such as kvm_exit')
    .addOption(new Option('--level <level>', 'only of a vCPU at this level').choices(['L0', 'L1', 'L2']))
    .addOption(new Option('--vcpu <n>', 'only of this vCPU').argParser(wholeNumber('--vcpu')))
    .option('--where <expression>', 'only where it holds, such as "reason == \'SYS64\' && exit > 100"')
    .option('--branch <name>', 'of this branch')
    .option('--tree', 'each nested exit with all that it caused, folded')
    .addOption(jsonOption())
    .action(timeline);
}

async function timeline(directory: string, flags: TimelineFlags): Promise<void> {
  const where = flags.where === undefined ? undefined : parseExpression(flags.where);
  await withSession(directory, {}, ({ history, opened }) => {
    const onBranch = (position: string): string => (flags.branch === undefined || position.includes('@') ? position : `${flags.branch}@${position}`);
    const to = resolve(history, onBranch(flags.to ?? 'end'));
    const from = resolve(history, onBranch(flags.from ?? 'start'));
    history.branch = to.branch;
    const range = { from: from.frame, to: endFrame(to) };
    const isWanted = (entry: TimelineEntry): boolean =>
      (flags.kind === undefined || flags.kind.includes(entry.event)) && (flags.level === undefined || entry.level === flags.level)
      && (flags.vcpu === undefined || entry.vcpu === flags.vcpu) && (where === undefined || where(entryJson(entry)));
    if (flags.tree) printTree(history, opened, range, isWanted, flags.json === true);
    else printEvents(history, opened, range, isWanted, flags.json === true);
  });
}

/** A place inside a frame takes the frame's events in, since they come at its end or nobody knows where. */
const endFrame = (place: Place): number => place.frame + (place.insns > 0 ? 1 : 0);

interface Range { readonly from: number; readonly to: number }

function printEvents(history: ZenoHistory, opened: Opened, { from, to }: Range, isWanted: (entry: TimelineEntry) => boolean, json: boolean): void {
  const several = worldOf(history).several !== undefined;
  if (!json) print(paint('bold', `${'frame'.padStart(7)} ${'time'.padStart(12)}  ${several ? 'machine ' : ''}${'vcpu'.padEnd(5)} ${'level'.padEnd(5)} ${'exit'.padStart(6)} ${'nested'.padStart(6)}  event`));
  let shown = 0;
  let console = '';
  let consoleAt: TimelineEntry | undefined;
  // A console's text comes a character at a time: for people, a line is one event.
  const flush = (): void => {
    if (consoleAt) print(lineOf(consoleAt, `${consoleAt.fields.console === SERIAL.name ? '' : `${String(consoleAt.fields.console)} `}${JSON.stringify(console)}`));
    console = '';
    consoleAt = undefined;
  };
  eachEntry(history, from, to, (entry) => {
    if (!isWanted(entry)) return;
    shown++;
    if (json) printJson(entryJson(entry));
    else if (entry.event === 'console') {
      if (consoleAt?.fields.console !== entry.fields.console) flush();
      consoleAt ??= entry;
      console += String(entry.fields.text);
      if (console.endsWith('\n')) flush();
    } else print(lineOf(entry, fieldsText(entry, opened)));
  });
  flush();
  if (!json && shown === 0) print(paint('dim', `no event of frames ${from} to ${to} fits`));
}

const COLOURS: Readonly<Record<string, Colour>> = {
  kvm_exit: 'yellow', kvm_entry: 'green', kvm_nested_eret: 'cyan', kvm_inject_nested_exception: 'magenta', hole: 'red', console: 'blue',
};

function lineOf({ frame, timeNs, machine, vcpu, level, event, exit, nested }: TimelineEntry, text: string): string {
  const number = (value: number): string => (value === 0 ? '' : String(value)).padStart(6);
  const head = `${String(frame).padStart(7)} ${grouped(timeNs).padStart(12)}  ${machine === undefined ? '' : String(machine).padEnd('machine '.length)}${(vcpu === undefined ? '' : `vcpu${vcpu}`).padEnd(5)} ${(level ?? '').padEnd(5)} ${number(exit)} ${number(nested)}`;
  return `${paint('dim', head)}  ${COLOURS[event] ? paint(COLOURS[event], event) : event} ${text}`.trimEnd();
}

/** The fields of an event as people read them: addresses with their symbols, syndromes in words. */
export function fieldsText({ event, fields, level }: TimelineEntry, opened: Opened): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (event === 'kvm_exit' && (key === 'esr_ec' || key === 'reason')) continue;
    if (key === 'esr' && event === 'kvm_exit' && fields.reason === 'SYS64') parts.push(`${describeSystemAccess(Number((value as bigint) & 0x1ff_ffffn))}`);
    else if ((key === 'pc' || key === 'elr' || key === 'from') && typeof value === 'bigint') parts.push(`${key}=${placeText(value, imagesAt(opened, level, key))}`);
    else if (key === 'gpa' || key === 'ipa' || key === 'pa') parts.push(`${key}=0x${Number(value).toString(16)}`);
    else parts.push(`${key}=${valueText(value)}`);
  }
  return [...(event === 'kvm_exit' ? [String(fields.reason)] : []), ...parts].join(' ');
}

/** Whose symbols an address of an event means: an ERET into L2 comes from L1's code and goes to L2's. */
const imagesAt = ({ images }: Opened, level: TimelineEntry['level'], key: string): readonly Image[] => (key === 'from' ? images.l1 : level === 'L1' ? images.l1 : level === 'L2' ? images.l2 : []);

/** `0x40201a2c <world_switch+0x1c>`: an address with the symbol that it belongs to. */
export function placeText(address: bigint, images: readonly Image[]): string {
  for (const image of images) {
    const found = symbolAt(image, address);
    if (found) return `0x${address.toString(16)} <${found.symbol.name}${found.offset === 0 ? '' : `+0x${found.offset.toString(16)}`}>`;
  }
  return `0x${address.toString(16)}`;
}

/** Nested exits, each with what its vCPU did until L2 ran again: folded by purpose, with counts. Exits of L1 between them are one line. */
function printTree(history: ZenoHistory, opened: Opened, { from, to }: Range, isWanted: (entry: TimelineEntry) => boolean, json: boolean): void {
  const exits = exitsOf(history, 0, Math.min(to, framesOf(history)));
  const nested = new Map(nestedExitsOf(exits).map((group) => [group.nested, group]));
  let outside: Exit[] = [];
  const flushOutside = (): void => {
    if (outside.length > 0 && !json) print(paint('dim', `${grouped(outside.length)} exit${outside.length === 1 ? '' : 's'} of L1 outside nested exits: ${foldedText(outside)}`));
    outside = [];
  };
  for (const exit of exits) {
    if (exit.frame < from) continue;
    if (exit.nested === 0) { if (isWanted(exit.events[0]!)) outside.push(exit); continue; }
    if (exit.level !== 'L2' || !nested.get(exit.nested)!.exits.some((part) => part.events.some(isWanted))) continue;
    const group = nested.get(exit.nested)!;
    const caused = group.exits.slice(1);
    flushOutside();
    if (json) {
      printJson({
        nested: exit.nested, exit: exit.exit, frame: exit.frame, timeNs: exit.timeNs, vcpu: exit.vcpu, level: exit.level, reason: exit.reason, pc: exit.pc,
        durationNs: group.durationNs ?? null, exits: group.exits.length,
        caused: [...countBy(caused, purposeOf)].map(([what, count]) => ({ what, count })), events: [...countBy(group.exits.flatMap((part) => part.events), (entry) => entry.event)].map(([event, count]) => ({ event, count })),
      });
      continue;
    }
    print(`${paint('bold', `nested:${exit.nested}`)} ${paint('dim', `exit:${exit.exit} frame:${exit.frame}`)}  vcpu${exit.vcpu}  ${paint('yellow', exit.reason)} ${purposeOf(exit)}  at ${placeText(exit.pc, opened.images.l2)}  ${paint('dim', `${grouped(group.exits.length)} exit${group.exits.length === 1 ? '' : 's'} to L0, ${group.durationNs === undefined ? 'L2 was not entered again' : timeText(group.durationNs)}`)}`);
    const lines = branchesOf(group);
    for (const [index, line] of lines.entries()) print(`${paint('dim', index === lines.length - 1 ? ' └─' : ' ├─')} ${line}`);
  }
  flushOutside();
}

/** What L0 did about the exit itself, then L1's exits, folded, then how it ended. */
function branchesOf({ exits, durationNs }: NestedExit): string[] {
  const [first, ...caused] = exits as [Exit, ...Exit[]];
  const lines: string[] = [];
  const own = first.events.slice(1).filter(({ event }) => event !== 'kvm_entry');
  const injected = own.find(({ event }) => event === 'kvm_inject_nested_exception');
  const others = [...countBy(own.filter((entry) => entry !== injected), ({ event }) => event)].map(timesText);
  if (others.length > 0) lines.push(`${paint('dim', 'L0')} ${others.join(', ')}`);
  if (injected) lines.push(`${paint('magenta', 'to L1')} ${String(injected.fields.type)} exception taken to virtual EL2`);
  if (caused.length > 0) lines.push(`${paint('dim', 'L1')} ${foldedText(caused)}`);
  const last = exits.at(-1)!;
  const eret = last.events.some(({ event }) => event === 'kvm_nested_eret');
  lines.push(durationNs !== undefined ? `${paint('green', 'back in L2')}${eret ? ' by nested ERET' : ''}` : paint('yellow', 'L2 was not entered again'));
  return lines;
}

const foldedText = (exits: readonly Exit[]): string => [...countBy(exits, purposeOf)].map(timesText).join(', ');
const timesText = ([what, count]: readonly [string, number]): string => (count === 1 ? what : `${grouped(count)} × ${what}`);
