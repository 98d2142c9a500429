/** Floating point with operands of other formats or in pairs: complex numbers, FMLAL and its kin, BFloat16 products. */

import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import type { FloatSize, VectorBuilder } from '../vector-builder.ts';
import { negate, setLanes } from './float-common.ts';

const complexSize = (f: Fields): FloatSize => (f.z === 1 ? 16 : f.z === 2 ? 32 : 64);
/** No bytes, and no vector of one double. */
const noComplex = { unallocated: (f: Fields): boolean => f.z === 0 || (f.z === 3 && f.q === 0) };

/** Adds the second source times i (90 degrees) or -i (270). */
const complexAdd: Semantics = (b, f) => {
  b.checkFloatingPoint();
  const size = complexSize(f);
  const left = b.vector(f.n), right = b.vector(f.m);
  setLanes(b, f.d, size, f.q, (index) => {
    const other = b.lane(size, right, index ^ 1);
    const negated = (index & 1) === f.r;
    return b.floatBinary('add', size, b.lane(size, left, index), negated ? negate(b, size, other) : other);
  });
};

/** Half of a complex product: by the real part (0, 180 degrees) or the imaginary part (90, 270) of the first source. */
function complexProduct<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, size: FloatSize, second: (part: 0 | 1, index: number) => V): void {
  const addend = b.vector(f.d), left = b.vector(f.n);
  const imaginary = (f.r & 1) as 0 | 1;
  setLanes(b, f.d, size, f.q, (index) => {
    const part = (index & 1) as 0 | 1;
    const factor = second((part ^ imaginary) as 0 | 1, index);
    // The real part is negated for 90 and 180 degrees, the imaginary part for 180 and 270.
    const negated = part === 0 ? f.r === 1 || f.r === 2 : f.r >= 2;
    return b.floatMultiplyAdd(size, b.lane(size, addend, index), b.lane(size, left, (index & ~1) | imaginary), negated ? negate(b, size, factor) : factor);
  });
}

const complexByElement = (size: 16 | 32): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const right = b.vector(f.m);
  const pair = size === 16 ? 2 * f.h + f.L : f.h;
  complexProduct(b, f, size, (part) => b.lane(size, right, 2 * pair + part));
};

const COMPLEX: readonly Row[] = [
  instruction('FCADD', '0 q 1 01110 zz 0 mmmmm 111 r 01 nnnnn ddddd', complexAdd, 'fcadd <Vd.c>, <Vn.c>, <Vm.c>, #<rotation 180 90>', noComplex),
  instruction('FCMLA', '0 q 1 01110 zz 0 mmmmm 110 rr 1 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    const size = complexSize(f);
    const right = b.vector(f.m);
    complexProduct(b, f, size, (part, index) => b.lane(size, right, (index & ~1) | part));
  }, 'fcmla <Vd.c>, <Vn.c>, <Vm.c>, #<rotation 90 0>', noComplex),
  instruction('FCMLA (by element, half)', '0 q 1 01111 01 L mmmmm 0 rr 1 h 0 nnnnn ddddd', complexByElement(16), 'fcmla <Vd.h>, <Vn.h>, <Vm.h[hL]>, #<rotation 90 0>', { unallocated: (f) => f.q === 0 && f.h === 1 }),
  instruction('FCMLA (by element)', '0 q 1 01111 10 0 mmmmm 0 rr 1 h 0 nnnnn ddddd', complexByElement(32), 'fcmla <Vd.s>, <Vn.s>, <Vm.s[h]>, #<rotation 90 0>', { unallocated: (f) => f.q === 0 }),
];

/**
 * Half precision as single precision, exactly: NaNs stay what they are, and FPCR.FZ16 flushes. Whether it does, a comparison with
 * zero says; that raises nothing but Invalid Operation of a signalling NaN, which the multiplication raises as well.
 */
function widen<V, B, Q>(b: VectorBuilder<V, B, Q>, value: V): V {
  const sign = b.shiftLeft(b.and(value, b.number(0x8000)), b.number(16));
  const magnitude = b.and(value, b.number(0x7fff));
  const exponent = b.shiftRight(magnitude, b.number(10));
  const moved = b.shiftLeft(magnitude, b.number(13));
  // A denormal number is fraction * 2^-24: its highest bit becomes the implicit one.
  const zeros = b.countLeadingZeros(magnitude);
  const fraction = b.and(b.shiftLeft(magnitude, b.subtract(zeros, b.number(40))), b.number(0x7f_ffff));
  const denormal = b.or(b.shiftLeft(b.subtract(b.number(166), zeros), b.number(23)), fraction);
  const normal = b.add(moved, b.number(112 * 2 ** 23));
  const special = b.or(moved, b.number(255 * 2 ** 23));
  const wide = b.select(b.equal(exponent, b.number(31)), special, b.select(b.equal(exponent, b.number(0)), denormal, normal));
  return b.or(sign, b.select(b.floatTest('equal', 16, value, b.number(0)), b.number(0), wide));
}

