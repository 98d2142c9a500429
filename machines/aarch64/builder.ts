/** The operations that instruction semantics are written in, and that every engine implements. */

import type { Access, Bytes } from './memory-access.ts';

export type AtomicOperation = 'add' | 'clear' | 'exclusive-or' | 'set' | 'signed-maximum' | 'signed-minimum' | 'unsigned-maximum' | 'unsigned-minimum' | 'swap';
/** FEAT_PAuth: GA is the key of PACGA. */
export type PointerKey = 'IA' | 'IB' | 'DA' | 'DB' | 'GA';
/** `hint`: it does nothing where the feature is absent. */
export interface PointerOperation { readonly act: 'sign' | 'authenticate' | 'strip' | 'generic'; readonly key: PointerKey; readonly hint?: boolean }
/** FEAT_BTI: what kind of indirect branch is taken. A jump by any other register than X16 and X17 says so where it is in a guarded page. */
export type BranchType = 'jump by X16 or X17' | 'call' | 'jump';
export type Exception = 'supervisor-call' | 'hypervisor-call' | 'secure-monitor-call' | 'breakpoint' | 'halt';

/**
 * `V` is an opaque 64-bit word and `B` an opaque truth value; what a row knows when it is decoded are plain numbers.
 * A row may branch in TypeScript on plain numbers only; on machine values it uses `select` and `jumpWhen`, so that one
 * run of the semantics describes every execution of the instruction. Three engines fit behind it without touching a row:
 *  - reference: V is bigint, B is boolean, each call does the operation at once;
 *  - interpreter: run once a row, with fields that emit "load operand k of the decoded record" (rows read fields through
 *    control flow, so one body is generated for each combination of the fields that a row branches on);
 *  - translator: run once an instruction in a region; V and B are expression trees or WebAssembly stack entries,
 *    `flagsOfAdd` and its kin return a symbolic (kind, a, b) that `setFlags` keeps lazily, `condition` fuses with it.
 *
 * Rules for rows. Every operation that can fault comes before the first one that changes a register, flag or PC, so that
 * an exception leaves the instruction not done. A word read of 32 bits is zero-extended by the row. Register 31 is the
 * zero register in `x` and `setX`. Nothing is said about PC for an instruction that goes on to the next.
 */
export interface Builder<V, B> {
  x(register: number): V;
  setX(register: number, value: V): void;
  stackPointer(): V;
  setStackPointer(value: V): void;
  /** The stack pointer as a base address: an SP alignment fault when SCTLR_ELx.SA asks for one. */
  alignedStackPointer(): V;
  /** The address of this instruction plus `offset`, which may be negative. */
  pc(offset: number): V;

  /** An integer of magnitude below 2^53 in two's complement. */
  number(value: number): V;
  constant(value: bigint): V;
  add(a: V, b: V): V;
  subtract(a: V, b: V): V;
  multiply(a: V, b: V): V;
  multiplyHighSigned(a: V, b: V): V;
  multiplyHighUnsigned(a: V, b: V): V;
  /** Division by zero gives zero; the most negative number by -1 gives itself. */
  divideSigned(a: V, b: V): V;
  divideUnsigned(a: V, b: V): V;
  and(a: V, b: V): V;
  or(a: V, b: V): V;
  exclusiveOr(a: V, b: V): V;
  not(a: V): V;
  /** Shift amounts are taken modulo 64. */
  shiftLeft(a: V, amount: V): V;
  shiftRight(a: V, amount: V): V;
  shiftRightSigned(a: V, amount: V): V;
  rotateRight(a: V, amount: V): V;
  zeroExtend(a: V, width: 8 | 16 | 32): V;
  signExtend(a: V, width: 8 | 16 | 32): V;
  countLeadingZeros(a: V): V;
  reverseBits(a: V): V;
  reverseBytes(a: V): V;
  /** CRC-32 (polynomial 0x04C11DB7) or CRC-32C (0x1EDC6F41) over the low `bytes` of `data`. */
  crc32(accumulator: V, data: V, bytes: Bytes, castagnoli: boolean): V;

