/** Loads and stores of one register, and prefetches: every addressing mode, unprivileged, acquire and release. */

import type { Builder } from '../builder.ts';
import type { Access, Bytes } from '../memory-access.ts';
import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import { base, displaced, signLoaded, transfer, writeBack, PLAIN, type Order } from './address.ts';
import { extendedRegister, nothing, signed } from './common.ts';

/** One kind of transfer. `size` and `opc` are the encoding's; letters in them are fields: s the width, y 0 for a 64-bit signed result. */
interface Transfer {
  readonly name: string;
  readonly size: string;
  readonly opc: string;
  readonly kind: 'store' | 'load' | 'signed';
  readonly bytes: (f: Fields) => Bytes;
  /** Size as the syntax scales by it: log2 of the bytes, `2s` for 4 or 8 by s. */
  readonly scale: string;
  readonly register: string;
}

const one = (): Bytes => 1;
const two = (): Bytes => 2;
const four = (): Bytes => 4;
const byWidth = (f: Fields): Bytes => (f.s ? 8 : 4);

const TRANSFERS: readonly Transfer[] = [
  { name: 'STR.B', size: '00', opc: '00', kind: 'store', bytes: one, scale: '0', register: '<Wt>' },
  { name: 'LDR.B', size: '00', opc: '01', kind: 'load', bytes: one, scale: '0', register: '<Wt>' },
  { name: 'LDR.SB', size: '00', opc: '1y', kind: 'signed', bytes: one, scale: '0', register: '<Yt>' },
  { name: 'STR.H', size: '01', opc: '00', kind: 'store', bytes: two, scale: '1', register: '<Wt>' },
  { name: 'LDR.H', size: '01', opc: '01', kind: 'load', bytes: two, scale: '1', register: '<Wt>' },
  { name: 'LDR.SH', size: '01', opc: '1y', kind: 'signed', bytes: two, scale: '1', register: '<Yt>' },
  { name: 'STR.', size: '1s', opc: '00', kind: 'store', bytes: byWidth, scale: '2s', register: '<Rt>' },
  { name: 'LDR.', size: '1s', opc: '01', kind: 'load', bytes: byWidth, scale: '2s', register: '<Rt>' },
  { name: 'LDR.SW', size: '10', opc: '10', kind: 'signed', bytes: four, scale: '2', register: '<Xt>' },
];

/** Does the transfer; a fault leaves everything as it was. */
function move<V, B>(b: Builder<V, B>, f: Fields, transferKind: Transfer, address: V, order: Order, reported: boolean): void {
  const { kind } = transferKind;
  const bytes = transferKind.bytes(f);
  const wide = kind === 'signed' ? f.y === 0 : bytes === 8;
  const access: Access = reported || order === 'unprivileged' ? transfer(order, f.t, wide, kind === 'signed') : PLAIN;
  if (kind === 'store') b.store(address, bytes, b.x(f.t), access);
  else {
    const loaded = b.load(address, bytes, access);
    b.setX(f.t, kind === 'signed' ? signLoaded(b, loaded, bytes, wide) : loaded);
  }
}

const withOffset = (kind: Transfer, offset: (f: Fields) => number, order: Order): Semantics => (b, f) =>
  move(b, f, kind, displaced(b, base(b, f.n), offset(f)), order, true);

/** The base is written last: with Rn = Rt a load loses its value, and a store stores the old one. The manual leaves the choice open (CONSTRAINED UNPREDICTABLE). */
const withWriteBack = (kind: Transfer, post: boolean): Semantics => (b, f) => {
  const before = base(b, f.n);
  const after = displaced(b, before, signed(f.i, 9));
  move(b, f, kind, post ? before : after, 'plain', false);
  writeBack(b, f.n, after);
};

const withRegister = (kind: Transfer): Semantics => (b, f) => {
  const index = extendedRegister(b, f.m, f.p, f.h === 0 ? 0 : Math.log2(kind.bytes(f)));
  move(b, f, kind, b.add(base(b, f.n), index), 'plain', true);
};

const imm9 = (f: Fields): number => signed(f.i, 9);
/** Option bit 1 clear would be a byte or halfword index: unallocated. */
const shortIndex = (f: Fields): boolean => (f.p & 2) === 0;

