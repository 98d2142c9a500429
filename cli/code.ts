/** Code as people read it: what a vCPU's PC or a symbol names, found in memory, disassembled and put behind its symbols. */

import type { Image } from '../actors/images.ts';
import { symbolAt } from '../actors/images.ts';
import type { World } from '../actors/world.ts';
import { levelNow } from '../actors/events.ts';
import { disassemble } from '../machines/aarch64/disassemble.ts';
import { elOf, Word, type Core } from '../machines/aarch64/state.ts';
import { READ, regimeAt, translate } from '../machines/aarch64/translate.ts';
import { guestNow } from '../machines/kvm/describe.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import { locate } from '../machines/memory/memory.ts';
import type { Opened } from './open.ts';
import { paint } from './output.ts';

export interface CodeLine {
  readonly address: bigint;
  /** Undefined: no memory is there, or nothing is mapped. */
  readonly word: number | undefined;
  readonly text: string;
  /** `trap+0x8`. */
  readonly symbol: string | undefined;
}

/** How code is addressed: physically, or as a vCPU would in the context that is in its registers. */
export interface AddressSpace { readonly images: readonly Image[]; physical(address: bigint): number | undefined }

export const physicalSpace = (opened: Opened): AddressSpace => ({ images: [...opened.images.l1, ...opened.images.l2], physical: Number });

/** What vCPU `index` of the live `world` runs, or will when L0 is done. */
export function spaceOf(world: World, opened: Opened, index: number): AddressSpace {
  const core = world.engine.board.cores[index]!;
  return { images: levelOfVcpu(world, index) === 'L2' ? opened.images.l2 : opened.images.l1, physical: (address) => translated(world, core, address) };
}

/** Whether a vCPU runs L1's code or what L1 runs. On bare EL2 by what exception level it is at. */
export function levelOfVcpu(world: World, index: number): 'L1' | 'L2' {
  if (world.engine.options.el2 === 'kvm') return levelNow(world.engine, world.state, index);
  const core = world.engine.board.cores[index]!;
  return world.engine.options.el2 === 'guest' && elOf(core) < 2 ? 'L2' : 'L1';
}

/** The PC that vCPU `index` runs at, or goes back to when L0 is done. */
export function pcOf(world: World, index: number): bigint {
  const { engine, state } = world;
  return engine.options.el2 === 'kvm' ? guestNow(state.actors[`kvm:${index}`] as KvmState, engine.board).pc : engine.board.cores[index]!.words[Word.PC]!;
}

function translated(world: World, core: Core, address: bigint): number | undefined {
  // While L0 works the core itself is at EL2; what it will go back to is the EL1&0 regime.
  const el = world.engine.options.el2 === 'kvm' ? 1 : elOf(core);
  const entry = translate(core, address, READ, regimeAt(core, el), true, false, true);
  return entry && entry.pa + Number(address & 0xfffn);
}

/** `count` instructions from `address` on. */
export function codeAt(world: World, space: AddressSpace, address: bigint, count: number): CodeLine[] {
  return Array.from({ length: count }, (_, index) => lineAt(world, space, BigInt.asUintN(64, address + BigInt(4 * index))));
}

function lineAt(world: World, space: AddressSpace, address: bigint): CodeLine {
  const { memory } = world.engine.board;
  const physical = space.physical(address);
  const offset = physical === undefined ? -1 : locate(memory, physical);
  const symbol = symbolOf(space.images, address);
  if (offset < 0) return { address, word: undefined, text: physical === undefined ? '(nothing is mapped here)' : '(no memory is here)', symbol };
  const word = memory.view.getUint32(offset, true);
  return { address, word, text: disassemble(word, address), symbol };
}

function symbolOf(images: readonly Image[], address: bigint): string | undefined {
  for (const image of images) {
    const found = symbolAt(image, address);
    if (found) return found.offset === 0 ? found.symbol.name : `${found.symbol.name}+0x${found.offset.toString(16)}`;
  }
  return undefined;
}

/** Lines for people; the one at `current` is marked. */
export function codeText(lines: readonly CodeLine[], current?: bigint): string[] {
  return lines.flatMap(({ address, word, text, symbol }, index) => {
    const isCurrent = address === current;
    const line = `${isCurrent ? '→' : ' '} ${address.toString(16).padStart(8, '0')}  ${word === undefined ? '        ' : word.toString(16).padStart(8, '0')}  ${text}`;
    const label = symbol !== undefined && (index === 0 || !symbol.includes('+')) ? [paint('cyan', `  <${symbol}>:`)] : [];
    return [...label, isCurrent ? paint('yellow', line) : line];
  });
}
