/** `zeno stat DIR`: exits to L0 by level and reason, in the columns of `perf kvm stat`; what a nested exit costs, register by register; two recordings compared. */

import { Option, type Command } from 'commander';
import { InputError } from '../actors/input-error.ts';
import { goToPosition } from '../snapshots/timeline.ts';
import { countBy, exitsOf, nestedExitsOf, purposeOf, registerOf, type Exit, type NestedExit } from './exits.ts';
import { jsonOption, wholeNumber } from './options.ts';
import { grouped, paint, print, printJson, table } from './output.ts';
import { withSession } from './session.ts';

interface StatFlags {
  readonly branch?: string | undefined;
  readonly vcpu?: number;
  readonly perVcpu?: boolean;
  readonly registers?: boolean;
  readonly compare?: string;
  readonly nested: string;
  readonly json?: boolean;
}

export function addStat(program: Command): void {
  program.command('stat').argument('<dir>', 'a recording').description('exits by level, reason and vCPU: count, share, virtual time')
    .option('--branch <name>', 'of this branch')
    .addOption(new Option('--vcpu <n>', 'only of this vCPU').argParser(wholeNumber('--vcpu')))
    .option('--per-vcpu', 'a row for each vCPU')
    .option('--registers', 'what the traps were for, register by register')
    .option('--compare <dir>', 'the exits of one nested exit here and in another recording, and which registers make the difference')
    .option('--nested <reason>', 'which nested exits --registers and --compare look at: their reason', 'HVC64')
    .addOption(jsonOption())
    .action(stat);
}

async function stat(directory: string, flags: StatFlags): Promise<void> {
  const exits = await exitsIn(directory, flags);
  if (flags.compare !== undefined) return compare(directory, exits, flags.compare, await exitsIn(flags.compare, { ...flags, branch: undefined }), flags);
  if (flags.registers) return registers(exits, flags);
  const rows = statRows(exits, flags.perVcpu === true);
  if (flags.json) {
    for (const row of rows) printJson(row);
    return;
  }
  if (rows.length === 0) { print('no exits to L0: L1 has EL2 to itself, or never ran'); return; }
  printStat(rows, flags.perVcpu === true);
  printNested(nestedExitsOf(exits));
}

const exitsIn = (directory: string, flags: StatFlags): Promise<Exit[]> => withSession(directory, {}, ({ history }) => {
  goToPosition(history, flags.branch === undefined ? 'end' : `${flags.branch}@end`);
  const exits = exitsOf(history);
  return flags.vcpu === undefined ? exits : exits.filter((exit) => exit.vcpu === flags.vcpu);
});

interface StatRow {
  readonly level: 'L1' | 'L2';
  readonly reason: string;
  readonly ec: number | null;
  readonly vcpu?: number;
  readonly count: number;
  /** From exit to entry. */
  readonly timeNs: { readonly min: number; readonly avg: number; readonly max: number };
  readonly totalNs: number;
  readonly share: number;
  readonly vcpus: Readonly<Record<string, number>>;
  /** Exits to L0 until L2 ran again, the first included: what one nested exit of this kind costs. */
  readonly exitsToL0?: ReturnType<typeof costSpread>;
}

