/** Advanced SIMD that moves elements about: DUP, INS, SMOV, UMOV, EXT, TBL, TBX, ZIP, UZP, TRN, and immediates. */

import { alias, instruction, type Fields, type Form, type Row, type RowOptions, type Semantics } from '../row.ts';
import type { Lane, VectorBuilder } from '../vector-builder.ts';
import { set } from './common.ts';
import { countOf, evens, everywhere, laneOf, odds, pick, put, sizesOtherThan } from './vector.ts';

/** imm5: the lowest one says the size, what is above it is the index i. `source` is INS's second index. */
interface Size { readonly name: 'B' | 'H' | 'S' | 'D'; readonly bits: string; readonly source: string; readonly lane: Lane; readonly register: 'W' | 'X' }
const SIZES: readonly Size[] = [
  { name: 'B', bits: 'iiii 1', source: 'jjjj', lane: 8, register: 'W' }, { name: 'H', bits: 'iii 10', source: 'jjj (0)', lane: 16, register: 'W' },
  { name: 'S', bits: 'ii 100', source: 'jj (0)(0)', lane: 32, register: 'W' }, { name: 'D', bits: 'i 1000', source: 'j (0)(0)(0)', lane: 64, register: 'X' },
];
const noSingle = ({ name }: Size): RowOptions => (name === 'D' ? { unallocated: (f) => f.q === 0 } : {});

const COPY_ROWS: readonly Row[] = SIZES.flatMap((size) => {
  const { name, bits, source, lane, register } = size;
  const element = `<Vn.${name.toLowerCase()}[i]>`;
  const from = <V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields): V => b.lane(lane, b.vector(f.n), f.i);
  return [
    instruction(`DUP (element, vector, ${name})`, `0 q 0 01110000 ${bits} 0 0000 1 nnnnn ddddd`, (b, f) => {
      b.checkFloatingPoint();
      put(b, f, b.splat(lane, from(b, f)), undefined);
    }, `dup <Vd.${name}>, ${element}`, noSingle(size)),
    instruction(`DUP (element, scalar, ${name})`, `01 0 11110000 ${bits} 0 0000 1 nnnnn ddddd`, (b, f) => {
      b.checkFloatingPoint();
      b.setVectorLow(f.d, from(b, f));
    }, [`mov <${name}d>, ${element}`, `dup <${name}d>, ${element}`]),
    instruction(`DUP (general, ${name})`, `0 q 0 01110000 ${bits.replaceAll('i', '(0)')} 0 0001 1 nnnnn ddddd`, (b, f) => {
      b.checkFloatingPoint();
      put(b, f, b.splat(lane, b.x(f.n)), undefined);
    }, `dup <Vd.${name}>, <${register}n>`, noSingle(size)),
    instruction(`INS (element, ${name})`, `0 1 1 01110000 ${bits} 0 ${source} 1 nnnnn ddddd`, (b, f) => {
      b.checkFloatingPoint();
      b.setVector(f.d, b.withLane(lane, b.vector(f.d), f.i, b.lane(lane, b.vector(f.n), f.j)));
    }, ['mov', 'ins'].map((mnemonic) => `${mnemonic} <Vd.${name.toLowerCase()}[i]>, <Vn.${name.toLowerCase()}[j]>`)),
    instruction(`INS (general, ${name})`, `0 1 0 01110000 ${bits} 0 0011 1 nnnnn ddddd`, (b, f) => {
      b.checkFloatingPoint();
      b.setVector(f.d, b.withLane(lane, b.vector(f.d), f.i, b.x(f.n)));
    }, ['mov', 'ins'].map((mnemonic) => `${mnemonic} <Vd.${name.toLowerCase()}[i]>, <${register}n>`)),
    instruction(`UMOV (${name})`, `0 ${name === 'D' ? 1 : 0} 0 01110000 ${bits} 0 0111 1 nnnnn ddddd`, (b, f) => {
      b.checkFloatingPoint();
      b.setX(f.d, from(b, f));
    }, (lane >= 32 ? ['mov', 'umov'] : ['umov']).map((mnemonic) => `${mnemonic} <${register}d>, ${element}`)),
    ...(name === 'D' ? [] : [instruction(`SMOV (${name})`, `0 s 0 01110000 ${bits} 0 0101 1 nnnnn ddddd`, (b, f) => {
      b.checkFloatingPoint();
      set(b, f.s, f.d, b.signExtend(from(b, f), lane as 8 | 16 | 32));
    }, `smov <Rd>, ${element}`, lane === 32 ? { unallocated: (f) => f.s === 0 } : {})]),
  ];
});

const EXTRACT = instruction('EXT', '0 q 1 01110 00 0 mmmmm 0 iiii 0 nnnnn ddddd', (b, f) => {
  b.checkFloatingPoint();
  put(b, f, pick(b, 8, countOf(8, f.q), b.vector(f.n), b.vector(f.m), (index) => index + f.i), undefined);
}, 'ext <Vd.B>, <Vn.B>, <Vm.B>, #<i>', { unallocated: (f) => f.q === 0 && f.i > 7 });

