/** Loads and stores of SIMD&FP registers: one register, pairs, literals, and structures of one to four elements. Stage-2 aborts of them give no syndrome (ISV 0). */

import type { Builder } from '../builder.ts';
import type { Access, Bytes } from '../memory-access.ts';
import { alias, instruction, type Fields, type Row, type RowOptions, type Semantics } from '../row.ts';
import type { Lane, VectorBuilder } from '../vector-builder.ts';
import { base, displaced, PLAIN, writeBack } from './address.ts';
import { extendedRegister, signed } from './common.ts';
import { countOf, laneOf } from './vector.ts';

// ---- registers -----------------------------------------------------------------------------------------------------------------------------

/** `size` is the encoding's, `q` the upper bit of opc; `scale` log2 of the bytes. */
interface Width { readonly name: 'B' | 'H' | 'S' | 'D' | 'Q'; readonly size: string; readonly q: 0 | 1; readonly scale: number }
const WIDTHS: readonly Width[] = [
  { name: 'B', size: '00', q: 0, scale: 0 }, { name: 'H', size: '01', q: 0, scale: 1 }, { name: 'S', size: '10', q: 0, scale: 2 },
  { name: 'D', size: '11', q: 0, scale: 3 }, { name: 'Q', size: '00', q: 1, scale: 4 },
];
type Kind = 'LD' | 'ST';

function move<V, B, Q>(b: VectorBuilder<V, B, Q>, kind: Kind, register: number, bytes: number, address: V): void {
  if (kind === 'LD') {
    if (bytes === 16) b.setVector(register, b.loadVector(address, PLAIN));
    else b.setVectorLow(register, b.load(address, bytes as Bytes, PLAIN));
  } else if (bytes === 16) b.storeVector(address, b.vector(register), PLAIN);
  else b.store(address, bytes as Bytes, b.vectorLow(register), PLAIN);
}

const withOffset = (kind: Kind, { scale }: Width, offset: (f: Fields) => number): Semantics => (b, f) => {
  b.checkFloatingPoint();
  move(b, kind, f.t, 2 ** scale, displaced(b, base(b, f.n), offset(f)));
};
const withWriteBack = (kind: Kind, { scale }: Width, post: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const before = base(b, f.n);
  const after = displaced(b, before, signed(f.i, 9));
  move(b, kind, f.t, 2 ** scale, post ? before : after);
  writeBack(b, f.n, after);
};
const withRegister = (kind: Kind, { scale }: Width): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const index = extendedRegister(b, f.m, f.p, f.h === 0 ? 0 : scale);
  move(b, kind, f.t, 2 ** scale, b.add(base(b, f.n), index));
};
const shortIndex = { unallocated: (f: Fields) => (f.p & 2) === 0 };

const REGISTER_ROWS: readonly Row[] = WIDTHS.flatMap((width) => (['LD', 'ST'] as const).flatMap((kind) => {
  const { name, size, q, scale } = width;
  const opc = `${q} ${kind === 'LD' ? 1 : 0}`;
  const short = `${size} 111 1 00 ${opc} 0 iiiiiiiii`;
  const text = `${kind.toLowerCase()}r <${name}t>`;
  return [
    instruction(`${kind}R ${name} (immediate, unsigned offset)`, `${size} 111 1 01 ${opc} iiiiiiiiiiii nnnnn ttttt`, withOffset(kind, width, (f) => f.i * 2 ** scale), `${text}, [<Xn|SP><, #scaled 12 ${scale}>]`),
    instruction(`${kind}R ${name} (immediate, post-index)`, `${short} 01 nnnnn ttttt`, withWriteBack(kind, width, true), `${text}, [<Xn|SP>], #<i:9>`),
    instruction(`${kind}R ${name} (immediate, pre-index)`, `${short} 11 nnnnn ttttt`, withWriteBack(kind, width, false), `${text}, [<Xn|SP>, #<i:9>]!`),
    instruction(`${kind}UR ${name}`, `${short} 00 nnnnn ttttt`, withOffset(kind, width, (f) => signed(f.i, 9)), `${kind.toLowerCase()}ur <${name}t>, [<Xn|SP><, #signed 9 0>]`),
    instruction(`${kind}R ${name} (register)`, `${size} 111 1 00 ${opc} 1 mmmmm ppp h 10 nnnnn ttttt`, withRegister(kind, width), `${text}, [<Xn|SP>, <Rm by p><, index p h ${scale}>]`, shortIndex),
  ];
}));

