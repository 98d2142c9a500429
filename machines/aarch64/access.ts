/** Placeholder: system registers as plain storage. */
import type { Core } from './state.ts';
import { Word } from './state.ts';
import { SYSTEM_REGISTERS, FIRST_SYSTEM_WORD } from './sysregs.ts';
import { undefinedInstruction } from './exception.ts';
const NZCV = 0xda10;
const at = (encoding: number): number => SYSTEM_REGISTERS.findIndex((row) => row.encoding === encoding);
export function readSystemRegister(core: Core, encoding: number, _rt: number): bigint {
  if (encoding === NZCV) return core.words[Word.NZCV]! << 28n;
  const index = at(encoding);
  return index < 0 ? undefinedInstruction(core) : core.words[FIRST_SYSTEM_WORD + index]!;
}
export function writeSystemRegister(core: Core, encoding: number, value: bigint, _rt: number): void {
  if (encoding === NZCV) { core.words[Word.NZCV] = (value >> 28n) & 15n; return; }
  const index = at(encoding);
  if (index < 0) undefinedInstruction(core);
  core.words[FIRST_SYSTEM_WORD + index] = value;
}
export function systemInstruction(_core: Core, _encoding: number, _value: bigint, _rt: number, _hasResult = false): void {}
export function msrImmediate(_core: Core, _op1: number, _crm: number, _op2: number): void {}