/** FMLAL and FMLSL: of the low or (2) the high half of what a vector of this length has. */
const multiplyLong = (subtract: boolean, second: 0 | 1, byElement: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const addend = b.vector(f.d), left = b.vector(f.n), right = b.vector(f.m);
  const first = second * (f.q ? 4 : 2);
  const element = 4 * f.h + 2 * f.L + f.y;
  setLanes(b, f.d, 32, f.q, (index) => {
    const half = b.lane(16, left, first + index);
    const factor = widen(b, b.lane(16, right, byElement ? element : first + index));
    return b.floatMultiplyAdd(32, b.lane(32, addend, index), widen(b, subtract ? negate(b, 16, half) : half), factor);
  });
};

const LONG: readonly Row[] = ([
  ['FMLAL', 0, 0, '11101', '0000'], ['FMLSL', 0, 1, '11101', '0100'], ['FMLAL2', 1, 0, '11001', '1000'], ['FMLSL2', 1, 1, '11001', '1100'],
] as const).flatMap(([name, second, a, opcode, elementOpcode]) => [
  instruction(`${name} (vector)`, `0 q ${second} 01110 ${a} 0 1 mmmmm ${opcode} 1 nnnnn ddddd`, multiplyLong(a === 1, second, false), `${name.toLowerCase()} <Vd.s>, <Vn.halves>, <Vm.halves>`),
  instruction(`${name} (by element)`, `0 q ${second} 01111 10 L y mmmm ${elementOpcode} h 0 nnnnn ddddd`, multiplyLong(a === 1, second, true), `${name.toLowerCase()} <Vd.s>, <Vn.halves>, <Vm.h[hLy]>`),
]);

/** A BFloat16 element as a single-precision number, whose high half it is. */
const brain = <V, B, Q>(b: VectorBuilder<V, B, Q>, source: Q, index: number): V => b.shiftLeft(b.lane(16, source, index), b.number(16));

/** BFMLALB (Q 0) and BFMLALT (Q 1): the even or odd elements. */
const brainMultiplyAdd = (byElement: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const addend = b.vector(f.d), left = b.vector(f.n), right = b.vector(f.m);
  setLanes(b, f.d, 32, 1, (index) =>
    b.floatMultiplyAdd(32, b.lane(32, addend, index), brain(b, left, 2 * index + f.q), brain(b, right, byElement ? 4 * f.h + 2 * f.L + f.y : 2 * index + f.q)));
};

const brainDotProduct = (byElement: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const addend = b.vector(f.d), left = b.vector(f.n), right = b.vector(f.m);
  setLanes(b, f.d, 32, f.q, (index) => b.brainDot(b.lane(32, addend, index), b.lane(32, left, index), b.lane(32, right, byElement ? 2 * f.h + f.L : index)));
};

const BRAIN: readonly Row[] = [
  instruction('BFDOT (vector)', '0 q 1 01110 01 0 mmmmm 11111 1 nnnnn ddddd', brainDotProduct(false), 'bfdot <Vd.s>, <Vn.h>, <Vm.h>'),
  instruction('BFDOT (by element)', '0 q 0 01111 01 L mmmmm 1111 h 0 nnnnn ddddd', brainDotProduct(true), 'bfdot <Vd.s>, <Vn.h>, <Vm.2h[hL]>'),
  // A 2 by 4 matrix times a 4 by 2 one, that is by the rows of the second source.
  instruction('BFMMLA', '0 1 1 01110 01 0 mmmmm 11101 1 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    const addend = b.vector(f.d), left = b.vector(f.n), right = b.vector(f.m);
    setLanes(b, f.d, 32, 1, (index) => {
      const row = index & 2, column = 2 * (index & 1);
      const once = b.brainDot(b.lane(32, addend, index), b.lane(32, left, row), b.lane(32, right, column));
      return b.brainDot(once, b.lane(32, left, row + 1), b.lane(32, right, column + 1));
    });
  }, 'bfmmla <Vd.4s>, <Vn.8h>, <Vm.8h>'),
  instruction('BFMLAL (vector)', '0 q 1 01110 11 0 mmmmm 11111 1 nnnnn ddddd', brainMultiplyAdd(false), 'bfmlal<b or t> <Vd.4s>, <Vn.8h>, <Vm.8h>'),
  instruction('BFMLAL (by element)', '0 q 0 01111 11 L y mmmm 1111 h 0 nnnnn ddddd', brainMultiplyAdd(true), 'bfmlal<b or t> <Vd.4s>, <Vn.8h>, <Vm.h[hLy]>'),
];

export const FLOAT_COMPLEX: readonly Row[] = [...COMPLEX, ...LONG, ...BRAIN];