function statRows(exits: readonly Exit[], perVcpu: boolean): StatRow[] {
  const groups = Map.groupBy(exits, ({ level, reason, vcpu }) => `${level} ${reason}${perVcpu ? ` ${vcpu}` : ''}`);
  const nested = new Map(nestedExitsOf(exits).map((group) => [group.nested, group.exits.length]));
  const rows = [...groups.values()].map((own): StatRow => {
    const { level, reason, ec, vcpu } = own[0]!;
    const costs = own.filter((exit) => exit.level === 'L2' && exit.durationNs !== undefined).map((exit) => nested.get(exit.nested)!);
    const times = own.flatMap((exit) => (exit.durationNs === undefined ? [] : [exit.durationNs]));
    return {
      level, reason, ec, ...(perVcpu ? { vcpu } : {}), count: own.length, timeNs: spread(times), totalNs: sum(times), share: own.length / exits.length,
      vcpus: Object.fromEntries([...Map.groupBy(own, (exit) => exit.vcpu)].sort(([a], [b]) => a - b).map(([index, of]) => [index, of.length])),
      ...(costs.length > 0 ? { exitsToL0: costSpread(costs) } : {}),
    };
  });
  return rows.sort((a, b) => b.count - a.count || (`${a.level}${a.reason}` < `${b.level}${b.reason}` ? -1 : 1));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const spread = (values: readonly number[]): { min: number; avg: number; max: number } =>
  (values.length === 0 ? { min: 0, avg: 0, max: 0 } : { min: values.reduce((a, b) => Math.min(a, b)), avg: sum(values) / values.length, max: values.reduce((a, b) => Math.max(a, b)) });

/** The value that occurs most often, the smallest of several: what a nested exit costs when L1 does nothing else in it, such as print. */
function typicalOf(values: readonly number[]): number {
  const counts = [...Map.groupBy(values, (value) => value)].map(([value, own]) => ({ value, count: own.length }));
  return counts.sort((a, b) => b.count - a.count || a.value - b.value)[0]?.value ?? 0;
}

const costSpread = (values: readonly number[]) => ({ ...spread(values), typical: typicalOf(values) });

/** The columns of `perf kvm stat report`, with the level in front. */
function printStat(rows: readonly StatRow[], perVcpu: boolean): void {
  const samples = sum(rows.map((row) => row.count));
  const total = sum(rows.map((row) => row.totalNs));
  const us = (ns: number, count = 1): string => (count === 0 ? '-' : `${(ns / 1000).toFixed(2)}us`);
  print(table(['Level', 'VM-EXIT', ...(perVcpu ? ['>vCPU'] : []), '>Samples', '>Samples%', '>Time%', '>Min Time', '>Max Time', '>Avg time', ...(perVcpu ? [] : ['vCPUs'])], rows.map((row) => [
    row.level, row.reason, ...(perVcpu ? [String(row.vcpu)] : []), grouped(row.count), `${(row.share * 100).toFixed(2)}%`, `${total === 0 ? '0.00' : ((row.totalNs / total) * 100).toFixed(2)}%`,
    us(row.timeNs.min, row.totalNs), us(row.timeNs.max, row.totalNs), us(row.timeNs.avg, row.totalNs), ...(perVcpu ? [] : [Object.entries(row.vcpus).map(([vcpu, count]) => `vcpu${vcpu} ${grouped(count)}`).join(', ')]),
  ])));
  print(`\nTotal Samples:${grouped(samples)}, Total events handled time:${us(total)} of virtual time.`);
}

/** What nested exits cost, by their reason. One after which L2 never ran again is left out. */
function printNested(nested: readonly NestedExit[]): void {
  const whole = nested.filter((group) => group.durationNs !== undefined);
  if (whole.length === 0) return;
  print(`\n${paint('bold', 'Exits to L0 for one nested exit, until L2 runs again')}`);
  print(table(['VM-EXIT', '>nested exits', '>typical', '>min', '>avg', '>max'], [...Map.groupBy(whole, (group) => group.exits[0]!.reason)].map(([reason, groups]) => {
    const { typical, min, avg, max } = costSpread(groups.map((group) => group.exits.length));
    return [reason, grouped(groups.length), grouped(typical), grouped(min), avg.toFixed(2), grouped(max)];
  })));
}

/** What L1 and L0 exchange for one nested exit of a reason: of the typical ones, which all take the same number of exits. */
interface Cost { readonly nestedExits: number; readonly typical: number; readonly exits: number; readonly by: ReadonlyMap<string, number> }

function costOf(exits: readonly Exit[], reason: string, directory: string): Cost {
  const whole = nestedExitsOf(exits).filter((group) => group.exits[0]!.reason === reason && group.durationNs !== undefined);
  const reasons = [...new Set(exits.filter((exit) => exit.level === 'L2').map((exit) => exit.reason))];
  if (whole.length === 0) throw new InputError(`--nested ${reason}: ${directory} has no nested exit of that reason${reasons.length > 0 ? `; there are ${reasons.join(', ')}` : ', and none at all'}`);
  const typical = typicalOf(whole.map((group) => group.exits.length));
  const groups = whole.filter((group) => group.exits.length === typical);
  const all = groups.flatMap((group) => group.exits);
  return { nestedExits: whole.length, typical: groups.length, exits: typical, by: new Map([...countBy(all, purposeOf)].map(([what, count]) => [what, count / groups.length])) };
}

function registers(exits: readonly Exit[], flags: StatFlags): void {
  const counts = [...countBy(exits, (exit) => `${exit.level} ${purposeOf(exit)}`)].sort((a, b) => b[1] - a[1]);
  const nested = nestedExitsOf(exits).some((group) => group.exits[0]!.reason === flags.nested && group.durationNs !== undefined) ? costOf(exits, flags.nested, '') : undefined;
  const rows = counts.map(([key, count]) => {
    const [level, what] = [key.slice(0, 2), key.slice(3)];
    return { level, what, ...registerOf(what), count, perNestedExit: nested?.by.get(what) ?? 0 };
  });
  if (flags.json) { for (const row of rows) printJson(row); return; }
  print(table(['Level', 'for', '>Samples', `>per typical ${flags.nested} of L2`], rows.map((row) => [row.level, row.what, grouped(row.count), row.perNestedExit === 0 ? '' : row.perNestedExit.toFixed(2)])));
}

function compare(nameA: string, exitsA: readonly Exit[], nameB: string, exitsB: readonly Exit[], flags: StatFlags): void {
  const [a, b] = [costOf(exitsA, flags.nested, nameA), costOf(exitsB, flags.nested, nameB)];
  const rows = [...new Set([...a.by.keys(), ...b.by.keys()])]
    .map((what) => ({ what, ...registerOf(what), a: a.by.get(what) ?? 0, b: b.by.get(what) ?? 0 }))
    .sort((x, y) => Math.abs(y.a - y.b) - Math.abs(x.a - x.b) || (x.what < y.what ? -1 : 1));
  if (flags.json) {
    printJson({ what: 'exits', nestedExits: flags.nested, a: a.exits, b: b.exits, difference: a.exits - b.exits, ratio: a.exits / b.exits });
    for (const row of rows) printJson({ ...row, difference: row.a - row.b });
    return;
  }
  const number = (value: number): string => (value === 0 ? '-' : value.toFixed(2));
  const side = (cost: Cost, name: string): string => `${paint('bold', String(cost.exits))} in ${name} (${cost.typical} of ${cost.nestedExits} are so)`;
  print(`Exits to L0 for one typical nested exit of reason ${flags.nested}: ${side(a, nameA)}, ${side(b, nameB)}; ratio ${(a.exits / b.exits).toFixed(2)}\n`);
  print(table(['for', `>${nameA}`, `>${nameB}`, '>difference'], rows.map((row) => {
    const difference = row.a - row.b;
    return [row.what, number(row.a), number(row.b), Math.abs(difference) < 0.005 ? '' : `${difference > 0 ? '+' : ''}${difference.toFixed(2)}`];
  })));
}
