/** What the engines' code may do by itself at the current level, without asking the reference engine: told to the scratch area whenever a control that decides has changed. */

import { operatesPlainly, plainRead } from '../access.ts';
import { interruptPending } from '../interrupts.ts';
import { pointerControls, type PointerControls } from '../pointer-authentication.ts';
import { OPERATIONS } from '../registers/operations.ts';
import { elOf, Pstate, Word, type Core } from '../state.ts';
import { registerByName, slot } from '../sysregs.ts';
import { Scratch } from './layout.ts';
import { notePointerControls } from './pointer-codes.ts';

/** Registers that software reads all the time, by encoding: their places among Scratch.READS. */
const READ_NAMES = ['SP_EL0', 'TPIDR_EL0', 'TPIDRRO_EL0', 'TPIDR_EL1', 'TPIDR_EL2', 'CPACR_EL1', 'TCR_EL1', 'CTR_EL0', 'DCZID_EL0'] as const;
const READS = READ_NAMES.map((name) => registerByName(name)!.encoding);

/** The place of a register among them, or -1. */
export const readPlace = (encoding: number): number => READS.indexOf(encoding);

export const DAIF = registerByName('DAIF')!.encoding;
/** Whether MSR (immediate) is DAIFSet or DAIFClr. */
export const isMask = (op1: number, op2: number): boolean => op1 === 3 && op2 >= 6;

/** System instructions that software executes all the time: DC ZVA, and those that maintain caches, of which by address only the translation's faults remain. */
const OPERATION_NAMES = ['DC ZVA', 'DC CVAC', 'DC CVAU', 'DC CIVAC', 'IC IVAU'] as const;
const FREQUENT = OPERATION_NAMES.map((name) => OPERATIONS.find((operation) => operation.name === name)!.encoding);
export const [DC_ZVA] = FREQUENT;

/** The place of a system instruction among them, or -1. */
export const operationPlace = (encoding: number): number => FREQUENT.indexOf(encoding);

/** All that decides, but PSTATE. */
const TRACKED = ['TCR_EL1', 'TCR_EL2', 'SCTLR_EL1', 'SCTLR_EL2', 'HCR_EL2', 'CPTR_EL2', 'HFGRTR_EL2', 'HFGITR_EL2'].map((name) => 2 * slot(name));
/** PSTATE.EL and SP. */
const PSTATE_BITS = 3 << 2 | Pstate.SP;

interface Permitted {
  readonly inputs: readonly number[];
  /** The words of the scratch area that it decides, once they were told. */
  words: Int32Array | undefined;
  readonly pointers: PointerControls;
  /** What MRS reads, by place: a word of the block, or a value that only what is tracked decides; undefined: not by itself. */
  readonly reads: readonly (number | bigint | undefined)[];
  readonly operations: readonly boolean[];
}

/** How many combinations of controls are remembered for a core: those of its levels alternate. */
const REMEMBERED = 6;
/** What of the scratch area they decide, in words. */
const FIRST_WORD = Scratch.POINTERS / 4;
const END_WORD = Scratch.OPERATIONS / 4 + FREQUENT.length;

/** One core's. */
export class Permissions {
  private readonly core: Core;
  private readonly ints: Int32Array;
  /** The last one first. */
  private readonly recent: Permitted[] = [];

  constructor(core: Core) {
    this.core = core;
    this.ints = new Int32Array(core.board.memory.bytes.buffer);
  }

  /** Makes the scratch area agree with the core. */
  note(view: DataView, scratch: number): void {
    const [noted] = this.recent;
    if (noted !== undefined && this.stillHolds(noted)) return;
    const now = this.find();
    if (now.words !== undefined) {
      this.ints.set(now.words, scratch / 4 + FIRST_WORD);
      return;
    }
    notePointerControls(now.pointers, view, scratch);
    for (const [place, read] of now.reads.entries()) {
      const value = scratch + Scratch.VALUES + 8 * place;
      if (typeof read === 'bigint') view.setBigUint64(value, read, true);
      view.setUint32(scratch + Scratch.READS + 4 * place, read === undefined ? 0 : typeof read === 'bigint' ? value : this.core.words.byteOffset + 8 * read, true);
    }
    for (const [place, plain] of now.operations.entries()) view.setInt32(scratch + Scratch.OPERATIONS + 4 * place, plain ? 1 : 0, true);
    now.words = this.ints.slice(scratch / 4 + FIRST_WORD, scratch / 4 + END_WORD);
  }

  /** What holds now, remembered or not, and in the first place from now on. */
  private find(): Permitted {
    const { recent } = this;
    let index = 1;
    while (index < recent.length && !this.stillHolds(recent[index]!)) index++;
    const now = recent[index] ?? this.look();
    for (let at = Math.min(index, recent.length, REMEMBERED - 1); at > 0; at--) recent[at] = recent[at - 1]!;
    recent[0] = now;
    return now;
  }

  private stillHolds({ inputs }: Permitted): boolean {
    const { ints, board } = this.core;
    for (let index = 0; index < TRACKED.length; index++) {
      const half = TRACKED[index]!;
      if (inputs[2 * index] !== ints[half] || inputs[2 * index + 1] !== ints[half + 1]) return false;
    }
    return inputs[2 * TRACKED.length] === ((ints[2 * Word.PSTATE]! & PSTATE_BITS) | (board.observe === undefined ? 0 : 2));
  }

  private look(): Permitted {
    const { core } = this;
    const { ints, board } = core;
    return {
      words: undefined,
      inputs: [...TRACKED.flatMap((half) => [ints[half]!, ints[half + 1]!]), (ints[2 * Word.PSTATE]! & PSTATE_BITS) | (board.observe === undefined ? 0 : 2)],
      pointers: pointerControls(core), reads: READS.map((encoding) => plainRead(core, encoding)), operations: FREQUENT.map((encoding) => operatesPlainly(core, encoding)),
    };
  }
}

/** What the scratch area says of PSTATE.A, I and F (Scratch.MASKS). At EL0 they trap, or not. */
export function maskControl(core: Core): 0 | 1 | 2 {
  if (elOf(core) === 0 || core.board.observe !== undefined) return 0;
  return interruptPending(core) ? 1 : 2;
}
