/** A vCPU's registers by name, out of the memory of any World: what is shown, compared and edited. */

import { BLOCK_BYTES, Word } from '../machines/aarch64/state.ts';
import { FIRST_SYSTEM_WORD, registerOfWord, SYSTEM_WORDS } from '../machines/aarch64/sysregs.ts';
import { PAGE_BYTES, regionNamed } from '../machines/memory/memory.ts';
import { pageOf, type PageTree } from '../machines/memory/page-tree.ts';
import type { Engine } from './world.ts';

/** Name and word of everything in a vCPU block, general registers first. */
const NAMED: readonly (readonly [string, number])[] = [
  ...Array.from({ length: 31 }, (_, number) => [`X${number}`, Word.X + number] as const),
  ...Object.entries(Word).filter(([name]) => name !== 'X' && name !== 'CPU_INTERFACE'),
  ...Array.from({ length: SYSTEM_WORDS }, (_, place) => [registerOfWord(FIRST_SYSTEM_WORD + place)!, FIRST_SYSTEM_WORD + place] as const),
];

/** The registers of vCPU `index` in the memory `tree`: X0 to X30, PC, PSTATE and its like, then system registers by the Arm ARM's names. */
export function registersOf(engine: Engine, tree: PageTree, index: number): Record<string, bigint> {
  const { offset } = regionNamed(engine.board.memory, 'vcpus');
  const first = (offset + index * BLOCK_BYTES) / PAGE_BYTES;
  const block = new Uint8Array(BLOCK_BYTES);
  for (let page = 0; page < BLOCK_BYTES / PAGE_BYTES; page++) block.set(pageOf(tree, first + page), page * PAGE_BYTES);
  const words = new BigUint64Array(block.buffer);
  return Object.fromEntries(NAMED.map(([name, word]) => [name, words[word]!]));
}
