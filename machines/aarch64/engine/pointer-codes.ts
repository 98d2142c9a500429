/** Pointer authentication by the engines' code: what the controls say, as words of the scratch area, and the function that signs, checks and strips by them. */

import type { PointerKey, PointerOperation } from '../builder.ts';
import { keyWords, type PointerControls } from '../pointer-authentication.ts';
import { importIndex, Local } from './handler.ts';
import { Scratch } from './layout.ts';
import { Access, Code, I64, Op } from './wasm/code.ts';

/** What an instruction is to do: leave it to the reference engine (a trap, QARMA5, no feature), nothing, or the operation. */
export const Pointers = { REFERENCE: 0, NOTHING: 1, COMPUTE: 2 } as const;

/** Words of the scratch area behind Scratch.POINTERS, by key; strips have their own. */
const PLACES: Readonly<Record<PointerKey | 'strip', number>> = { IA: 0, IB: 4, DA: 8, DB: 12, GA: 16, strip: 20 };

/** Acts, and a bit that says that the pointer is one to data. */
const ACTS: Readonly<Record<PointerOperation['act'], number>> = { sign: 0, authenticate: 1, strip: 2, generic: 3 };
const DATA = 4;

/** Tells the scratch area what the controls say. */
export function notePointerControls({ computes, enabled, trapped, layouts }: PointerControls, view: DataView, scratch: number): void {
  const say = (place: keyof typeof PLACES, what: number): void => view.setInt32(scratch + Scratch.POINTERS + PLACES[place], what, true);
  for (const key of ['IA', 'IB', 'DA', 'DB'] as const) say(key, !computes ? Pointers.REFERENCE : !enabled[key] ? Pointers.NOTHING : trapped ? Pointers.REFERENCE : Pointers.COMPUTE);
  say('GA', computes && !trapped ? Pointers.COMPUTE : Pointers.REFERENCE);
  say('strip', computes ? Pointers.COMPUTE : Pointers.REFERENCE);
  for (const [kind, { selectBit, fields }] of layouts.entries()) {
    view.setInt32(scratch + Scratch.POINTER_SELECT + 4 * kind, selectBit, true);
    for (const [index, field] of fields.entries()) view.setBigUint64(scratch + Scratch.POINTER_FIELDS + 32 * kind + 8 * index, field, true);
  }
}

/** Puts on the stack what `operation` is to do. */
export function pushPointerAction(code: Code, { act, key }: PointerOperation): void {
  code.get(Local.SCRATCH); code.access(Access.i32_load, Scratch.POINTERS + PLACES[act === 'strip' ? 'strip' : key]);
}

/** The result of `operation`, which is to be computed. */
export function emitPointerCode(code: Code, { act, key }: PointerOperation, pointer: number, modifier: number): number {
  const [low, high] = keyWords(key);
  code.get(Local.SCRATCH); code.get(pointer); code.get(modifier);
  for (const word of [low, high]) { code.get(Local.CORE); code.access(Access.i64_load, word * 8); }
  code.i32(ACTS[act] | (key[0] === 'D' ? DATA : 0));
  code.call(importIndex('pointerCode'));
  return code.keep(I64);
}

const PRIMES = [0x9e37_79b1_85eb_ca87n, 0xc2b2_ae3d_27d4_eb4fn, 0x1656_67b1_9e37_79f9n, 0x85eb_ca77_c2b2_ae63n] as const;
const BIT_55 = 1n << 55n;

