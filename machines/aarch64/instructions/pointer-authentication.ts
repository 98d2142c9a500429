/** FEAT_PAuth: signing and checking of registers, and the branches and loads that check the address they use. */

import type { Builder, PointerKey, PointerOperation } from '../builder.ts';
import { alias, instruction, type Fields, type Row, type Semantics } from '../row.ts';
import { base, displaced, PLAIN, transfer, writeBack } from './address.ts';
import { jumpType } from './branches.ts';
import { getOrSp, signed } from './common.ts';

const operation = (act: PointerOperation['act'], key: PointerKey, hint = false): PointerOperation => ({ act, key, ...(hint ? { hint } : {}) });
const KEYS = ['IA', 'IB', 'DA', 'DB'] as const;
const ACTS = [['PAC', 'sign'], ['AUT', 'authenticate']] as const;
const binary = (value: number, width: number): string => value.toString(2).padStart(width, '0');

/** Data processing of one source: PACIA to AUTDB with a modifier in Rn, and their forms with Z, whose modifier is zero. */
const REGISTERS: readonly Row[] = ACTS.flatMap(([stem, act], place) => KEYS.flatMap((key, number) => {
  const what = operation(act, key);
  const name = stem + key;
  const opcode = 4 * place + number;
  return [
    instruction(name, `1 1 0 11010110 00001 ${binary(opcode, 6)} nnnnn ddddd`, (b, f) => b.setX(f.d, b.authenticatePointer(what, b.x(f.d), getOrSp(b, 1, f.n))), `${name.toLowerCase()} <Xd>, <Xn|SP>`),
    instruction(`${stem}${key[0]}Z${key[1]}`, `1 1 0 11010110 00001 ${binary(opcode + 8, 6)} 11111 ddddd`, (b, f) => b.setX(f.d, b.authenticatePointer(what, b.x(f.d), b.number(0))), `${stem.toLowerCase()}${key[0]!.toLowerCase()}z${key[1]!.toLowerCase()} <Xd>`),
  ];
}));

const stripped = (key: PointerKey): Semantics => (b, f) => b.setX(f.d, b.authenticatePointer(operation('strip', key), b.x(f.d), b.number(0)));

const OTHERS: readonly Row[] = [
  instruction('XPACI', '1 1 0 11010110 00001 010000 11111 ddddd', stripped('IA'), 'xpaci <Xd>'),
  instruction('XPACD', '1 1 0 11010110 00001 010001 11111 ddddd', stripped('DA'), 'xpacd <Xd>'),
  instruction('PACGA', '1 0 0 11010110 mmmmm 001100 nnnnn ddddd', (b, f) => b.setX(f.d, b.authenticatePointer(operation('generic', 'GA'), b.x(f.n), getOrSp(b, 1, f.m))), 'pacga <Xd>, <Xn>, <Xm|SP>'),
];

/** The modifiers of hints are fixed: SP, zero or X16. */
type Modifier = 'SP' | 'Z' | '1716';
const modifierOf = <V, B>(b: Builder<V, B>, modifier: Modifier): V => (modifier === 'SP' ? b.stackPointer() : modifier === 'Z' ? b.number(0) : b.x(16));

/** Forms in the hint space: nothing happens where the feature is absent. */
const HINTS: readonly Row[] = [
  instruction('XPACLRI', hintPattern(7), (b) => b.setX(30, b.authenticatePointer(operation('strip', 'IA', true), b.x(30), b.number(0))), 'xpaclri'),
  ...ACTS.flatMap(([stem, act], place) => (['IA', 'IB'] as const).flatMap((key, number) => {
    const what = operation(act, key, true);
    const row = (modifier: Modifier, code: number, register: number): Row =>
      instruction(`${stem}${key}${modifier}`, hintPattern(code), (b) => b.setX(register, b.authenticatePointer(what, b.x(register), modifierOf(b, modifier))), `${stem}${key}${modifier}`.toLowerCase());
    return [row('1716', 8 + 4 * place + 2 * number, 17), row('Z', 24 + 4 * place + 2 * number, 30), row('SP', 25 + 4 * place + 2 * number, 30)];
  })),
];