const ADDRESSED: readonly Row[] = TRANSFERS.flatMap((kind) => {
  const { size, opc, register } = kind;
  const name = kind.name.replace('.', '');
  const text = name.toLowerCase();
  const unscaled = kind.name.replace(/R\./, 'UR');
  const unprivileged = kind.name.replace(/R\./, 'TR');
  const short = `${size} 111 0 00 ${opc} 0 iiiiiiiii`;
  return [
    instruction(`${name} (immediate, unsigned offset)`, `${size} 111 0 01 ${opc} iiiiiiiiiiii nnnnn ttttt`, withOffset(kind, (f) => f.i * kind.bytes(f), 'plain'), `${text} ${register}, [<Xn|SP><, #scaled 12 ${kind.scale}>]`),
    instruction(`${name} (immediate, post-index)`, `${short} 01 nnnnn ttttt`, withWriteBack(kind, true), `${text} ${register}, [<Xn|SP>], #<i:9>`),
    instruction(`${name} (immediate, pre-index)`, `${short} 11 nnnnn ttttt`, withWriteBack(kind, false), `${text} ${register}, [<Xn|SP>, #<i:9>]!`),
    instruction(unscaled, `${short} 00 nnnnn ttttt`, withOffset(kind, imm9, 'plain'), `${unscaled.toLowerCase()} ${register}, [<Xn|SP><, #signed 9 0>]`),
    instruction(unprivileged, `${short} 10 nnnnn ttttt`, withOffset(kind, imm9, 'unprivileged'), `${unprivileged.toLowerCase()} ${register}, [<Xn|SP><, #signed 9 0>]`),
    instruction(`${name} (register)`, `${size} 111 0 00 ${opc} 1 mmmmm ppp h 10 nnnnn ttttt`, withRegister(kind), `${text} ${register}, [<Xn|SP>, <Rm by p><, index p h ${kind.scale}>]`, { unallocated: shortIndex }),
  ];
});

const offset19 = (f: Fields): number => signed(f.i, 19) * 4;

const LITERAL: readonly Row[] = [
  instruction('LDR (literal)', '0s 011 0 00 iiiiiiiiiiiiiiiiiii ttttt', (b, f) => b.setX(f.t, b.load(b.pc(offset19(f)), f.s ? 8 : 4, transfer('plain', f.t, f.s === 1, false))), 'ldr <Rt>, <label 19>'),
  instruction('LDRSW (literal)', '10 011 0 00 iiiiiiiiiiiiiiiiiii ttttt', (b, f) => b.setX(f.t, b.signExtend(b.load(b.pc(offset19(f)), 4, transfer('plain', f.t, true, true)), 32)), 'ldrsw <Xt>, <label 19>'),
];

/** Prefetches do nothing here: there is no cache to fill, and they may not fault. */
const PREFETCH: readonly Row[] = [
  instruction('PRFM (immediate)', '11 111 0 01 10 iiiiiiiiiiii nnnnn ttttt', nothing, 'prfm <prefetch>, [<Xn|SP><, #scaled 12 3>]'),
  instruction('PRFM (literal)', '11 011 0 00 iiiiiiiiiiiiiiiiiii ttttt', nothing, 'prfm <prefetch>, <label 19>'),
  instruction('PRFM (register)', '11 111 0 00 10 1 mmmmm ppp h 10 nnnnn ttttt', nothing, 'prfm <prefetch>, [<Xn|SP>, <Rm by p><, index p h 3>]', { unallocated: shortIndex }),
  instruction('PRFUM', '11 111 0 00 10 0 iiiiiiiii 00 nnnnn ttttt', nothing, 'prfum <prefetch>, [<Xn|SP><, #signed 9 0>]'),
];

/** Load-acquire and store-release, with their LORegion and RCpc variants: the simulated memory is sequentially consistent, so that they differ in text and alignment only. */
const ORDERED: readonly Row[] = ([['B', '00', one, '<Wt>'], ['H', '01', two, '<Wt>'], ['', '1s', byWidth, '<Rt>']] as const).flatMap(([suffix, size, bytes, register]) => {
  const load: Transfer = { name: '', size, opc: '', kind: 'load', bytes, scale: '', register };
  const store: Transfer = { ...load, kind: 'store' };
  const ordered = (name: string, bits: string, kind: Transfer): Row =>
    instruction(name + suffix, `${size} 001000 ${bits} nnnnn ttttt`, withOffset(kind, () => 0, kind === load ? 'acquire' : 'release'), `${(name + suffix).toLowerCase()} ${register}, [<Xn|SP>]`);
  return [
    ordered('STLLR', '1 0 0 (1)(1)(1)(1)(1) 0 (1)(1)(1)(1)(1)', store),
    ordered('STLR', '1 0 0 (1)(1)(1)(1)(1) 1 (1)(1)(1)(1)(1)', store),
    ordered('LDLAR', '1 1 0 (1)(1)(1)(1)(1) 0 (1)(1)(1)(1)(1)', load),
    ordered('LDAR', '1 1 0 (1)(1)(1)(1)(1) 1 (1)(1)(1)(1)(1)', load),
    instruction(`LDAPR${suffix}`, `${size} 111000 101 (1)(1)(1)(1)(1) 1 100 00 nnnnn ttttt`, withOffset(load, () => 0, 'acquire'), `ldapr${suffix.toLowerCase()} ${register}, [<Xn|SP>]`),
  ];
});

const UNSCALED_ORDERED: readonly Row[] = TRANSFERS.map((kind) => {
  const name = kind.name.replace('STR.', 'STLUR').replace('LDR.', 'LDAPUR');
  return instruction(name, `${kind.size} 011001 ${kind.opc} 0 iiiiiiiii 00 nnnnn ttttt`, withOffset(kind, imm9, kind.kind === 'store' ? 'release' : 'acquire'), `${name.toLowerCase()} ${kind.register}, [<Xn|SP><, #signed 9 0>]`);
});

export const LOAD_STORE: readonly Row[] = [...ADDRESSED, ...LITERAL, ...PREFETCH, ...ORDERED, ...UNSCALED_ORDERED];
