/** Load and store exclusive, atomic memory operations, and compare and swap. */

import type { AtomicOperation, Builder } from '../builder.ts';
import type { Bytes } from '../memory-access.ts';
import { alias, instruction, type Fields, type Row, type Semantics } from '../row.ts';
import { atomicAccess, atomicPairAccess, base, exclusiveAccess, exclusivePairAccess } from './address.ts';
import { get } from './common.ts';

type Size = readonly [suffix: string, bits: string, bytes: (f: Fields) => Bytes, register: (letter: string) => string];

const SIZES: readonly Size[] = [
  ['B', '00', () => 1, (letter) => `<W${letter}>`],
  ['H', '01', () => 2, (letter) => `<W${letter}>`],
  ['', '1s', (f) => (f.s ? 8 : 4), (letter) => `<R${letter}>`],
];

const SHOULD = '(1)(1)(1)(1)(1)';

/** The status register is written 0 when the store was done, 1 when not. Rs equal to Rt or Rn is CONSTRAINED UNPREDICTABLE: the status wins, after the store. */
const storeExclusive = (bytes: (f: Fields) => Bytes, release: number): Semantics => (b, f) =>
  b.setX(f.e, b.storeExclusive(base(b, f.n), bytes(f), b.x(f.t), exclusiveAccess(0, release)));

const loadExclusive = (bytes: (f: Fields) => Bytes, acquire: number): Semantics => (b, f) =>
  b.setX(f.t, b.loadExclusive(base(b, f.n), bytes(f), exclusiveAccess(acquire, 0)));

/** A pair of words is one access of 8 bytes, the first register in the low half. */
const storeExclusivePair = (release: number): Semantics => (b, f) => {
  if (f.s) b.setX(f.e, b.storeExclusivePair(base(b, f.n), b.x(f.t), b.x(f.u), exclusivePairAccess(0, release)));
  else b.setX(f.e, b.storeExclusive(base(b, f.n), 8, join(b, b.x(f.t), b.x(f.u)), exclusiveAccess(0, release)));
};

const loadExclusivePair = (acquire: number): Semantics => (b, f) => {
  if (f.s) {
    const [low, high] = b.loadExclusivePair(base(b, f.n), exclusivePairAccess(acquire, 0));
    b.setX(f.t, low);
    b.setX(f.u, high);
  } else {
    const both = b.loadExclusive(base(b, f.n), 8, exclusiveAccess(acquire, 0));
    b.setX(f.t, b.zeroExtend(both, 32));
    b.setX(f.u, b.shiftRight(both, b.number(32)));
  }
};

const join = <V, B>(b: Builder<V, B>, low: V, high: V): V => b.or(b.zeroExtend(low, 32), b.shiftLeft(high, b.number(32)));

const exclusive = { stop: 'exclusive' } as const;
const atomic = { stop: 'atomic' } as const;

const EXCLUSIVE: readonly Row[] = [
  ...SIZES.flatMap(([suffix, bits, bytes, register]) => [0, 1].flatMap((order) => {
    const store = `ST${order ? 'L' : ''}XR${suffix}`;
    const load = `LD${order ? 'A' : ''}XR${suffix}`;
    return [
      instruction(store, `${bits} 001000 0 0 0 eeeee ${order} ${SHOULD} nnnnn ttttt`, storeExclusive(bytes, order), `${store.toLowerCase()} <We>, ${register('t')}, [<Xn|SP>]`, exclusive),
      instruction(load, `${bits} 001000 0 1 0 ${SHOULD} ${order} ${SHOULD} nnnnn ttttt`, loadExclusive(bytes, order), `${load.toLowerCase()} ${register('t')}, [<Xn|SP>]`, exclusive),
    ];
  })),
  ...[0, 1].flatMap((order) => {
    const store = `ST${order ? 'L' : ''}XP`;
    const load = `LD${order ? 'A' : ''}XP`;
    return [
      instruction(store, `1s 001000 0 0 1 eeeee ${order} uuuuu nnnnn ttttt`, storeExclusivePair(order), `${store.toLowerCase()} <We>, <Rt>, <Ru>, [<Xn|SP>]`, exclusive),
      instruction(load, `1s 001000 0 1 1 ${SHOULD} ${order} uuuuu nnnnn ttttt`, loadExclusivePair(order), `${load.toLowerCase()} <Rt>, <Ru>, [<Xn|SP>]`, exclusive),
    ];
  }),
];

