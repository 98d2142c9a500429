/** Writes the bytes of a WebAssembly function body: instructions by their names in the specification, locals by number. */

export const I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c, V128 = 0x7b;
export type ValueType = typeof I32 | typeof I64 | typeof F32 | typeof F64 | typeof V128;
/** Block type: no result. */
export const VOID = 0x40;

/** One-byte opcodes without immediates. */
export const Op = {
  unreachable: 0x00, return: 0x0f, drop: 0x1a, select: 0x1b, else: 0x05, end: 0x0b,
  i32_eqz: 0x45, i32_eq: 0x46, i32_ne: 0x47, i32_lt_s: 0x48, i32_lt_u: 0x49, i32_gt_s: 0x4a, i32_gt_u: 0x4b, i32_le_s: 0x4c, i32_le_u: 0x4d, i32_ge_s: 0x4e, i32_ge_u: 0x4f,
  i64_eqz: 0x50, i64_eq: 0x51, i64_ne: 0x52, i64_lt_s: 0x53, i64_lt_u: 0x54, i64_gt_s: 0x55, i64_gt_u: 0x56, i64_le_s: 0x57, i64_le_u: 0x58, i64_ge_s: 0x59, i64_ge_u: 0x5a,
  f32_eq: 0x5b, f32_ne: 0x5c, f32_lt: 0x5d, f32_gt: 0x5e, f32_le: 0x5f, f32_ge: 0x60, f64_eq: 0x61, f64_ne: 0x62, f64_lt: 0x63, f64_gt: 0x64, f64_le: 0x65, f64_ge: 0x66,
  i32_clz: 0x67, i32_ctz: 0x68, i32_popcnt: 0x69, i32_add: 0x6a, i32_sub: 0x6b, i32_mul: 0x6c, i32_div_s: 0x6d, i32_div_u: 0x6e, i32_rem_s: 0x6f, i32_rem_u: 0x70,
  i32_and: 0x71, i32_or: 0x72, i32_xor: 0x73, i32_shl: 0x74, i32_shr_s: 0x75, i32_shr_u: 0x76, i32_rotl: 0x77, i32_rotr: 0x78,
  i64_clz: 0x79, i64_ctz: 0x7a, i64_popcnt: 0x7b, i64_add: 0x7c, i64_sub: 0x7d, i64_mul: 0x7e, i64_div_s: 0x7f, i64_div_u: 0x80, i64_rem_s: 0x81, i64_rem_u: 0x82,
  i64_and: 0x83, i64_or: 0x84, i64_xor: 0x85, i64_shl: 0x86, i64_shr_s: 0x87, i64_shr_u: 0x88, i64_rotl: 0x89, i64_rotr: 0x8a,
  f32_abs: 0x8b, f32_neg: 0x8c, f32_ceil: 0x8d, f32_floor: 0x8e, f32_trunc: 0x8f, f32_nearest: 0x90, f32_sqrt: 0x91, f32_add: 0x92, f32_sub: 0x93, f32_mul: 0x94, f32_div: 0x95,
  f64_abs: 0x99, f64_neg: 0x9a, f64_ceil: 0x9b, f64_floor: 0x9c, f64_trunc: 0x9d, f64_nearest: 0x9e, f64_sqrt: 0x9f, f64_add: 0xa0, f64_sub: 0xa1, f64_mul: 0xa2, f64_div: 0xa3,
  f32_min: 0x96, f32_max: 0x97, f64_min: 0xa4, f64_max: 0xa5, i64_trunc_f64_s: 0xb0,
  i32_wrap_i64: 0xa7, i64_extend_i32_s: 0xac, i64_extend_i32_u: 0xad, f32_convert_i64_s: 0xb4, f32_convert_i64_u: 0xb5, f32_demote_f64: 0xb6, f64_convert_i32_s: 0xb7, f64_convert_i32_u: 0xb8,
  f64_convert_i64_s: 0xb9, f64_convert_i64_u: 0xba, f64_promote_f32: 0xbb, i32_reinterpret_f32: 0xbc, i64_reinterpret_f64: 0xbd, f32_reinterpret_i32: 0xbe, f64_reinterpret_i64: 0xbf,
  i32_extend8_s: 0xc0, i32_extend16_s: 0xc1, i64_extend8_s: 0xc2, i64_extend16_s: 0xc3, i64_extend32_s: 0xc4,
} as const;

/** Loads and stores: opcode and log2 of the bytes. */
export const Access = {
  i32_load: [0x28, 2], i64_load: [0x29, 3], i32_load8_u: [0x2d, 0], i32_load16_u: [0x2f, 1], i64_load8_u: [0x31, 0], i64_load16_u: [0x33, 1], i64_load32_s: [0x34, 2], i64_load32_u: [0x35, 2],
  i32_store: [0x36, 2], i64_store: [0x37, 3], i32_store8: [0x3a, 0], i64_store8: [0x3c, 0], i64_store16: [0x3d, 1], i64_store32: [0x3e, 2],
} as const;

