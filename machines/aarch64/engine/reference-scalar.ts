/** The reference engine's general-purpose part: operations on 64-bit words, flags, memory, system registers and control. */

import { MASK32, MASK64 } from '../../bits.ts';
import { msrImmediate, readSystemRegister, systemInstruction, writeSystemRegister } from '../access.ts';
import { setBranchType } from '../branch-target.ts';
import type { AtomicOperation, BranchType, Builder, Exception, PointerKey, PointerOperation } from '../builder.ts';
import { errorBarrier } from '../error-barrier.ts';
import { exceptionReturn } from '../exception-return.ts';
import * as exception from '../exception.ts';
import * as memory from '../memory-access.ts';
import type { Access, Bytes } from '../memory-access.ts';
import { authenticatePointer } from '../pointer-authentication.ts';
import { Power, Word, elOf, stackWord, type Core } from '../state.ts';
import { branchAddress } from '../translate.ts';
import { CONDITIONS } from './conditions.ts';
import { crc32Of } from './crc32.ts';

type Timeout = exception.Timeout;

const SIGN64 = 1n << 63n;
const PC_LOW = 2 * Word.PC;
const PC_HIGH = PC_LOW + 1;

export class ScalarReference implements Builder<bigint, boolean> {
  readonly core: Core;
  readonly words: BigUint64Array;
  readonly ints: Int32Array;
  /** Whether the instruction in hand chose where PC goes. */
  jumped = false;

  constructor(core: Core) {
    this.core = core;
    this.words = core.words;
    this.ints = core.ints;
  }

  x(register: number): bigint { return register === 31 ? 0n : this.words[register]!; }
  setX(register: number, value: bigint): void { if (register !== 31) this.words[register] = value; }
  stackPointer(): bigint { return this.words[stackWord(this.core)]!; }
  setStackPointer(value: bigint): void { this.words[stackWord(this.core)] = value; }
  alignedStackPointer(): bigint {
    exception.checkStackAlignment(this.core);
    return this.words[stackWord(this.core)]!;
  }
  pc(offset: number): bigint { return BigInt.asUintN(64, this.words[Word.PC]! + BigInt(offset)); }

