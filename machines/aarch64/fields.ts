/** Fields of system registers by name: `HCR_EL2.TVM` is a place in a word of the vCPU block. */

import { bits } from '../bits.ts';
import type { Fields } from './registers/row.ts';
import type { Core } from './state.ts';
import { registerByName, slot } from './sysregs.ts';

export interface FieldPlace {
  readonly register: string;
  readonly lsb: number;
  readonly width: number;
}

/** The place of `HCR_EL2.TVM`. `e2h` takes the layout of HCR_EL2.E2H = 1 where a register has two. Throws RangeError for an unknown name. */
export function fieldPlace(name: string, e2h = false): FieldPlace {
  const dot = name.indexOf('.');
  const register = name.slice(0, dot);
  const row = registerByName(register);
  const place = ((e2h ? row?.fieldsE2h : undefined) ?? row?.fields)?.[name.slice(dot + 1)];
  if (place === undefined) throw new RangeError(`no row has a field ${name}`);
  return typeof place === 'number' ? { register, lsb: place, width: 1 } : { register, lsb: place[0], width: place[1] };
}

/** A test of one bit of a core's register, as fast as the block allows. */
export function bitTest(name: string, e2h = false): (core: Core) => boolean {
  const { register, lsb, width } = fieldPlace(name, e2h);
  if (width !== 1) throw new RangeError(`${name} has ${width} bits`);
  return bitOf(register, lsb);
}

/** A test of bit `lsb` of register `register`. */
export function bitOf(register: string, lsb: number): (core: Core) => boolean {
  const half = 2 * slot(register) + (lsb >> 5);
  const shift = lsb & 31;
  return (core) => ((core.ints[half]! >>> shift) & 1) === 1;
}

/** The value of a field in a register's value. */
export function fieldValue(name: string, value: bigint, e2h = false): bigint {
  const { lsb, width } = fieldPlace(name, e2h);
  return bits(value, lsb + width - 1, lsb);
}

/** The mask of one field. */
export function fieldMask(name: string, e2h = false): bigint {
  const { lsb, width } = fieldPlace(name, e2h);
  return ((1n << BigInt(width)) - 1n) << BigInt(lsb);
}

/** A register's fields from the highest bit down: name and value. Registers without fields have one, without a name. */
export function fieldsOf(register: string, value: bigint, e2h = false): readonly { readonly name: string; readonly lsb: number; readonly width: number; readonly value: bigint }[] {
  const row = registerByName(register);
  const fields: Fields = (e2h ? row?.fieldsE2h : undefined) ?? row?.fields ?? {};
  return Object.entries(fields)
    .map(([name, place]) => {
      const [lsb, width] = typeof place === 'number' ? [place, 1] : place;
      return { name, lsb, width, value: bits(value, lsb + width - 1, lsb) };
    })
    .sort((a, b) => b.lsb - a.lsb);
}