const LITERAL_ROWS: readonly Row[] = WIDTHS.slice(2).map(({ name, scale }) => instruction(`LDR ${name} (literal)`, `${(scale - 2).toString(2).padStart(2, '0')} 011 1 00 iiiiiiiiiiiiiiiiiii ttttt`, (b, f) => {
  b.checkFloatingPoint();
  move(b, 'LD', f.t, 2 ** scale, b.pc(signed(f.i, 19) * 4));
}, `ldr <${name}t>, <label 19>`));

/** Both registers are read before either is written, and with Rt = Rt2 the second wins (CONSTRAINED UNPREDICTABLE: our choice). Pairs of Q registers are two accesses of 16 bytes. */
function movePair<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, kind: Kind, bytes: 4 | 8 | 16, address: V): void {
  const second = displaced(b, address, bytes);
  if (bytes === 16) {
    if (kind === 'ST') {
      b.storeVector(address, b.vector(f.t), PLAIN);
      b.storeVector(second, b.vector(f.u), PLAIN);
    } else {
      const values = [b.loadVector(address, PLAIN), b.loadVector(second, PLAIN)] as const;
      b.setVector(f.t, values[0]);
      b.setVector(f.u, values[1]);
    }
  } else if (kind === 'ST') b.storePair(address, bytes, b.vectorLow(f.t), b.vectorLow(f.u), PLAIN);
  else {
    const values = [b.load(address, bytes, PLAIN), b.load(second, bytes, PLAIN)] as const;
    b.setVectorLow(f.t, values[0]);
    b.setVectorLow(f.u, values[1]);
  }
}

const PAIR_ROWS: readonly Row[] = WIDTHS.slice(2).flatMap(({ name, scale }) => (['LD', 'ST'] as const).flatMap((kind) => {
  const bytes = 2 ** scale as 4 | 8 | 16;
  const bits = (mode: string): string => `${(scale - 2).toString(2).padStart(2, '0')} 101 1 ${mode} ${kind === 'LD' ? 1 : 0} iiiiiii uuuuu nnnnn ttttt`;
  const offset = (f: Fields): number => signed(f.i, 7) * bytes;
  const plain: Semantics = (b, f) => {
    b.checkFloatingPoint();
    movePair(b, f, kind, bytes, displaced(b, base(b, f.n), offset(f)));
  };
  const withBack = (post: boolean): Semantics => (b, f) => {
    b.checkFloatingPoint();
    const before = base(b, f.n);
    const after = displaced(b, before, offset(f));
    movePair(b, f, kind, bytes, post ? before : after);
    writeBack(b, f.n, after);
  };
  const text = kind.toLowerCase();
  const registers = `<${name}t>, <${name}u>`;
  return [
    instruction(`${kind}P ${name} (post-index)`, bits('001'), withBack(true), `${text}p ${registers}, [<Xn|SP>], #<scaled 7 ${scale}>`),
    instruction(`${kind}P ${name} (pre-index)`, bits('011'), withBack(false), `${text}p ${registers}, [<Xn|SP>, #<scaled 7 ${scale}>]!`),
    instruction(`${kind}P ${name} (signed offset)`, bits('010'), plain, `${text}p ${registers}, [<Xn|SP><, #signed 7 ${scale}>]`),
    instruction(`${kind}NP ${name}`, bits('000'), plain, `${text}np ${registers}, [<Xn|SP><, #signed 7 ${scale}>]`),
  ];
}));

// ---- structures ----------------------------------------------------------------------------------------------------------------------------

/** Alignment and byte order are those of each element. */
const elements = (lane: Lane): Access => ELEMENTS[lane];
const ELEMENTS: Readonly<Record<Lane, Access>> = { 8: { element: 1 }, 16: { element: 2 }, 32: { element: 4 }, 64: { element: 8 } };

/** The registers from Vt on, in a circle. */
const place = (f: Fields, index: number): number => (f.t + index) % 32;