  number(value: number): bigint { return value >= 0 && value < SMALL.length ? SMALL[value]! : BigInt.asUintN(64, BigInt(value)); }
  constant(value: bigint): bigint { return value; }
  add(a: bigint, b: bigint): bigint { return BigInt.asUintN(64, a + b); }
  subtract(a: bigint, b: bigint): bigint { return BigInt.asUintN(64, a - b); }
  multiply(a: bigint, b: bigint): bigint { return BigInt.asUintN(64, a * b); }
  multiplyHighSigned(a: bigint, b: bigint): bigint { return BigInt.asUintN(64, (BigInt.asIntN(64, a) * BigInt.asIntN(64, b)) >> 64n); }
  multiplyHighUnsigned(a: bigint, b: bigint): bigint { return (a * b) >> 64n; }
  divideSigned(a: bigint, b: bigint): bigint { return b === 0n ? 0n : BigInt.asUintN(64, BigInt.asIntN(64, a) / BigInt.asIntN(64, b)); }
  divideUnsigned(a: bigint, b: bigint): bigint { return b === 0n ? 0n : a / b; }
  and(a: bigint, b: bigint): bigint { return BigInt.asUintN(64, a & b); }
  or(a: bigint, b: bigint): bigint { return BigInt.asUintN(64, a | b); }
  exclusiveOr(a: bigint, b: bigint): bigint { return BigInt.asUintN(64, a ^ b); }
  not(a: bigint): bigint { return BigInt.asUintN(64, ~a); }
  shiftLeft(a: bigint, amount: bigint): bigint { return BigInt.asUintN(64, a << (amount & 63n)); }
  shiftRight(a: bigint, amount: bigint): bigint { return a >> (amount & 63n); }
  shiftRightSigned(a: bigint, amount: bigint): bigint { return BigInt.asUintN(64, BigInt.asIntN(64, a) >> (amount & 63n)); }
  rotateRight(a: bigint, amount: bigint): bigint {
    const distance = amount & 63n;
    return BigInt.asUintN(64, (a >> distance) | (a << (64n - distance)));
  }
  zeroExtend(a: bigint, width: 8 | 16 | 32): bigint { return width === 32 ? BigInt.asUintN(32, a) : BigInt.asUintN(width, a); }
  signExtend(a: bigint, width: 8 | 16 | 32): bigint { return BigInt.asUintN(64, width === 32 ? BigInt.asIntN(32, a) : BigInt.asIntN(width, a)); }
  countLeadingZeros(a: bigint): bigint {
    const high = Number(a >> 32n);
    return BigInt(high !== 0 ? Math.clz32(high) : 32 + Math.clz32(Number(a & MASK32)));
  }
  reverseBits(a: bigint): bigint {
    let value = this.reverseBytes(a);
    value = ((value >> 4n) & 0x0f0f_0f0f_0f0f_0f0fn) | ((value & 0x0f0f_0f0f_0f0f_0f0fn) << 4n);
    value = ((value >> 2n) & 0x3333_3333_3333_3333n) | ((value & 0x3333_3333_3333_3333n) << 2n);
    return ((value >> 1n) & 0x5555_5555_5555_5555n) | ((value & 0x5555_5555_5555_5555n) << 1n);
  }
  reverseBytes(a: bigint): bigint {
    let value = ((a >> 8n) & 0x00ff_00ff_00ff_00ffn) | ((a & 0x00ff_00ff_00ff_00ffn) << 8n);
    value = ((value >> 16n) & 0x0000_ffff_0000_ffffn) | ((value & 0x0000_ffff_0000_ffffn) << 16n);
    return (value >> 32n) | ((value & MASK32) << 32n);
  }
  crc32(accumulator: bigint, data: bigint, bytes: Bytes, castagnoli: boolean): bigint {
    return BigInt(crc32Of(Number(accumulator), data, bytes, castagnoli));
  }

  equal(a: bigint, b: bigint): boolean { return a === b; }
  invert(a: boolean): boolean { return !a; }
  select(condition: boolean, whenTrue: bigint, whenFalse: bigint): bigint { return condition ? whenTrue : whenFalse; }

  flags(): bigint { return this.words[Word.NZCV]!; }
  setFlags(nzcv: bigint): void { this.words[Word.NZCV] = nzcv; }
  carry(): bigint { return (this.ints[2 * Word.NZCV]! & 2) === 0 ? 0n : 1n; }
  flagsOfAdd(wide: number, a: bigint, b: bigint): bigint { return this.flagsOfAddCarry(wide, a, b, 0n); }
  flagsOfSubtract(wide: number, a: bigint, b: bigint): bigint {
    if (wide === 0) {
      const left = Number(a), right = Number(b);
      const result = (left - right) | 0;
      return FLAGS[(result < 0 ? 8 : 0) | (result === 0 ? 4 : 0) | (left >= right ? 2 : 0) | (((left ^ right) & (left ^ result)) < 0 ? 1 : 0)]!;
    }
    const result = BigInt.asUintN(64, a - b);
    return FLAGS[(result >= SIGN64 ? 8 : 0) | (result === 0n ? 4 : 0) | (a >= b ? 2 : 0) | (((a ^ b) & (a ^ result)) >= SIGN64 ? 1 : 0)]!;
  }
  flagsOfAddCarry(wide: number, a: bigint, b: bigint, carry: bigint): bigint {
    if (wide === 0) {
      const left = Number(a), right = Number(b);
      const sum = left + right + Number(carry);
      const result = sum | 0;
      return FLAGS[(result < 0 ? 8 : 0) | (result === 0 ? 4 : 0) | (sum > 0xffff_ffff ? 2 : 0) | (((left ^ result) & (right ^ result)) < 0 ? 1 : 0)]!;
    }
    const sum = a + b + carry;
    const result = BigInt.asUintN(64, sum);
    return FLAGS[(result >= SIGN64 ? 8 : 0) | (result === 0n ? 4 : 0) | (sum > MASK64 ? 2 : 0) | (((a ^ result) & (b ^ result)) >= SIGN64 ? 1 : 0)]!;
  }
  flagsOfLogical(wide: number, result: bigint): bigint {
    if (result === 0n) return 4n;
    return (wide === 0 ? result >= 0x8000_0000n : result >= SIGN64) ? 8n : 0n;
  }
  condition(code: number): boolean {
    return ((CONDITIONS[code]! >> this.ints[2 * Word.NZCV]!) & 1) !== 0;
  }