function hintPattern(number: number): string {
  return `11010101000000110010 ${binary(number, 7)} 11111`;
}

const checked = <V, B>(b: Builder<V, B>, key: PointerKey, pointer: V, modifier: V): V => b.authenticatePointer(operation('authenticate', key), pointer, modifier);

/** The checked address in Rn. The modifier is Rm, which may be SP, or zero in the forms with Z. */
const targetOf = <V, B>(b: Builder<V, B>, f: Fields, key: PointerKey, zero: boolean): V => checked(b, key, b.x(f.n), zero ? b.number(0) : getOrSp(b, 1, f.m));

const jump = (key: PointerKey, zero: boolean): Semantics => (b, f) => {
  const target = targetOf(b, f, key, zero);
  b.branchType(jumpType(f.n));
  b.jump(target);
};

const call = (key: PointerKey, zero: boolean): Semantics => (b, f) => {
  const target = targetOf(b, f, key, zero);
  b.setX(30, b.pc(4));
  b.branchType('call');
  b.jump(target);
};

const BRANCHES: readonly Row[] = (['IA', 'IB'] as const).flatMap((key, m) => {
  const letter = key[1]!;
  const text = letter.toLowerCase();
  return [
    instruction(`BRA${letter}`, `1101011 1 0 00 11111 00001 ${m} nnnnn mmmmm`, jump(key, false), `bra${text} <Xn>, <Xm|SP>`),
    instruction(`BRA${letter}Z`, `1101011 0 0 00 11111 00001 ${m} nnnnn 11111`, jump(key, true), `bra${text}z <Xn>`),
    instruction(`BLRA${letter}`, `1101011 1 0 01 11111 00001 ${m} nnnnn mmmmm`, call(key, false), `blra${text} <Xn>, <Xm|SP>`),
    instruction(`BLRA${letter}Z`, `1101011 0 0 01 11111 00001 ${m} nnnnn 11111`, call(key, true), `blra${text}z <Xn>`),
    instruction(`RETA${letter}`, `1101011 0 0 10 11111 00001 ${m} 11111 11111`, (b) => b.jump(checked(b, key, b.x(30), b.stackPointer())), `reta${text}`),
    instruction(`ERETA${letter}`, `1101011 0 1 00 11111 00001 ${m} 11111 11111`, (b) => b.exceptionReturn(key), `ereta${text}`),
  ];
});

/** The offset is S:imm9, h and i, in units of eight bytes. */
const offset = (f: Fields): number => signed(f.h * 512 + f.i, 10) * 8;

/** LDRAA and LDRAB: the base is checked with a modifier of zero; the base written back is the checked one. Written last, as other bases are. */
const LOADS: readonly Row[] = (['DA', 'DB'] as const).flatMap((key, m) => {
  const name = `LDRA${key[1]}`;
  const text = name.toLowerCase();
  const address = <V, B>(b: Builder<V, B>, f: Fields): V => displaced(b, checked(b, key, base(b, f.n), b.number(0)), offset(f));
  return [
    instruction(`${name} (offset)`, `11 111 0 00 ${m} h 1 iiiiiiiii 0 1 nnnnn ttttt`, (b, f) => b.setX(f.t, b.load(address(b, f), 8, transfer('plain', f.t, true, false))), `${text} <Xt>, [<Xn|SP><, #split h i>]`),
    instruction(`${name} (pre-index)`, `11 111 0 00 ${m} h 1 iiiiiiiii 1 1 nnnnn ttttt`, (b, f) => {
      const at = address(b, f);
      b.setX(f.t, b.load(at, 8, PLAIN));
      writeBack(b, f.n, at);
    }, [alias(`${text} <Xt>, [<Xn|SP>]!`, { h: 0, i: 0 }), `${text} <Xt>, [<Xn|SP>, #<split h i>]!`]),
  ];
});

export const POINTER_AUTHENTICATION: readonly Row[] = [...REGISTERS, ...OTHERS, ...HINTS, ...BRANCHES, ...LOADS];