/** Element `choose(i)` of all vectors one after another, for each i; each has `count` elements. */
function gather<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, count: number, vectors: readonly Q[], choose: (index: number) => number): Q {
  const bytes = lane / 8;
  let result = vectors[0] as Q;
  for (let vector = 1; vector < vectors.length; vector += 1) {
    // What earlier vectors gave stands where it belongs, but in the first step, which places both.
    const indices = Array.from({ length: 16 }, (_, byte) => {
      const index = Math.floor(byte / bytes);
      if (index >= count) return 0;
      const chosen = choose(index);
      const from = Math.floor(chosen / count);
      const within = (chosen % count) * bytes + (byte % bytes);
      return from === vector ? 16 + within : from === 0 && vector === 1 ? within : byte;
    });
    result = b.shuffle(result, vectors[vector]!, indices);
  }
  return result;
}

function loadPart<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, lane: Lane, address: V): Q {
  if (f.q) return b.loadVector(address, elements(lane));
  return b.vectorOf(b.load(address, 8, lane === 64 ? PLAIN : elements(lane)), b.number(0));
}
function storePart<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, lane: Lane, address: V, value: Q): void {
  if (f.q) b.storeVector(address, value, elements(lane));
  else b.store(address, 8, b.low(value), lane === 64 ? PLAIN : elements(lane));
}

/** `registers` registers, whose elements alternate in memory in structures of `members`. */
function moveStructures<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, kind: Kind, registers: number, members: number, address: V): void {
  const lane = laneOf(f.z);
  const count = countOf(lane, f.q);
  const bytes = f.q ? 16 : 8;
  const parts = Array.from({ length: registers }, (_, index) => index);
  if (kind === 'LD') {
    const loaded = parts.map((part) => loadPart(b, f, lane, displaced(b, address, part * bytes)));
    for (const part of parts) {
      const value = members === 1 ? loaded[part]! : gather(b, lane, count, loaded, (index) => index * members + part);
      if (f.q) b.setVector(place(f, part), value);
      else b.setVectorLow(place(f, part), b.low(value));
    }
  } else {
    const values = parts.map((part) => b.vector(place(f, part)));
    for (const part of parts) {
      const value = members === 1 ? values[part]! : gather(b, lane, count, values, (index) => {
        const position = part * count + index;
        return (position % members) * count + Math.floor(position / members);
      });
      storePart(b, f, lane, displaced(b, address, part * bytes), value);
    }
  }
}

type Move = <V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, address: V) => void;

const plainAddress = (act: Move): Semantics => (b, f) => {
  b.checkFloatingPoint();
  act(b, f, base(b, f.n));
};
/** Rm 31 stands for the bytes transferred. */
const postIndexed = (act: Move, bytes: (f: Fields) => number): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const before = base(b, f.n);
  const after = f.m === 31 ? displaced(b, before, bytes(f)) : b.add(before, b.x(f.m));
  act(b, f, before);
  writeBack(b, f.n, after);
};

/** The two rows of a structure access: without and with post-index, whose bit follows `head`. `total` is the text of the bytes transferred. */
function structureRows(name: string, text: string, head: string, R: string, rest: string, act: Move, bytes: (f: Fields) => number, total: string, options: RowOptions): readonly Row[] {
  return [
    instruction(name, `0 q 0011 ${head}0 ${R} 00000 ${rest} nnnnn ttttt`, plainAddress(act), `${text}, [<Xn|SP>]`, options),
    instruction(`${name.slice(0, -1)}, post-index)`, `0 q 0011 ${head}1 ${R} mmmmm ${rest} nnnnn ttttt`, postIndexed(act, bytes), [alias(`${text}, [<Xn|SP>], ${total}`, { m: 31 }), `${text}, [<Xn|SP>], <Xm>`], options),
  ];
}