  load(address: bigint, bytes: Bytes, access: Access): bigint { return memory.loadMemory(this.core, address, bytes, access); }
  store(address: bigint, bytes: Bytes, value: bigint, access: Access): void { memory.storeMemory(this.core, address, bytes, value, access); }
  storePair(address: bigint, bytes: 4 | 8, first: bigint, second: bigint, access: Access): void { memory.storePair(this.core, address, bytes, first, second, access); }
  loadExclusive(address: bigint, bytes: Bytes, access: Access): bigint { return memory.loadExclusive(this.core, address, bytes, access); }
  loadExclusivePair(address: bigint, access: Access): readonly [bigint, bigint] { return memory.loadExclusivePair(this.core, address, 8, access); }
  storeExclusive(address: bigint, bytes: Bytes, value: bigint, access: Access): bigint { return memory.storeExclusive(this.core, address, bytes, value, access) ? 0n : 1n; }
  storeExclusivePair(address: bigint, low: bigint, high: bigint, access: Access): bigint { return memory.storeExclusivePair(this.core, address, 8, low, high, access) ? 0n : 1n; }
  clearExclusive(): void { memory.clearExclusive(this.core); }
  atomic(operation: AtomicOperation, address: bigint, bytes: Bytes, operand: bigint, access: Access): bigint {
    const before = memory.loadMemory(this.core, address, bytes, access);
    memory.storeMemory(this.core, address, bytes, combine(operation, bytes, before, operand), access);
    return before;
  }
  /** A comparison that fails stores nothing; the write permission is needed all the same (the load is `atomic`). */
  compareAndSwap(address: bigint, bytes: Bytes, expected: bigint, replacement: bigint, access: Access): bigint {
    const before = memory.loadMemory(this.core, address, bytes, access);
    if (before === BigInt.asUintN(8 * bytes, expected)) memory.storeMemory(this.core, address, bytes, replacement, access);
    return before;
  }
  compareAndSwapPair(address: bigint, expected: readonly [bigint, bigint], replacement: readonly [bigint, bigint], access: Access): readonly [bigint, bigint] {
    const [low, high] = memory.loadPair(this.core, address, 8, access);
    if (low === expected[0] && high === expected[1]) memory.storePair(this.core, address, 8, replacement[0], replacement[1], access);
    return [low, high];
  }

  /** AArch64.BranchAddr matters only where the top byte is not the sign extension of bit 55. */
  jump(target: bigint): void {
    this.words[Word.PC] = target;
    const top = this.ints[PC_HIGH]! >> 23;
    if (top !== 0 && top !== -1) this.words[Word.PC] = branchAddress(this.core, target);
    this.jumped = true;
  }
  /** In 32-bit halves where nothing is carried between them, which is nearly always. */
  jumpBy(offset: number): void {
    const low = (this.ints[PC_LOW]! >>> 0) + offset;
    if (low >= 0 && low <= 0xffff_ffff) {
      this.ints[PC_LOW] = low | 0;
      this.jumped = true;
    } else this.jump(this.pc(offset));
  }
  jumpWhen(condition: boolean, offset: number): void { if (condition) this.jumpBy(offset); }