/** Tables of one to four registers from Vn on, in a circle. TBX keeps d's byte where the index names none. */
const table = (registers: number, keeps: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const indices = b.vector(f.m);
  let result = b.lookUp(b.vector(f.n), indices);
  // An index below the part wraps to a great one, which gives zero.
  for (let part = 1; part < registers; part += 1) {
    result = b.vectorOr(result, b.lookUp(b.vector((f.n + part) % 32), b.lanes('subtract', 8, indices, everywhere(b, 8, BigInt(16 * part)))));
  }
  if (keeps) result = b.bitSelect(b.lanes('greater-unsigned', 8, indices, everywhere(b, 8, BigInt(16 * registers - 1))), b.vector(f.d), result);
  put(b, f, result, undefined);
};
const TABLE_ROWS: readonly Row[] = [1, 2, 3, 4].flatMap((registers) => ([['TBL', 0, false], ['TBX', 1, true]] as const).map(([name, op, keeps]) =>
  instruction(`${name} (${registers})`, `0 q 0 01110 00 0 mmmmm 0 ${(registers - 1).toString(2).padStart(2, '0')} ${op} 00 nnnnn ddddd`, table(registers, keeps), `${name.toLowerCase()} <Vd.B>, <list n ${registers} 16b>, <Vm.B>`)));

type Permutation = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, count: number, n: Q, m: Q) => Q;
const PERMUTATIONS: readonly (readonly [name: string, opcode: string, permutation: Permutation])[] = [
  ['UZP1', '001', evens], ['UZP2', '101', odds],
  ['TRN1', '010', (b, lane, count, n, m) => pick(b, lane, count, n, m, (index) => (index & ~1) + (index & 1) * count)],
  ['TRN2', '110', (b, lane, count, n, m) => pick(b, lane, count, n, m, (index) => (index | 1) + (index & 1) * count)],
  ['ZIP1', '011', (b, lane, count, n, m) => pick(b, lane, count, n, m, (index) => (index >> 1) + (index & 1) * count)],
  ['ZIP2', '111', (b, lane, count, n, m) => pick(b, lane, count, n, m, (index) => ((index + count) >> 1) + (index & 1) * count)],
];
const PERMUTE_ROWS: readonly Row[] = PERMUTATIONS.map(([name, opcode, permutation]) => instruction(name, `0 q 0 01110 zz 0 mmmmm 0 ${opcode} 10 nnnnn ddddd`, (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z);
  put(b, f, permutation(b, lane, countOf(lane, f.q), b.vector(f.n), b.vector(f.m)), undefined);
}, `${name.toLowerCase()} <Vd.T>, <Vn.T>, <Vm.T>`, { unallocated: sizesOtherThan('bhsd') }));

// ---- immediates: eight bits i:j, placed by cmode. Arm ARM: AdvSIMDExpandImm --------------------------------------------------------------------------

const byte = (f: Fields): bigint => BigInt(f.i * 32 + f.j);
/** Shifted by bytes (k), and with ones below it for MSL. */
const shifted = (f: Fields): bigint => byte(f) << BigInt(8 * f.k);
const shiftedOnes = (f: Fields): bigint => (byte(f) << BigInt(8 * (f.k + 1))) | ((1n << BigInt(8 * (f.k + 1))) - 1n);
/** Each bit a byte. */
export const bitsAsBytes = (f: Fields): bigint => Array.from({ length: 8 }, (_, index) => ((byte(f) >> BigInt(index)) & 1n) * (0xffn << BigInt(8 * index))).reduce((sum, part) => sum | part, 0n);

type Immediate = <V, B, Q>(b: VectorBuilder<V, B, Q>, value: Q, d: () => Q) => Q;
const move: Immediate = (_b, value) => value;
const moveInverted: Immediate = (b, value) => b.vectorNot(value);
const or: Immediate = (b, value, d) => b.vectorOr(d(), value);
const clear: Immediate = (b, value, d) => b.vectorAnd(d(), b.vectorNot(value));

const immediate = (lane: Lane, value: (f: Fields) => bigint, operation: Immediate): Semantics => (b, f) => {
  b.checkFloatingPoint();
  put(b, f, operation(b, everywhere(b, lane, value(f)), () => b.vector(f.d)), undefined);
};
const bits = (op: number, cmode: string): string => `0 q ${op} 0111100000 iii ${cmode} 01 jjjjj ddddd`;
const IMMEDIATE_ROWS: readonly Row[] = [
  ...([['MOVI', 0, '0', move], ['MVNI', 1, '0', moveInverted], ['ORR', 0, '1', or], ['BIC', 1, '1', clear]] as const).flatMap(([name, op, last, operation]) => [
    instruction(`${name} (vector, immediate, S)`, bits(op, `0 kk ${last}`), immediate(32, shifted, operation), `${name.toLowerCase()} <Vd.S>, #<imm8><, lsl k>`),
    instruction(`${name} (vector, immediate, H)`, bits(op, `10 k ${last}`), immediate(16, shifted, operation), `${name.toLowerCase()} <Vd.H>, #<imm8><, lsl k>`),
  ]),
  ...([['MOVI', 0, move], ['MVNI', 1, moveInverted]] as const).map(([name, op, operation]) =>
    instruction(`${name} (vector, immediate, ones)`, bits(op, '110 k'), immediate(32, shiftedOnes, operation), `${name.toLowerCase()} <Vd.S>, #<imm8>, <msl k>`)),
  instruction('MOVI (vector, immediate, B)', bits(0, '1110'), immediate(8, byte, move), 'movi <Vd.B>, #<imm8>'),
  instruction('MOVI (vector, immediate, D)', bits(1, '1110'), immediate(64, bitsAsBytes, move), [
    alias('movi <Dd>, #<bytes>', { q: 0 }), alias('movi <Vd.2d>, #<bytes>', { q: 1 }),
  ] satisfies readonly Form[]),
];

export const VECTOR_PERMUTE: readonly Row[] = [...COPY_ROWS, EXTRACT, ...TABLE_ROWS, ...PERMUTE_ROWS, ...IMMEDIATE_ROWS];