/** FEAT_LSE: name, the encoding's o3:opc, whether ST<op> is an alias. */
const OPERATIONS: readonly (readonly [name: string, bits: string, operation: AtomicOperation])[] = [
  ['ADD', '0 000', 'add'], ['CLR', '0 001', 'clear'], ['EOR', '0 010', 'exclusive-or'], ['SET', '0 011', 'set'],
  ['SMAX', '0 100', 'signed-maximum'], ['SMIN', '0 101', 'signed-minimum'], ['UMAX', '0 110', 'unsigned-maximum'], ['UMIN', '0 111', 'unsigned-minimum'],
  ['SWP', '1 000', 'swap'],
];

const readModifyWrite = (operation: AtomicOperation, bytes: (f: Fields) => Bytes): Semantics => (b, f) =>
  // An acquire whose result goes to the zero register orders nothing; memory here is sequentially consistent anyway.
  b.setX(f.t, b.atomic(operation, base(b, f.n), bytes(f), get(b, f.s, f.e), atomicAccess(f.A, f.L)));

const ATOMIC: readonly Row[] = OPERATIONS.flatMap(([name, opcode, operation]) => SIZES.map(([suffix, bits, bytes, register]) => {
  const text = operation === 'swap' ? 'swp' : `ld${name.toLowerCase()}`;
  const size = suffix.toLowerCase();
  return instruction(text.toUpperCase() + suffix, `${bits} 111 0 00 A L 1 eeeee ${opcode} 00 nnnnn ttttt`, readModifyWrite(operation, bytes), [
    ...(operation === 'swap' ? [] : [alias(`st${name.toLowerCase()}<order L>${size} ${register('e')}, [<Xn|SP>]`, { A: 0, t: 31 })]),
    `${text}<order A L>${size} ${register('e')}, ${register('t')}, [<Xn|SP>]`,
  ], atomic);
}));

const compareAndSwap = (bytes: (f: Fields) => Bytes): Semantics => (b, f) =>
  b.setX(f.e, b.compareAndSwap(base(b, f.n), bytes(f), b.x(f.e), b.x(f.t), atomicAccess(f.A, f.L)));

const compareAndSwapPair: Semantics = (b, f) => {
  if (f.s) {
    const [low, high] = b.compareAndSwapPair(base(b, f.n), [b.x(f.e), b.x(f.e + 1)], [b.x(f.t), b.x(f.t + 1)], atomicPairAccess(f.A, f.L));
    b.setX(f.e, low);
    b.setX(f.e + 1, high);
  } else {
    const both = b.compareAndSwap(base(b, f.n), 8, join(b, b.x(f.e), b.x(f.e + 1)), join(b, b.x(f.t), b.x(f.t + 1)), atomicAccess(f.A, f.L));
    b.setX(f.e, b.zeroExtend(both, 32));
    b.setX(f.e + 1, b.shiftRight(both, b.number(32)));
  }
};

const COMPARE_AND_SWAP: readonly Row[] = [
  ...SIZES.map(([suffix, bits, bytes, register]) =>
    instruction(`CAS${suffix}`, `${bits} 001000 1 A 1 eeeee L 11111 nnnnn ttttt`, compareAndSwap(bytes), `cas<order A L>${suffix.toLowerCase()} ${register('e')}, ${register('t')}, [<Xn|SP>]`, atomic)),
  instruction('CASP', '0s 001000 0 A 1 eeeee L 11111 nnnnn ttttt', compareAndSwapPair, 'casp<order A L> <Re>, <Re+1>, <Rt>, <Rt+1>, [<Xn|SP>]', { ...atomic, unallocated: (f) => (f.e & 1) === 1 || (f.t & 1) === 1 }),
];

export const EXCLUSIVES_AND_ATOMICS: readonly Row[] = [...EXCLUSIVE, ...ATOMIC, ...COMPARE_AND_SWAP];