  branchType(type: BranchType): void { setBranchType(this.core, type); }
  authenticatePointer(operation: PointerOperation, pointer: bigint, modifier: bigint): bigint { return authenticatePointer(this.core, operation, pointer, modifier); }

  readSystemRegister(encoding: number, rt: number): bigint { return readSystemRegister(this.core, encoding, rt); }
  writeSystemRegister(encoding: number, value: bigint, rt: number): void { writeSystemRegister(this.core, encoding, value, rt); }
  /** SYSL has no instruction with a result here: whatever it names that exists gives zero. */
  systemInstruction(encoding: number, value: bigint, rt: number, hasResult: boolean): bigint {
    systemInstruction(this.core, encoding, value, rt, hasResult);
    return 0n;
  }
  setPstateField(op1: number, crm: number, op2: number): void { msrImmediate(this.core, op1, crm, op2); }
  /** Memory is sequentially consistent and system registers act at once, so that barriers have nothing to wait for. */
  barrier(kind: 'DMB' | 'DSB' | 'ISB' | 'SB' | 'ESB'): void { if (kind === 'ESB') errorBarrier(this.core); }
  waitForInterrupt(until?: Timeout): void { exception.waitForInterrupt(this.core, until); }
  waitForEvent(until?: Timeout): void { exception.waitForEvent(this.core, until); }
  sendEvent(local: boolean): void {
    if (local) exception.setEvent(this.core);
    else exception.sendEvent(this.core);
  }
  except(kind: Exception, immediate: number): void {
    switch (kind) {
      case 'supervisor-call': return exception.supervisorCall(this.core, immediate);
      case 'hypervisor-call': return exception.hypervisorCall(this.core, immediate);
      case 'secure-monitor-call': return exception.secureMonitorCall(this.core, immediate);
      case 'breakpoint': return exception.breakpoint(this.core, immediate);
      // HLT without halting debug.
      case 'halt': return exception.undefinedInstruction(this.core);
    }
  }
  exceptionReturn(key?: PointerKey): void {
    exceptionReturn(this.core, key);
    this.jumped = true;
  }
  undefinedInstruction(): void { exception.undefinedInstruction(this.core); }
  hole(what: string): void {
    const { core, words } = this;
    const pc = words[Word.PC]!;
    const word = memory.fetchInstruction(core);
    words[Word.POWER] = BigInt(Power.HALTED);
    core.end = { type: 'hole', what, word, pc, el: elOf(core) };
    throw exception.UNWIND;
  }
}

/** Small numbers as bigints, for the same reason as FLAGS. */
const SMALL: readonly bigint[] = Array.from({ length: 4096 }, (_, value) => BigInt(value));

/** NZCV values as bigints, so that none is allocated. */
const FLAGS: readonly bigint[] = Array.from({ length: 16 }, (_, nzcv) => BigInt(nzcv));

function combine(operation: AtomicOperation, bytes: Bytes, before: bigint, operand: bigint): bigint {
  const width = 8 * bytes;
  const unsigned = BigInt.asUintN(width, operand);
  switch (operation) {
    case 'add': return before + unsigned;
    case 'clear': return before & ~unsigned;
    case 'exclusive-or': return before ^ unsigned;
    case 'set': return before | unsigned;
    case 'signed-maximum': return BigInt.asIntN(width, before) > BigInt.asIntN(width, operand) ? before : unsigned;
    case 'signed-minimum': return BigInt.asIntN(width, before) < BigInt.asIntN(width, operand) ? before : unsigned;
    case 'unsigned-maximum': return before > unsigned ? before : unsigned;
    case 'unsigned-minimum': return before < unsigned ? before : unsigned;
    case 'swap': return unsigned;
  }
}