/** pointer-authentication.ts's sign, check and strip, and qarma.ts's fastCode. Parameters: scratch, pointer, modifier, key's low and high half, act. */
export function pointerCode(): Uint8Array {
  const code = new Code(6);
  const [scratch, pointer, modifier, low, high, act] = [0, 1, 2, 3, 4, 5];
  const isAct = (name: keyof typeof ACTS): void => { code.get(act); code.i32(DATA - 1); code.op(Op.i32_and); code.i32(ACTS[name]); code.op(Op.i32_eq); };
  const data = code.local(I64), upper = code.local(I64), select = code.local(I64), field = code.local(I64);
  code.get(pointer); code.set(data);
  isAct('generic'); code.op(Op.i32_eqz);
  code.if();
  code.get(pointer); code.i64(55n); code.op(Op.i64_shr_u); code.i64(1n); code.op(Op.i64_and); code.tee(upper); code.set(select);
  isAct('sign');
  code.if();
  code.get(pointer);
  // The word of the kind: act has DATA, which is the distance of the two.
  code.get(scratch); code.get(act); code.i32(DATA); code.op(Op.i32_and); code.op(Op.i32_add); code.access(Access.i32_load, Scratch.POINTER_SELECT); code.op(Op.i64_extend_i32_u);
  code.op(Op.i64_shr_u); code.i64(1n); code.op(Op.i64_and); code.set(select);
  code.end();
  code.get(scratch); code.get(act); code.i32(DATA); code.op(Op.i32_and); code.i32(3); code.op(Op.i32_shl); code.op(Op.i32_add);
  code.get(upper); code.i64(1n); code.op(Op.i64_shl); code.get(select); code.op(Op.i64_or); code.op(Op.i32_wrap_i64); code.i32(3); code.op(Op.i32_shl); code.op(Op.i32_add);
  code.access(Access.i64_load, Scratch.POINTER_FIELDS); code.set(field);
  // The field as `select` has it.
  code.get(pointer); code.get(field); code.op(Op.i64_or);
  code.get(pointer); code.get(field); code.i64(-1n); code.op(Op.i64_xor); code.op(Op.i64_and);
  code.get(select); code.op(Op.i32_wrap_i64); code.op(Op.select); code.set(data);
  isAct('strip');
  code.if(); code.get(data); code.op(Op.return); code.end();
  code.end();

  const mix = (start: bigint | undefined, pushInput: () => void): number => {
    pushInput(); code.i64(PRIMES[1]); code.op(Op.i64_mul);
    if (start !== undefined) { code.i64(start); code.op(Op.i64_add); }
    code.i64(31n); code.op(Op.i64_rotl); code.i64(PRIMES[0]); code.op(Op.i64_mul);
    return code.keep(I64);
  };
  const inputs = [[1n + PRIMES[0] + PRIMES[1], data], [1n + PRIMES[1], modifier], [1n, low], [1n - PRIMES[0], high]] as const;
  const lanes = inputs.map(([start, input]) => mix(BigInt.asIntN(64, start), () => code.get(input)));
  for (const [index, turn] of [1n, 7n, 12n, 18n].entries()) {
    code.get(lanes[index]!); code.i64(turn); code.op(Op.i64_rotl);
    if (index > 0) code.op(Op.i64_add);
  }
  const hash = code.keep(I64);
  for (const lane of lanes) {
    const mixed = mix(undefined, () => code.get(lane));
    code.get(hash); code.get(mixed); code.op(Op.i64_xor); code.i64(PRIMES[0]); code.op(Op.i64_mul); code.i64(PRIMES[3]); code.op(Op.i64_add); code.set(hash);
  }
  for (const [shift, prime] of [[33n, PRIMES[1]], [29n, PRIMES[2]]] as const) {
    code.get(hash); code.get(hash); code.i64(shift); code.op(Op.i64_shr_u); code.op(Op.i64_xor); code.i64(prime); code.op(Op.i64_mul); code.set(hash);
  }
  code.get(hash); code.get(hash); code.i64(32n); code.op(Op.i64_shr_u); code.op(Op.i64_xor); code.set(hash);

  isAct('generic');
  code.if(); code.get(hash); code.i64(~0xffff_ffffn); code.op(Op.i64_and); code.op(Op.return); code.end();
  code.get(pointer); code.get(hash); code.get(field); code.op(Op.i64_and); code.i64(~BIT_55); code.op(Op.i64_and); code.op(Op.i64_xor); code.set(data);
  isAct('sign');
  code.if();
  code.get(data); code.i64(~BIT_55); code.op(Op.i64_and); code.get(select); code.i64(55n); code.op(Op.i64_shl); code.op(Op.i64_or); code.set(data);
  code.end();
  code.get(data);
  return code.finish();
}
