/** The shape of an instruction: the sequence of builder operations that its semantics makes, with register numbers, constants and offsets taken out as operands. */

import { PAGE_BYTES, RECORD_BYTES } from '../../memory/memory.ts';
import type { AtomicOperation, BranchType, Exception, PointerOperation } from '../builder.ts';
import type { Access, Bytes } from '../memory-access.ts';
import type { Fields, Semantics } from '../row.ts';
import { Word } from '../state.ts';
import type { CipherOperation, FloatBinary, FloatComparison, FloatSize, FloatUnary, Lane, LaneOperation, LaneShift, LaneUnary, Rounding, VectorBuilder } from '../vector-builder.ts';
import { hasFloatBinary, hasFloatRounding, hasLanes, hasLanesUnary } from './forms.ts';
import { OPERANDS_MAX } from './layout.ts';
import { DAIF, isMask, operationPlace, readPlace } from './permitted.ts';

/** Instructions of one shape share a handler, which finds their operands in the record. */
export interface Shape {
  /** Equal for instructions of one shape. */
  readonly key: string;
  /** Signed 32-bit words. */
  readonly operands: readonly number[];
  /** The operations need what only the reference engine does: the handler calls it. */
  readonly byReference: boolean;
  /** A region, which needs no operands in a record, may have it all the same. */
  readonly translatable: boolean;
  /** Nothing is known to be executed behind it: an unconditional branch, an exception, an exception return. */
  readonly ends: boolean;
  /** Where the instruction may go but to the next: by an offset, always or when a condition holds, or to an address that it computes. */
  readonly branch: Branch | undefined;
  /** Whether constants are part of the shape, since there were too many for a record. */
  readonly baked: boolean;
  /** Whether it sets NZCV. */
  readonly setsFlags: boolean;
  /** How many builder operations it takes: what its code costs. */
  readonly operations: number;
}

export type Branch = { readonly type: 'always' | 'when'; readonly offset: number } | { readonly type: 'computed' };

/** Words of the block that x(31) and setX(31) stand for: word 31 is always 0, the other is made 0 again after each run. */
export const ZERO_WORD = 31;
export const SINK_WORD = 63;

/** The shape of an instruction with `fields` at `offset` in its page. */
export function shapeOf(semantics: Semantics, fields: Fields, offset: number): Shape {
  const plain = new Recorder(offset, false);
  semantics(plain, fields);
  if (!plain.byReference && plain.operands.length > OPERANDS_MAX) {
    const baked = new Recorder(offset, true);
    semantics(baked, fields);
    return baked.operands.length <= OPERANDS_MAX ? baked.shape() : { ...baked.shape(), key: 'reference', operands: [], byReference: true };
  }
  return plain.shape();
}

/** Access descriptors by number: operands are numbers, which say all that a descriptor does, in any process. */
const ACCESSES = new Map<number, Access>();
const accessNumbers = new Map<Access, number>();

export function accessNumber(access: Access): number {
  let number = accessNumbers.get(access);
  if (number === undefined) {
    const { unprivileged, exclusive, acquire, release, atomic, alignment = 0, element = 0, syndrome } = access;
    const bits = [unprivileged, exclusive, acquire, release, atomic, syndrome !== undefined, syndrome?.sf, syndrome?.sse].reduce((sum, bit, at) => sum | (Number(bit === true) << at), 0);
    number = bits | (alignment << 8) | (element << 13) | ((syndrome?.srt ?? 0) << 17);
    accessNumbers.set(access, number);
  }
  return number;
}

export function accessOf(number: number): Access {
  let access = ACCESSES.get(number);
  if (access === undefined) {
    const bit = (at: number): boolean => ((number >> at) & 1) !== 0;
    const [alignment, element] = [(number >> 8) & 31, (number >> 13) & 15];
    access = {
      unprivileged: bit(0), exclusive: bit(1), acquire: bit(2), release: bit(3), atomic: bit(4), ...(alignment !== 0 && { alignment: alignment as 8 | 16 }), ...(element !== 0 && { element: element as Bytes }),
      ...(bit(5) && { syndrome: { srt: (number >> 17) & 31, sf: bit(6), sse: bit(7) } }),
    };
    ACCESSES.set(number, access);
  }
  return access;
}

/** Whether an access takes the fast path when its page is in the array of its mode. */
export const isFast = (access: Access): boolean =>
  access.unprivileged !== true && access.atomic !== true && access.exclusive !== true && access.alignment === undefined;

/** Ordered accesses have alignment rules of their own: unaligned, they are not fast. */
export const isOrdered = (access: Access): boolean => access.acquire === true || access.release === true;

/** Whether a constant is part of the shape whatever it is; the others are operands. */
export const isBaked = (baked: boolean, value: number): boolean => baked || value === 0;