const MULTIPLE: readonly (readonly [members: number, registers: number, opcode: string])[] = [
  [1, 1, '0111'], [1, 2, '1010'], [1, 3, '0110'], [1, 4, '0010'], [2, 2, '1000'], [3, 3, '0100'], [4, 4, '0000'],
];
const MULTIPLE_ROWS: readonly Row[] = (['LD', 'ST'] as const).flatMap((kind) => MULTIPLE.flatMap(([members, registers, opcode]) => {
  const act: Move = (b, f, address) => moveStructures(b, f, kind, registers, members, address);
  return structureRows(`${kind}${members} (multiple structures, ${registers})`, `${kind.toLowerCase()}${members} <list t ${registers} T>`, '00', `${kind === 'LD' ? 1 : 0} 0`, `${opcode} zz`, act,
    (f) => registers * (f.q ? 16 : 8), `#<total ${registers}>`, members === 1 ? {} : { unallocated: (f) => f.z === 3 && f.q === 0 });
}));

/** One element of each register: index q:h:j, as far as the size leaves bits for it. */
interface Single { readonly lane: Lane; readonly opcode: string; readonly rest: string; readonly letters: string; readonly index: (f: Fields) => number }
const SINGLES: readonly Single[] = [
  { lane: 8, opcode: '00', rest: 'h jj', letters: 'b[qhjj]', index: (f) => f.q * 8 + f.h * 4 + f.j }, { lane: 16, opcode: '01', rest: 'h j 0', letters: 'h[qhj]', index: (f) => f.q * 4 + f.h * 2 + f.j },
  { lane: 32, opcode: '10', rest: 'h 00', letters: 's[qh]', index: (f) => f.q * 2 + f.h }, { lane: 64, opcode: '10', rest: '0 01', letters: 'd[q]', index: (f) => f.q },
];
const each = (members: number): readonly number[] => Array.from({ length: members }, (_, index) => index);
const element = <V, B>(b: Builder<V, B>, lane: Lane, address: V, member: number): V => displaced(b, address, member * lane / 8);

const single = (kind: Kind, members: number, { lane, index }: Single): Move => (b, f, address) => {
  const bytes = lane / 8 as Bytes;
  if (kind === 'ST') {
    for (const member of each(members)) b.store(element(b, lane, address, member), bytes, b.lane(lane, b.vector(place(f, member)), index(f)), PLAIN);
    return;
  }
  const values = each(members).map((member) => b.load(element(b, lane, address, member), bytes, PLAIN));
  for (const member of each(members)) b.setVector(place(f, member), b.withLane(lane, b.vector(place(f, member)), index(f), values[member]!));
};
/** R and the last bit of the opcode: members - 1, low bit first. */
const membersBits = (members: number): readonly [R: number, last: number] => [(members - 1) & 1, (members - 1) >> 1];

const SINGLE_ROWS: readonly Row[] = (['LD', 'ST'] as const).flatMap((kind) => [1, 2, 3, 4].flatMap((members) => SINGLES.flatMap((size) => {
  const [R, last] = membersBits(members);
  const bytes = members * size.lane / 8;
  return structureRows(`${kind}${members} (single structure, ${size.letters[0]!.toUpperCase()})`, `${kind.toLowerCase()}${members} <list t ${members} ${size.letters}>`, '01', `${kind === 'LD' ? 1 : 0} ${R}`,
    `${size.opcode} ${last} ${size.rest}`, single(kind, members, size), () => bytes, `#${bytes}`, {});
})));

const replicate = (members: number): Move => (b, f, address) => {
  const lane = laneOf(f.z);
  const values = each(members).map((member) => b.load(element(b, lane, address, member), lane / 8 as Bytes, PLAIN));
  for (const member of each(members)) {
    const value = b.splat(lane, values[member]!);
    if (f.q) b.setVector(place(f, member), value);
    else b.setVectorLow(place(f, member), b.low(value));
  }
};
const REPLICATE_ROWS: readonly Row[] = [1, 2, 3, 4].flatMap((members) => {
  const [R, last] = membersBits(members);
  return structureRows(`LD${members}R (single)`, `ld${members}r <list t ${members} T>`, '01', `1 ${R}`, `11 ${last} 0 zz`, replicate(members), (f) => members * 2 ** f.z, `#<total ${members} elements>`, {});
});

export const VECTOR_LOAD_STORE: readonly Row[] = [...REGISTER_ROWS, ...LITERAL_ROWS, ...PAIR_ROWS, ...MULTIPLE_ROWS, ...SINGLE_ROWS, ...REPLICATE_ROWS];
