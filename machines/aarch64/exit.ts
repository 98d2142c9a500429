/** Why a run of a vCPU ended, and the classes of instruction that a run can be told to stop before. */

/** Instruction classes at which exploration wants to stop before the instruction is attempted. */
export const STOP_CLASSES = ['exclusive', 'atomic', 'barrier', 'system-register', 'device'] as const;
export type StopClass = (typeof STOP_CLASSES)[number];

/** Where a run must stop, and what it must report. Pages are guest physical page numbers (address / 4096). */
export interface Stops {
  readonly classes: ReadonlySet<StopClass>;
  readonly pages: ReadonlySet<number>;
}

export type Vector = 'sync' | 'irq' | 'fiq' | 'serror';

export type RunEnd =
  /** The budget was used up exactly. */
  | { readonly type: 'budget' }
  /** An exception was taken to an EL2 that L0 owns: ESR_EL2 and its siblings are written, PSTATE is EL2h. */
  | { readonly type: 'exit'; readonly vector: Vector }
  /** WFI or WFE found nothing pending: the vCPU gives up its turn (Word.POWER says which). */
  | { readonly type: 'wait' }
  /** A load from a device: `board.outbox` holds the request, the instruction has not completed and runs again when the reply is there. */
  | { readonly type: 'device' }
  /** A call of the board's firmware: `board.outbox` holds it, and the vCPU waits for the answer in X0. */
  | { readonly type: 'firmware' }
  /** Messages wait in `board.outbox`, or a timer was reprogrammed: they must be delivered before the next instruction. */
  | { readonly type: 'effect' }
  /** `stops` names the next instruction; it was not attempted. */
  | { readonly type: 'stop'; readonly at: StopClass | 'page'; readonly page?: number }
  /** Something without a row: the vCPU is halted. `what` names the instruction or register. */
  | { readonly type: 'hole'; readonly what: string; readonly word: number; readonly pc: bigint; readonly el: number };

export interface RunResult {
  /** Instructions attempted, those that took an exception included: 1 ns of virtual time each. */
  readonly attempted: number;
  readonly end: RunEnd;
}