/** Whether a 64-bit constant fits an operand. */
export const isNarrow = (value: bigint): boolean => BigInt.asUintN(64, BigInt(BigInt.asIntN(32, value))) === value;

/** Values are numbered in the order in which they come up. */
class Recorder implements VectorBuilder<number, number, number> {
  readonly operands: number[] = [];
  byReference = false;
  ends = false;
  branch: Branch | undefined;
  private setsFlags = false;
  private readonly baked: boolean;
  private readonly offset: number;
  private text = '';
  private values = 0;

  constructor(offset: number, baked: boolean) {
    this.offset = offset;
    this.baked = baked;
  }

  shape(): Shape {
    const { operands, byReference, ends, branch, baked, setsFlags, values: operations } = this;
    if (byReference) return { key: ends ? 'reference, ends' : 'reference', operands: [], byReference, translatable: false, ends, branch: undefined, baked, setsFlags: false, operations };
    return { key: this.text, operands, byReference, translatable: true, ends, branch, baked, setsFlags, operations };
  }

  private note(operation: string, ...values: readonly (number | string | boolean)[]): number {
    this.text += `${operation} ${values.join(' ')};`;
    return this.values++;
  }
  private reference(): number {
    this.byReference = true;
    return this.values++;
  }

  x(register: number): number {
    this.operands.push((register === 31 ? ZERO_WORD : register) * 8);
    return this.note('x');
  }
  setX(register: number, value: number): void {
    this.operands.push((register === 31 ? SINK_WORD : register) * 8);
    this.note('setX', value);
  }
  stackPointer(): number { return this.note('sp'); }
  setStackPointer(value: number): void { this.note('setSp', value); }
  alignedStackPointer(): number { return this.note('alignedSp'); }
  pc(offset: number): number {
    this.operands.push(offset);
    return this.note('pc');
  }
  number(value: number): number {
    if (isBaked(this.baked, value)) return this.note('number', value);
    if ((value | 0) !== value) return this.constant(BigInt.asUintN(64, BigInt(value)));
    this.operands.push(value);
    return this.note('number');
  }
  constant(value: bigint): number {
    if (this.baked) return this.note('constant', value.toString(16));
    if (isNarrow(value)) {
      this.operands.push(Number(BigInt.asIntN(32, value)));
      return this.note('number');
    }
    this.operands.push(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    return this.note('constant');
  }
  add(a: number, b: number): number { return this.note('add', a, b); }
  subtract(a: number, b: number): number { return this.note('subtract', a, b); }
  multiply(a: number, b: number): number { return this.note('multiply', a, b); }
  multiplyHighSigned(a: number, b: number): number { return this.note('smulh', a, b); }
  multiplyHighUnsigned(a: number, b: number): number { return this.note('umulh', a, b); }
  divideSigned(a: number, b: number): number { return this.note('sdiv', a, b); }
  divideUnsigned(a: number, b: number): number { return this.note('udiv', a, b); }
  and(a: number, b: number): number { return this.note('and', a, b); }
  or(a: number, b: number): number { return this.note('or', a, b); }
  exclusiveOr(a: number, b: number): number { return this.note('xor', a, b); }
  not(a: number): number { return this.note('not', a); }
  shiftLeft(a: number, amount: number): number { return this.note('shl', a, amount); }
  shiftRight(a: number, amount: number): number { return this.note('shr', a, amount); }
  shiftRightSigned(a: number, amount: number): number { return this.note('sar', a, amount); }
  rotateRight(a: number, amount: number): number { return this.note('ror', a, amount); }
  zeroExtend(a: number, width: 8 | 16 | 32): number { return this.note('zext', a, width); }
  signExtend(a: number, width: 8 | 16 | 32): number { return this.note('sext', a, width); }
  countLeadingZeros(a: number): number { return this.note('clz', a); }
  reverseBits(a: number): number { return this.note('rbit', a); }
  reverseBytes(a: number): number { return this.note('rev', a); }
  crc32(accumulator: number, data: number, bytes: Bytes, castagnoli: boolean): number { return this.note('crc32', accumulator, data, bytes, castagnoli); }

  equal(a: number, b: number): number { return this.note('equal', a, b); }
  invert(a: number): number { return this.note('invert', a); }
  select(condition: number, whenTrue: number, whenFalse: number): number { return this.note('select', condition, whenTrue, whenFalse); }
  flags(): number { return this.note('flags'); }
  setFlags(nzcv: number): void {
    this.setsFlags = true;
    this.note('setFlags', nzcv);
  }
  carry(): number { return this.note('carry'); }
  flagsOfAdd(wide: number, a: number, b: number): number { return this.note('flagsOfAdd', wide, a, b); }
  flagsOfSubtract(wide: number, a: number, b: number): number { return this.note('flagsOfSubtract', wide, a, b); }
  flagsOfAddCarry(wide: number, a: number, b: number, carry: number): number { return this.note('flagsOfAddCarry', wide, a, b, carry); }
  flagsOfLogical(wide: number, result: number): number { return this.note('flagsOfLogical', wide, result); }
  condition(code: number): number { return this.note('condition', code); }

  private access(access: Access): boolean {
    if (!isFast(access)) {
      this.byReference = true;
      return false;
    }
    this.operands.push(accessNumber(access));
    return true;
  }
  load(address: number, bytes: Bytes, access: Access): number {
    this.access(access);
    return this.note(isOrdered(access) ? 'load ordered' : 'load', address, bytes);
  }
  store(address: number, bytes: Bytes, value: number, access: Access): void {
    this.access(access);
    this.note(isOrdered(access) ? 'store ordered' : 'store', address, bytes, value);
  }
  storePair(address: number, bytes: 4 | 8, first: number, second: number, access: Access): void {
    this.access(access);
    this.note('storePair', address, bytes, first, second);
  }
  loadExclusive(address: number, bytes: Bytes): number { return this.note('ldx', address, bytes); }
  loadExclusivePair(address: number): readonly [number, number] { return [this.note('ldxp', address), this.values++]; }
  storeExclusive(address: number, bytes: Bytes, value: number): number { return this.note('stx', address, bytes, value); }
  storeExclusivePair(address: number, low: number, high: number): number { return this.note('stxp', address, low, high); }
  clearExclusive(): void { this.note('clrex'); }
  atomic(operation: AtomicOperation, address: number, bytes: Bytes, operand: number): number { return this.note(`atomic ${operation}`, address, bytes, operand); }
  compareAndSwap(address: number, bytes: Bytes, expected: number, replacement: number): number { return this.note('cas', address, bytes, expected, replacement); }
  compareAndSwapPair(address: number, expected: readonly [number, number], replacement: readonly [number, number]): readonly [number, number] {
    return [this.note('casp', address, ...expected, ...replacement), this.values++];
  }

  branchType(type: BranchType): void { this.note('branch type', type); }
  jump(target: number): void {
    this.ends = true;
    this.branch = { type: 'computed' };
    this.note('jump', target);
  }
  jumpBy(offset: number): void {
    this.ends = true;
    this.branch = { type: 'always', offset };
    this.note(this.near(offset) ? 'jumpBy near' : 'jumpBy far');
  }
  jumpWhen(condition: number, offset: number): void {
    this.branch = { type: 'when', offset };
    this.note(this.near(offset) ? 'jumpWhen near' : 'jumpWhen far', condition);
  }
  /** Notes a branch's offset: to an instruction in the same page as the distance of their records. */
  private near(offset: number): boolean {
    const target = this.offset + offset;
    const near = target >= 0 && target < PAGE_BYTES;
    this.operands.push(near ? offset * (RECORD_BYTES / 4) : offset);
    return near;
  }

  authenticatePointer({ act, key }: PointerOperation, pointer: number, modifier: number): number { return this.note(`pointer ${act} ${key}`, pointer, modifier); }
  readSystemRegister(encoding: number): number {
    if (encoding === DAIF) return this.note('daif');
    const place = readPlace(encoding);
    return place < 0 ? this.reference() : this.note('mrs', place);
  }
  writeSystemRegister(encoding: number, value: number): void {
    if (encoding === DAIF) this.note('set daif', value);
    else this.reference();
  }
  systemInstruction(encoding: number, value: number): number {
    const place = operationPlace(encoding);
    return place < 0 ? this.reference() : this.note('operate', place, value);
  }
  setPstateField(op1: number, crm: number, op2: number): void {
    if (isMask(op1, op2)) this.note('mask', op2, crm);
    else this.reference();
  }
  /** Memory is sequentially consistent and system registers act at once, so that barriers have nothing to wait for. */
  barrier(kind: 'DMB' | 'DSB' | 'ISB' | 'SB' | 'ESB'): void {
    if (kind === 'ESB') this.reference();
    else this.note('barrier');
  }
  waitForInterrupt(): void { this.reference(); }
  waitForEvent(): void { this.reference(); }
  sendEvent(): void { this.reference(); }
  except(_kind: Exception): void {
    this.ends = true;
    this.reference();
  }
  exceptionReturn(): void {
    this.ends = true;
    this.reference();
  }
  undefinedInstruction(): void {
    this.ends = true;
    this.reference();
  }
  hole(): void {
    this.ends = true;
    this.reference();
  }

  checkFloatingPoint(): void { this.note('fp'); }
  private vectorOperand(register: number): void { this.operands.push((Word.VECTOR + 2 * register) * 8); }
  vector(register: number): number {
    this.vectorOperand(register);
    return this.note('q');
  }
  setVector(register: number, value: number): void {
    this.vectorOperand(register);
    this.note('setQ', value);
  }
  vectorLow(register: number): number {
    this.vectorOperand(register);
    return this.note('d');
  }
  setVectorLow(register: number, value: number): void {
    this.vectorOperand(register);
    this.note('setD', value);
  }
  vectorOf(low: number, high: number): number { return this.note('vectorOf', low, high); }
  low(vector: number): number { return this.note('low', vector); }
  high(vector: number): number { return this.note('high', vector); }
  splat(lane: Lane, value: number): number { return this.note('splat', lane, value); }
  lane(lane: Lane, vector: number, index: number): number { return this.note('lane', lane, vector, index); }
  withLane(lane: Lane, vector: number, index: number, value: number): number { return this.note('withLane', lane, vector, index, value); }
  vectorAnd(a: number, b: number): number { return this.note('vand', a, b); }
  vectorOr(a: number, b: number): number { return this.note('vor', a, b); }
  vectorExclusiveOr(a: number, b: number): number { return this.note('vxor', a, b); }
  vectorNot(a: number): number { return this.note('vnot', a); }
  bitSelect(mask: number, ones: number, zeros: number): number { return this.note('bsl', mask, ones, zeros); }
  lanes(operation: LaneOperation, lane: Lane, a: number, b: number): number { return hasLanes(operation, lane) ? this.note(operation, lane, a, b) : this.reference(); }
  lanesUnary(operation: LaneUnary, lane: Lane, a: number): number { return hasLanesUnary(operation, lane) ? this.note(operation, lane, a) : this.reference(); }
  shiftLanes(operation: LaneShift, lane: Lane, a: number, amount: number): number { return this.note(`shift ${operation}`, lane, a, amount); }
  extendLow(lane: 8 | 16 | 32, a: number, signed: boolean): number { return this.note('extend', lane, a, signed); }
  shuffle(a: number, b: number, indices: readonly number[]): number { return this.note('shuffle', a, b, ...indices); }
  lookUp(table: number, indices: number): number { return this.note('lookUp', table, indices); }
  polynomialMultiplyLong(): number { return this.reference(); }
  cipher(_operation: CipherOperation): number { return this.reference(); }
  saturation(differs: number): void { this.note('saturation', differs); }
  loadVector(address: number, access: Access): number {
    if (!isFast(access)) return this.reference();
    return this.note(isOrdered(access) ? 'loadQ ordered' : 'loadQ', address);
  }
  storeVector(address: number, value: number, access: Access): void {
    if (!isFast(access)) this.reference();
    else this.note(isOrdered(access) ? 'storeQ ordered' : 'storeQ', address, value);
  }
  floatBinary(operation: FloatBinary, size: FloatSize, a: number, b: number): number { return hasFloatBinary(operation, size) ? this.note(`float ${operation}`, size, a, b) : this.reference(); }
  floatMultiplyAdd(size: FloatSize, addend: number, a: number, b: number): number { return size === 16 ? this.reference() : this.note('fma', size, addend, a, b); }
  floatUnary(operation: FloatUnary, size: FloatSize, a: number): number { return size === 16 || operation !== 'square-root' ? this.reference() : this.note('sqrt', size, a); }
  floatCompare(size: FloatSize, a: number, b: number): number { return size === 16 ? this.reference() : this.note('fcmp', size, a, b); }
  floatTest(comparison: FloatComparison, size: FloatSize, a: number, b: number): number { return size === 16 ? this.reference() : this.note(`test ${comparison}`, size, a, b); }
  floatRound(size: FloatSize, a: number, rounding: Rounding, exact: boolean, integerBits?: 32 | 64): number {
    return !hasFloatRounding(size, rounding) || integerBits !== undefined ? this.reference() : this.note(`round ${rounding}`, size, a, exact);
  }
  floatConvert(from: FloatSize, to: FloatSize, a: number, rounding: Rounding = 'current'): number {
    return from === 16 || to === 16 || from === to || rounding !== 'current' ? this.reference() : this.note('convert', from, to, a);
  }
  floatToInteger(size: FloatSize, a: number, width: 16 | 32 | 64, signed: boolean, fraction: number, rounding: Rounding): number {
    return !hasFloatRounding(size, rounding) || fraction !== 0 || width === 16 ? this.reference() : this.note(`toInteger ${rounding}`, size, a, width, signed);
  }
  integerToFloat(size: FloatSize, a: number, width: 16 | 32 | 64, signed: boolean, fraction: number): number {
    return size === 16 || fraction !== 0 || width === 16 ? this.reference() : this.note('toFloat', size, a, width, signed);
  }
  floatToJavaScript(): readonly [number, number] { return [this.reference(), this.reference()]; }
  floatToBrain(): number { return this.reference(); }
  brainDot(): number { return this.reference(); }
}