  equal(a: V, b: V): B;
  invert(a: B): B;
  select(condition: B, whenTrue: V, whenFalse: V): V;

  /** N:Z:C:V in bits 3 to 0. With `wide` 0 the operands are 32-bit, zero-extended. */
  flags(): V;
  setFlags(nzcv: V): void;
  /** The carry flag, 0 or 1. */
  carry(): V;
  flagsOfAdd(wide: number, a: V, b: V): V;
  flagsOfSubtract(wide: number, a: V, b: V): V;
  /** Flags of a + b + carry, as ADCS; SBCS passes the inverted second operand. */
  flagsOfAddCarry(wide: number, a: V, b: V, carry: V): V;
  /** N and Z of the result, C and V clear. */
  flagsOfLogical(wide: number, result: V): V;
  /** Condition code 0 (EQ) to 15; 14 and 15 are always true. */
  condition(code: number): B;

  /** A zero-extended load. */
  load(address: V, bytes: Bytes, access: Access): V;
  store(address: V, bytes: Bytes, value: V, access: Access): void;
  /** Two elements at `address` and `address` + `bytes`; nothing is stored when either faults. */
  storePair(address: V, bytes: 4 | 8, first: V, second: V, access: Access): void;
  loadExclusive(address: V, bytes: Bytes, access: Access): V;
  /** 16 bytes, aligned to 16: low half first. */
  loadExclusivePair(address: V, access: Access): readonly [V, V];
  /** 0 when the store was done, 1 when the monitor was open. */
  storeExclusive(address: V, bytes: Bytes, value: V, access: Access): V;
  storeExclusivePair(address: V, low: V, high: V, access: Access): V;
  clearExclusive(): void;
  /** The value before the operation, zero-extended. */
  atomic(operation: AtomicOperation, address: V, bytes: Bytes, operand: V, access: Access): V;
  compareAndSwap(address: V, bytes: Bytes, expected: V, replacement: V, access: Access): V;
  compareAndSwapPair(address: V, expected: readonly [V, V], replacement: readonly [V, V], access: Access): readonly [V, V];

  jump(target: V): void;
  /** Before `jump`: PSTATE.BTYPE for the next instruction, 0b01, 0b10 or 0b11. Every other instruction leaves 0. */
  branchType(type: BranchType): void;
  /** To the address of this instruction plus `offset`. */
  jumpBy(offset: number): void;
  jumpWhen(condition: B, offset: number): void;

  /** The pointer signed, checked or stripped, or PACGA's code; may trap. */
  authenticatePointer(operation: PointerOperation, pointer: V, modifier: V): V;

  /** `encoding` packs op0:op1:CRn:CRm:op2 (sysregs.ts); `rt` is reported when the access traps. */
  readSystemRegister(encoding: number, rt: number): V;
  writeSystemRegister(encoding: number, value: V, rt: number): void;
  /** SYS and SYSL. The result is meaningful with `hasResult` only. */
  systemInstruction(encoding: number, value: V, rt: number, hasResult: boolean): V;
  /** MSR (immediate). */
  setPstateField(op1: number, crm: number, op2: number): void;
  /** ESB may leave a record in DISR_EL1. */
  barrier(kind: 'DMB' | 'DSB' | 'ISB' | 'SB' | 'ESB'): void;
  /** With `until`, WFIT and WFET: at the latest when CNTVCT_EL0 is at `count`, which `register` has. */
  waitForInterrupt(until?: { readonly count: V; readonly register: number }): void;
  waitForEvent(until?: { readonly count: V; readonly register: number }): void;
  /** SEV, or SEVL with `local`. */
  sendEvent(local: boolean): void;
  except(kind: Exception, immediate: number): void;
  /** With `key`, ERETAA or ERETAB. */
  exceptionReturn(key?: PointerKey): void;
  /** The encoding is allocated to nothing here: an exception as for UNDEFINED. */
  undefinedInstruction(): void;
  /** The instruction exists and this simulator has no semantics for it: the run ends, the vCPU is halted. */
  hole(what: string): void;
}