/** Opcodes behind the SIMD prefix. */
export const Simd = {
  v128_load: 0x00, v128_store: 0x0b, v128_const: 0x0c, i8x16_shuffle: 0x0d, i8x16_swizzle: 0x0e,
  i8x16_splat: 0x0f, i16x8_splat: 0x10, i32x4_splat: 0x11, i64x2_splat: 0x12,
  i8x16_extract_lane_u: 0x16, i8x16_replace_lane: 0x17, i16x8_extract_lane_u: 0x19, i16x8_replace_lane: 0x1a, i32x4_extract_lane: 0x1b, i32x4_replace_lane: 0x1c, i64x2_extract_lane: 0x1d, i64x2_replace_lane: 0x1e,
  i8x16_eq: 0x23, i8x16_gt_s: 0x27, i8x16_gt_u: 0x28, i16x8_eq: 0x2d, i16x8_gt_s: 0x31, i16x8_gt_u: 0x32, i32x4_eq: 0x37, i32x4_gt_s: 0x3b, i32x4_gt_u: 0x3c,
  v128_not: 0x4d, v128_and: 0x4e, v128_andnot: 0x4f, v128_or: 0x50, v128_xor: 0x51, v128_bitselect: 0x52, v128_any_true: 0x53,
  i8x16_abs: 0x60, i8x16_neg: 0x61, i8x16_popcnt: 0x62, i8x16_shl: 0x6b, i8x16_shr_s: 0x6c, i8x16_shr_u: 0x6d, i8x16_add: 0x6e, i8x16_add_sat_s: 0x6f, i8x16_add_sat_u: 0x70,
  i8x16_sub: 0x71, i8x16_sub_sat_s: 0x72, i8x16_sub_sat_u: 0x73, i8x16_min_s: 0x76, i8x16_min_u: 0x77, i8x16_max_s: 0x78, i8x16_max_u: 0x79, i8x16_avgr_u: 0x7b,
  i16x8_abs: 0x80, i16x8_neg: 0x81, i16x8_extend_low_i8x16_s: 0x87, i16x8_extend_low_i8x16_u: 0x89, i16x8_shl: 0x8b, i16x8_shr_s: 0x8c, i16x8_shr_u: 0x8d, i16x8_add: 0x8e, i16x8_add_sat_s: 0x8f, i16x8_add_sat_u: 0x90,
  i16x8_sub: 0x91, i16x8_sub_sat_s: 0x92, i16x8_sub_sat_u: 0x93, i16x8_mul: 0x95, i16x8_min_s: 0x96, i16x8_min_u: 0x97, i16x8_max_s: 0x98, i16x8_max_u: 0x99, i16x8_avgr_u: 0x9b,
  i32x4_abs: 0xa0, i32x4_neg: 0xa1, i32x4_extend_low_i16x8_s: 0xa7, i32x4_extend_low_i16x8_u: 0xa9, i32x4_shl: 0xab, i32x4_shr_s: 0xac, i32x4_shr_u: 0xad, i32x4_add: 0xae,
  i32x4_sub: 0xb1, i32x4_mul: 0xb5, i32x4_min_s: 0xb6, i32x4_min_u: 0xb7, i32x4_max_s: 0xb8, i32x4_max_u: 0xb9,
  i64x2_abs: 0xc0, i64x2_neg: 0xc1, i64x2_extend_low_i32x4_s: 0xc7, i64x2_extend_low_i32x4_u: 0xc9, i64x2_shl: 0xcb, i64x2_shr_s: 0xcc, i64x2_shr_u: 0xcd, i64x2_add: 0xce, i64x2_sub: 0xd1, i64x2_mul: 0xd5,
  i64x2_eq: 0xd6, i64x2_gt_s: 0xd9,
} as const;

/** Buffers that are not in use, and how large one is to begin with and at most to be kept. */
const spare: Uint8Array[] = [];
const BYTES = 4096;
const SPARE_BYTES = 1 << 18;

/** A function body in the making. Parameters are locals 0 to n - 1; `local` makes more. */
export class Code {
  bytes: Uint8Array = spare.pop() ?? new Uint8Array(BYTES);
  length = 0;
  readonly parameters: number;
  readonly locals: ValueType[] = [];
  /** Locals that were given back, by type, and those given out since `recent`. */
  private readonly idle: Partial<Record<ValueType, number[]>> = {};
  private since: number[] = [];
  /** Of the locals below 32 those that were read, as bits. */
  private read = 0;

  constructor(parameters: number) {
    this.parameters = parameters;
  }

