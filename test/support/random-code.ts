/** Pages of random instructions of every row, with loops, faults and stores into code, for comparing engines: a core at EL1 with 1 GiB mapped flat, whose handler skips what faults. */

import { ROWS } from '../../machines/aarch64/a64.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import type { EngineName } from '../../machines/aarch64/board.ts';
import { decode } from '../../machines/aarch64/decode.ts';
import { encode, noFields, type Row } from '../../machines/aarch64/row.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { writeBytes, writeWord } from '../../machines/memory/memory.ts';
import { words as textWords } from './guest-program.ts';
import { type Bare, RAM, bareCore, program, set } from './core.ts';

export const CODE = RAM + 0x1_0000;
const VECTORS = RAM + 0x8000;
/** Data, among it the last page of code. */
const DATA = CODE + 0x3000;
const PAGES = 4;
/** Instructions of a program. */
export const WORDS = PAGES * 1024;
const SCTLR = 0x30d0_0981n;

type Draw = (limit: number) => number;

/** Rows that leave the program to run: no waiting, no calls of firmware, no system registers. */
const EXCLUDED = /^(SYSL?|MSR|MRS|SVC|HVC|SMC|BRK|HLT|DCPS\d|UDF|ERET|DRPS|WFET?|WFIT?|SEVL?|BL?RA[AB]|RETA[AB]|ERETA)/;
const USABLE: readonly Row[] = ROWS.filter((row) => row.hole === undefined && !EXCLUDED.test(row.name));
const BRANCHES = USABLE.filter((row) => /^(B|BL|B\.cond|CBN?Z|TBN?Z|BR|BLR|RET)$/.test(row.name));
const LANDING = [0xd503_241f, 0xd503_245f, 0xd503_249f, 0xd503_24df, 0xd503_233f, 0xd420_0000];
const COMMON = USABLE.filter((row) => /^(ADD|SUB|AND|ORR|EOR|LDR|STR|LDP|STP|CSEL|CSINC|UBFM|SBFM|MADD|CCMP)/.test(row.name));

/** What a program of the wild kind has now and then: X24 and X25 are values of SCTLR_EL1, X26 and X27 of CPACR_EL1, X28 of MDSCR_EL1. */
const WILD: readonly ((draw: Draw) => string)[] = [
  (draw) => `msr ${['FPCR', 'FPSR', 'NZCV', 'TPIDR_EL0', 'TPIDRRO_EL0'][draw(5)]}, x${draw(16)}`, (draw) => `mrs x${draw(16)}, ${['FPCR', 'FPSR', 'NZCV', 'TPIDR_EL0', 'CurrentEL', 'DAIF', 'SPSel', 'PAN', 'CNTVCT_EL0', 'PMCCNTR_EL0', 'PMEVCNTR0_EL0', 'ESR_EL1', 'SPSR_EL1'][draw(13)]}`,
  (draw) => `msr ${['spsel', 'pan', 'uao', 'dit', 'ssbs'][draw(5)]}, #${draw(2)}`, (draw) => `msr ${['daifset', 'daifclr'][draw(2)]}, #${draw(16)}`, (draw) => `msr SCTLR_EL1, x${24 + draw(2)}`, (draw) => `msr CPACR_EL1, x${26 + draw(2)}`,
  (draw) => `msr MDSCR_EL1, ${draw(3) === 0 ? 'x28' : 'xzr'}`, (draw) => ['isb', 'dsb sy', 'tlbi vmalle1', 'tlbi vaae1is, x16', 'clrex', 'sev', 'wfe', 'wfi', 'svc #1', 'brk #2', 'ic iallu', 'dc zva, x16', 'esb'][draw(13)]!,
  (draw) => `${['ldxr x1, [x16]', 'stxr w2, x1, [x16]', 'ldaxp x1, x2, [x16]', 'stlxp w3, x1, x2, [x16]', 'ldadd x1, x2, [x16]', 'casal x1, x2, [x17]', 'ldtr x1, [x18]', 'sttr x1, [x18]'][draw(8)]}`,
];

/** A random word of some row. X0 to X15 are data; X16 to X18 are addresses of data, X21 to X23 of code, and are never written; X19 and X20 are the handler's. */
function randomWord(draw: Draw, wild: boolean): number {
  if (wild && draw(24) === 0) return textWords(WILD[draw(WILD.length)]!(draw), 0)[0]!;
  for (;;) {
    const kind = draw(8);
    const rows = kind === 0 ? BRANCHES : kind < 4 ? COMMON : USABLE;
    const row = rows[draw(rows.length)]!;
    const fields = noFields();
    for (const { letter, width } of row.spans) fields[letter] = draw(4) === 0 ? (draw(2) === 0 ? 0 : 2 ** width - 1) : draw(2 ** Math.min(width, 30));
    for (const letter of ['d', 't', 'u', 'e'] as const) if (row.spans.some((span) => span.letter === letter && span.width === 5)) fields[letter] = draw(8) === 0 ? 31 : draw(16);
    if (row.spans.some(({ letter }) => letter === 'n')) fields.n = /\[/.test(row.forms[0]?.text ?? '') ? 16 + draw(3) : draw(19);
    // Writing an address back would move it.
    if (/index\)/.test(row.name)) fields.n = draw(16);
    if (/^(BR|BLR|RET)$/.test(row.name)) fields.n = 21 + draw(3);
    if (/^(B|BL)$/.test(row.name)) fields.i = draw(2) === 0 ? draw(64) : (2 ** 26 - draw(64)) % 2 ** 26;
    if (/^(B\.cond|CBN?Z)$/.test(row.name)) fields.i = draw(2) === 0 ? draw(64) : (2 ** 19 - draw(64)) % 2 ** 19;
    if (/^TBN?Z$/.test(row.name)) fields.i = draw(2) === 0 ? draw(64) : (2 ** 14 - draw(64)) % 2 ** 14;
    const word = encode(row, fields);
    if (word !== undefined && decode(word).row === row) return word;
  }
}

