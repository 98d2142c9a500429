/** What differs between two Worlds, by the names that people know: registers, memory by symbol, interrupts, timers, mappings, L0's own state. */

import { symbolAt, type Image } from '../actors/images.ts';
import { machinesOf, treeOf, type World, type WorldState } from '../actors/world.ts';
import { BLOCK_BYTES, Word } from '../machines/aarch64/state.ts';
import { FIRST_SYSTEM_WORD, registerOfWord, SYSTEM_REGISTERS } from '../machines/aarch64/sysregs.ts';
import { PAGE_BYTES, type Region } from '../machines/memory/memory.ts';
import { diffTrees, pageOf, type PageTree } from '../machines/memory/page-tree.ts';
import { diffValues } from '../snapshots/diff.ts';
import { goTo, keepHere, type Place } from '../snapshots/history.ts';
import type { Opened } from './open.ts';
import type { ZenoHistory } from './session.ts';

/** In the order in which they are told. */
export const SUBJECTS = ['registers', 'virtual registers', 'memory', 'interrupts', 'timers', 'mappings', 'L0', 'machine'] as const;
export type Subject = (typeof SUBJECTS)[number];

/** One value that is not the same. Undefined: not there. */
export interface Difference { readonly subject: Subject; readonly name: string; readonly a: unknown; readonly b: unknown }

/** A machine taken down, so that another can be live. */
interface Taken { readonly world: World; readonly state: WorldState; readonly tree: PageTree }

/** Differences between two places. The cursor ends at `b`. */
export function differencesBetween(history: ZenoHistory, opened: Opened, a: Place, b: Place): Difference[] {
  const take = (place: Place): Taken[] => {
    goTo(history, place);
    return machinesOf(keepHere(history)).map((world) => ({ world, state: world.state, tree: treeOf(world) }));
  };
  const [left, right] = [take(a), take(b)];
  return left.flatMap((machine, index) => {
    const own = [...stateDifferences(machine, right[index]!), ...memoryDifferences(machine, right[index]!, opened.images.l1)];
    return index === 0 ? own : own.map((difference) => ({ ...difference, name: nameOf(difference.name, machine.world) }));
  }).sort((x, y) => SUBJECTS.indexOf(x.subject) - SUBJECTS.indexOf(y.subject));
}

/** What a machine's own name is in the World: vCPUs count over the machines. */
function nameOf(name: string, { engine: { options: { machine, vcpus } } }: World): string {
  const [, vcpu, register] = /^vcpu:(\d+)\.(.*)$/.exec(name) ?? [];
  return vcpu === undefined ? `machine ${machine} ${name}` : `vcpu:${machine * vcpus + Number(vcpu)}.${register!}`;
}

function stateDifferences(a: Taken, b: Taken): Difference[] {
  return diffValues(a.state, b.state).map(({ path, a: left, b: right }): Difference => {
    const [, bracketed, plain, rest = ''] = /^actors(?:\["([^"]+)"\]|\.(\w+))\.?(.*)$/.exec(path) ?? [];
    const actor = bracketed ?? plain;
    if (actor === undefined) return { subject: path.startsWith('alarms') || path === 'clock' ? 'timers' : 'machine', name: path, a: left, b: right };
    const virtual = /^registers\.(\w+)$/.exec(rest);
    if (actor.startsWith('kvm:') && virtual) return { subject: 'virtual registers', name: `${actor.replace('kvm', 'vcpu')}.${virtual[1]!}`, a: left, b: right };
    return { subject: SUBJECT_OF[actor.replace(/:.*/, '')] ?? 'machine', name: `${actor} ${rest}`, a: left, b: right };
  });
}

const SUBJECT_OF: Readonly<Record<string, Subject>> = { kvm: 'L0', vgic: 'interrupts', gicr: 'interrupts', gicd: 'interrupts', its: 'interrupts', timer: 'timers', mmu: 'mappings' };

function memoryDifferences(a: Taken, b: Taken, images: readonly Image[]): Difference[] {
  const { memory } = a.world.engine.board;
  const words: WordDifference[] = [];
  for (const page of diffTrees(a.tree, b.tree)) {
    const region = memory.regions.find((candidate) => page * PAGE_BYTES >= candidate.offset && page * PAGE_BYTES < candidate.offset + candidate.bytes);
    if (region === undefined) continue;
    const [left, right] = [wordsOf(pageOf(a.tree, page)), wordsOf(pageOf(b.tree, page))];
    for (let index = 0; index < left.length; index++) {
      if (left[index] !== right[index]) words.push({ region, offset: page * PAGE_BYTES - region.offset + 8 * index, a: left[index]!, b: right[index]! });
    }
  }
  const isNamed = ({ region }: WordDifference): boolean => region.name === 'vcpus' || region.name === 'vncr';
  return [...words.filter(isNamed).map(namedWord), ...ranges(words.filter((word) => !isNamed(word)), images)];
}

interface WordDifference { readonly region: Region; readonly offset: number; readonly a: bigint; readonly b: bigint }

const wordsOf = (bytes: Uint8Array): BigUint64Array => new BigUint64Array(bytes.slice().buffer);

/** A word of a vCPU's block or of L0's VNCR page is a register. */
function namedWord({ region, offset, a, b }: WordDifference): Difference {
  if (region.name === 'vncr') {
    const vcpu = Math.floor(offset / PAGE_BYTES);
    const place = offset % PAGE_BYTES;
    const row = SYSTEM_REGISTERS.find((candidate) => candidate.vncr === place);
    return { subject: 'virtual registers', name: `vcpu:${vcpu}.${row?.name ?? `VNCR page byte 0x${place.toString(16)}`}`, a, b };
  }
  const vcpu = Math.floor(offset / BLOCK_BYTES);
  return { subject: 'registers', name: `vcpu:${vcpu}.${wordName((offset % BLOCK_BYTES) / 8)}`, a, b };
}

function wordName(word: number): string {
  if (word < 31) return `X${word}`;
  if (word >= FIRST_SYSTEM_WORD) return registerOfWord(word) ?? `word ${word}`;
  return Object.entries(Word).find(([name, value]) => value === word && name !== 'X')?.[0] ?? `word ${word}`;
}

/** Neighbouring words as one range, each with the symbol that it begins in. */
function ranges(words: readonly WordDifference[], images: readonly Image[]): Difference[] {
  const runs: WordDifference[][] = [];
  for (const word of words) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run && last && last.region === word.region && last.offset + 8 === word.offset) run.push(word);
    else runs.push([word]);
  }
  return runs.map((run) => {
    const { region, offset } = run[0]!;
    const address = region.base + offset;
    const name = `${region.kind === 'ram' ? '' : `${region.name} `}mem:0x${address.toString(16)},${8 * run.length}${symbolText(images, address)}`;
    return run.length === 1 ? { subject: 'memory', name, a: run[0]!.a, b: run[0]!.b } : { subject: 'memory', name, a: run.map((word) => word.a), b: run.map((word) => word.b) };
  });
}

/** The symbol at a physical address, as the image was linked for it. */
function symbolText(images: readonly Image[], address: number): string {
  for (const image of images) {
    const segment = image.segments.find((candidate) => address >= candidate.address && address < candidate.address + candidate.memoryBytes);
    const found = segment && symbolAt(image, segment.virtualAddress + BigInt(address - segment.address));
    if (found) return ` <${found.symbol.name}${found.offset === 0 ? '' : `+0x${found.offset.toString(16)}`}>`;
  }
  return '';
}