  /** Whether a local, below 32, was read. */
  uses(local: number): boolean { return (this.read & (1 << local)) !== 0; }
  /** Nothing more is written here, nor read from what was: the bytes may be another's. */
  free(): void {
    if (this.bytes.length <= SPARE_BYTES) spare.push(this.bytes);
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) {
      const grown = new Uint8Array(2 * this.length);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes[this.length++] = value;
  }
  /** Unsigned LEB128 of a number below 2^32. */
  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }
  /** Signed LEB128 of a 32-bit number. */
  signed(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) { this.byte(low); return; }
      this.byte(low | 0x80);
    }
  }
  signed64(value: bigint): void {
    const narrow = Number(value);
    if (narrow >= -0x8000_0000 && narrow <= 0x7fff_ffff) { this.signed(narrow); return; }
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) { this.byte(low); return; }
      this.byte(low | 0x80);
    }
  }

  /** A local that nobody has: a new one, or one that was given back, whatever it holds. */
  local(type: ValueType): number {
    const local = this.idle[type]?.pop() ?? this.parameters + this.locals.push(type) - 1;
    this.since.push(local);
    return local;
  }
  /** The locals given out since the last time. */
  recent(): readonly number[] {
    const { since } = this;
    this.since = [];
    return since;
  }
  /** Nothing reads a local any more before it is set. */
  giveBack(local: number): void { (this.idle[this.locals[local - this.parameters]!] ??= []).push(local); }

  op(opcode: number): void { this.byte(opcode); }
  get(local: number): void {
    if (local < 32) this.read |= 1 << local;
    this.byte(0x20);
    this.unsigned(local);
  }
  set(local: number): void { this.byte(0x21); this.unsigned(local); }
  tee(local: number): void { this.byte(0x22); this.unsigned(local); }
  /** Takes the value on the stack into a new local. */
  keep(type: ValueType): number {
    const local = this.local(type);
    this.set(local);
    return local;
  }
  i32(value: number): void { this.byte(0x41); this.signed(value); }
  i64(value: bigint): void { this.byte(0x42); this.signed64(BigInt.asIntN(64, value)); }
  f64(value: number): void {
    this.byte(0x44);
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setFloat64(0, value, true);
    for (let index = 0; index < 8; index++) this.byte(bytes.getUint8(index));
  }
  /** A load or store at the address on the stack plus `offset`. Alignment is a hint: it is given as 1. */
  access([opcode]: readonly [number, number], offset: number): void { this.byte(opcode); this.byte(0); this.unsigned(offset); }
  simd(opcode: number): void { this.byte(0xfd); this.unsigned(opcode); }
  simdAccess(opcode: number, offset: number): void { this.simd(opcode); this.byte(0); this.unsigned(offset); }
  simdLane(opcode: number, lane: number): void { this.simd(opcode); this.byte(lane); }
  block(type: number = VOID): void { this.byte(0x02); this.byte(type); }
  loop(): void { this.byte(0x03); this.byte(VOID); }
  if(type: number = VOID): void { this.byte(0x04); this.byte(type); }
  else(): void { this.byte(Op.else); }
  end(): void { this.byte(Op.end); }
  branch(depth: number): void { this.byte(0x0c); this.unsigned(depth); }
  branchIf(depth: number): void { this.byte(0x0d); this.unsigned(depth); }
  /** Jump by the number on the stack to one of `depths`, or to the last. */
  branchTable(depths: readonly number[]): void {
    this.byte(0x0e);
    this.unsigned(depths.length - 1);
    for (const depth of depths) this.unsigned(depth);
  }
  call(index: number): void { this.byte(0x10); this.unsigned(index); }
  tailCall(index: number): void { this.byte(0x12); this.unsigned(index); }
  tailCallIndirect(type: number, table: number): void { this.byte(0x13); this.unsigned(type); this.unsigned(table); }

  /** The body as the code section holds it, size first; with `beginning` before what was written here. Frees both. */
  finish(beginning = new Code(0)): Uint8Array {
    const head = new Code(0);
    const runs: [number, ValueType][] = [];
    for (const type of this.locals) {
      const last = runs.at(-1);
      if (last !== undefined && last[1] === type) last[0] += 1;
      else runs.push([1, type]);
    }
    head.unsigned(runs.length);
    for (const [count, type] of runs) { head.unsigned(count); head.byte(type); }
    const size = new Code(0);
    const all = head.length + beginning.length + this.length + 1;
    size.unsigned(all);
    const body = new Uint8Array(size.length + all);
    body.set(size.bytes.subarray(0, size.length));
    body.set(head.bytes.subarray(0, head.length), size.length);
    body.set(beginning.bytes.subarray(0, beginning.length), size.length + head.length);
    body.set(this.bytes.subarray(0, this.length), size.length + head.length + beginning.length);
    body[body.length - 1] = Op.end;
    for (const done of [head, size, beginning, this]) done.free();
    return body;
  }
}