/** A machine with the same program for each engine: everything is drawn from `draw`. The wild kind has system registers and exclusives in its program, and two cores that run it. */
export function randomMachine(draw: Draw, wild = false): (engine: EngineName) => Bare {
  const words = Array.from({ length: WORDS }, () => randomWord(draw, wild));
  const data = Array.from({ length: 32 }, () => (BigInt(draw(2 ** 30)) << 34n) ^ (BigInt(draw(2 ** 30)) << 8n) ^ BigInt(draw(256)));
  const bases = [DATA + 0x800 + draw(16) * 8, DATA + 0x1800 + draw(16), CODE + 0x4000 + draw(0x4000)];
  const stack = BigInt(CODE + 0xc000 + draw(2) * 8);
  const vectors = BigInt.asUintN(64, BigInt(draw(2 ** 30)) << 34n);
  const start = draw(512);
  // Branches land on what is made for it, now and then, and pages are guarded in half of the programs.
  const targets = [draw(1024), draw(1024), draw(PAGES * 1024)];
  for (const target of targets) if (draw(2) === 0) words[target] = LANDING[draw(LANDING.length)]!;
  const guarded = draw(2) === 0 ? 0n : 1n << 50n;
  const misaligned = draw(8) === 0 ? 2 : 0;
  return (engine) => {
    const bare = bareCore({ el: 1, el2: 'none', ramBytes: 0x20_0000, engine, cores: wild ? 2 : 1, features: { pmu: wild } });
    const { memory } = bare;
    const table = RAM;
    writeWord(memory, table + 8, BigInt(RAM) | 0x701n | guarded);
    // Each vector: on behind what faulted, in the program whatever PC is; else at its start.
    const handler = [
      'mrs x19, s3_0_c4_c0_1', 'add x19, x19, #4', 'movz x20, #0x4000, lsl #16', 'sub x20, x19, x20', 'lsr x20, x20, #21', 'cbz x20, 0x1c', 'movz x19, #0x4001, lsl #16',
      'and x19, x19, #0xfffffffffffffffc', 'msr s3_0_c4_c0_1, x19', 'eret',
    ].map((text, index) => assemble(text, BigInt(index * 4)));
    for (const offset of [0, 0x200]) program(memory, VECTORS + offset, handler);
    writeBytes(memory, CODE, new Uint8Array(Uint32Array.from(words).buffer));
    for (const core of bare.cores) {
      set(core, 'TTBR0_EL1', BigInt(table));
      set(core, 'TCR_EL1', 25n | (1n << 23n) | (1n << 8n) | (1n << 10n) | (3n << 12n) | (5n << 32n));
      set(core, 'MAIR_EL1', 0xffn);
      set(core, 'SCTLR_EL1', SCTLR);
      set(core, 'CPACR_EL1', 3n << 20n);
      set(core, 'VBAR_EL1', BigInt(VECTORS));
      for (let register = 0; register < 16; register++) core.words[register] = data[register]!;
      for (const [index, base] of bases.entries()) core.words[16 + index] = BigInt(base);
      for (const [index, target] of targets.entries()) core.words[21 + index] = BigInt(CODE + 4 * target + (index === 2 ? misaligned : 0));
      for (let word = 0; word < 64; word++) core.words[Word.VECTOR + word] = data[word % 32]! ^ (vectors >> BigInt(word % 7));
      set(core, 'SP_EL1', stack);
      core.words[Word.PC] = BigInt(CODE + 4 * ((start + 700 * core.index) % WORDS));
      if (!wild) continue;
      set(core, 'SP_EL0', stack + 0x1000n);
      for (const [register, value] of [[24, SCTLR], [25, SCTLR | 2n], [26, 3n << 20n], [27, 1n << 20n], [28, (1n << 15n) | (1n << 13n)]] as const) core.words[register] = value;
      for (const [name, value] of [['OSLSR_EL1', 8n], ['DBGWVR0_EL1', BigInt(bases[0]! & ~7)], ['DBGWCR0_EL1', 0x1fffn], ['DBGBVR0_EL1', BigInt(CODE + 4 * targets[0]!)], ['DBGBCR0_EL1', 0x1e7n]] as const) set(core, name, value);
      for (const [name, value] of [['PMCR_EL0', 0x41n], ['PMCNTENSET_EL0', 0x8000_0001n], ['PMEVTYPER0_EL0', 8n], ['PMINTENSET_EL1', 1n], ['PMEVCNTR0_EL0', 0xffff_0000n]] as const) set(core, name, value);
      core.words[Word.ATTEMPTED] = core.words[Word.PMU_CYCLES] = core.words[Word.PMU_RETIRED] = 1n;
    }
    return bare;
  };
}
