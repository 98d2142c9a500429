/** Guarded pages, unaligned accesses, hardware flags at both stages and deferred SErrors against qemu-system-aarch64: programs at EL1 and EL2 that say what they found. */

import { expect, test } from 'vitest';
import { load } from '../support/guest-program.ts';
import { AT, BEGIN_SAYING, QEMU_SYSTEM, SAY, type SystemProgram, hasQemuSystem, off, onOurs, onQemu } from '../support/qemu-system.ts';

/** Offsets from AT of what a program has: pages of code (the second guarded), vectors, tables, and pages of data. */
const GUARDED_CODE = 0x4000;
const EL1_VECTORS = 0x6000;
const VECTORS = 0x8000;
const [LEVEL1, LEVEL2, LEVEL3] = [0xa000, 0xb000, 0xc000] as const;
const [SECOND1, SECOND2, SECOND3] = [0xd000, 0xe000, 0xf000] as const;
const DATA = 0x1_0000;

const AF = 1n << 10n, READ_ONLY = 1n << 7n, DBM = 1n << 51n, GUARD = 1n << 50n, SHARED = 3n << 8n;
/** Stage 2: S2AP[0], S2AP[1], Normal write-back. */
const S2R = 1n << 6n, S2W = 1n << 7n, S2_NORMAL = 0xfn << 2n;

/** Identity: the first GiB is Device, the 2 MiB at AT are pages with attributes `of` their offset. */
function stage1(of: (offset: number) => bigint): [number, bigint][] {
  return [
    [LEVEL1, AF | (1n << 2n) | 1n], [LEVEL1 + 8, BigInt(AT + LEVEL2) | 3n], [LEVEL2 + 8, BigInt(AT + LEVEL3) | 3n],
    ...Array.from({ length: 64 }, (_, page): [number, bigint] => [LEVEL3 + 8 * page, BigInt(AT + 4096 * page) | SHARED | 3n | of(4096 * page)]),
  ];
}
function stage2(of: (offset: number) => bigint): [number, bigint][] {
  return [
    [SECOND1, AF | S2R | S2W | (1n << 2n) | 1n], [SECOND1 + 8, BigInt(AT + SECOND2) | 3n], [SECOND2 + 8, BigInt(AT + SECOND3) | 3n],
    ...Array.from({ length: 64 }, (_, page): [number, bigint] => [SECOND3 + 8 * page, BigInt(AT + 4096 * page) | SHARED | S2_NORMAL | 3n | of(4096 * page)]),
  ];
}

const TCR1 = 25n | (1n << 23n) | (1n << 8n) | (1n << 10n) | (3n << 12n) | (2n << 32n);
const SCTLR = 0x30d0_0981n | (1n << 2n) | (1n << 12n);
const mmuOn = (tcr: bigint, sctlr: bigint): string => `${load('x0', 0x00ffn)}; msr MAIR_EL1, x0; ${load('x0', TCR1 | tcr)}; msr TCR_EL1, x0; ${load('x0', AT + LEVEL1)}; msr TTBR0_EL1, x0; isb; ${load('x0', SCTLR | sctlr)}; msr SCTLR_EL1, x0; isb`;
/** Sync exceptions at EL1 say ESR, FAR for aborts, SPSR, and go on at X27 with PSTATE as it is in X26. */
const handler = (el: 1 | 2, offset: number): string => `
.org 0x${(VECTORS + offset).toString(16)}
b {handler}
.org 0x${(VECTORS + 0x800).toString(16)}
handler: mrs x0, ESR_EL${el}; mov x24, x0; bl {say}; lsr x24, x24, #26; sub x24, x24, #0x20; cmp x24, #5; b.hi {quiet}; mrs x0, FAR_EL${el}; bl {say}
${el === 2 ? 'mrs x0, HPFAR_EL2; bl {say}' : ''}
quiet: ${el === 1 ? 'mrs x0, SPSR_EL1; bl {say}; msr ELR_EL1, x27; msr SPSR_EL1, x26; eret' : 'br x27'}`;

interface Told { readonly program: SystemProgram; readonly least: number }

/** Where branches of each type may land: BR by X16, BLR, and BR in a guarded page, each onto each; with BT1 0 and 1. */
function guardedPages(): Told {
  const landings = ['nop', 'bti', 'bti c', 'bti j', 'bti jc', 'paciasp', 'pacibsp', 'autiasp', 'brk #7'];
  const jumps = [`br x16`, `blr x0`, `br x0`];
  let label = 0;
  const cases = [0n, 1n << 36n].map((bt) => [
    `${load('x0', SCTLR | bt)}; msr SCTLR_EL1, x0; isb`,
    ...landings.flatMap((_, landing) => [...jumps, 'guarded'].map((jump) => {
      const back = `back${label++}`;
      const target = `${load('x16', AT + GUARDED_CODE + 0x100 + 16 * landing)}; mov x0, x16; adr x27, {${back}}`;
      const act = jump === 'guarded' ? `${load('x17', AT + GUARDED_CODE)}; br x17` : jump;
      return `${target}; ${act}\n${back}: movz x0, #${label}; bl {say}`;
    })),
  ].join('\n')).join('\n');
  return {
    least: 2 * landings.length * 4,
    program: {
      level: 1,
      text: `${BEGIN_SAYING}; ${load('x0', AT + VECTORS)}; msr VBAR_EL1, x0; movz x26, #0x3c5; ${mmuOn(0n, 0n)}
${cases}
${off(1)}
${SAY}
.org 0x${GUARDED_CODE.toString(16)}
bti jc; br x0
.org 0x${(GUARDED_CODE + 0x100).toString(16)}
${landings.map((landing) => `${landing}; br x27; nop; nop`).join('\n')}
${handler(1, 0x200)}`,
      data: new Map(stage1((offset) => AF | (offset === GUARDED_CODE ? GUARD : 0n))),
    },
  };
}

/** Kinds of exclusive, atomic and ordered access (but store-exclusives, whose monitor QEMU looks at first) at offsets within 16 bytes and across them, with SCTLR_EL1.nAA and A. */
function unaligned(): Told {
  const acts = ['ldxr x3, [x4]', 'ldaxr w3, [x4]', 'ldxp w3, w5, [x4]', 'ldxp x3, x5, [x4]', 'ldadd x3, x5, [x4]', 'swpalh w3, w5, [x4]', 'cas w3, w5, [x4]', 'casp w8, w9, w10, w11, [x4]', 'casp x8, x9, x10, x11, [x4]', 'ldar x3, [x4]', 'stlrh w3, [x4]', 'ldapr w3, [x4]', 'ldapur x3, [x4, #1]', 'stlur w3, [x4]'];
  const offsets = [0, 1, 4, 8, 9, 12, 15];
  let label = 0;
  const cases = [0n, 1n << 6n, 1n << 1n].map((bits) => [
    `${load('x0', SCTLR | bits)}; msr SCTLR_EL1, x0; isb`,
    ...acts.flatMap((act) => offsets.map((offset) => {
      const back = `back${label++}`;
      return `movz x25, #0; adr x27, {${back}}; ${load('x4', AT + DATA + 64 + offset)}; ${act}; movz x25, #1\n${back}: mov x0, x25; bl {say}`;
    })),
  ].join('\n')).join('\n');
  return {
    least: 3 * acts.length * offsets.length,
    program: {
      level: 1,
      text: `b {start}\n${SAY}\nstart: ${BEGIN_SAYING}; ${load('x0', AT + VECTORS)}; msr VBAR_EL1, x0; movz x26, #0x3c5; ${mmuOn(0n, 0n)}; b {cases}
${handler(1, 0x200)}
.org 0x2_0000
cases: ${cases}
${off(1)}`.replace('0x2_0000', '0x20000'),
      data: new Map(stage1(() => AF)),
    },
  };
}

/** Stage 1 descriptors before and after a load, a store, an AT and a store again, with TCR_EL1.{HA, HD} as told. */
function flags1(): Told {
  const leaves = [0n, AF, READ_ONLY, AF | READ_ONLY, DBM, READ_ONLY | DBM, AF | READ_ONLY | DBM, AF | DBM];
  let label = 0;
  const descriptor = (page: number): string => `${load('x4', AT + LEVEL3 + 8 * (DATA / 4096 + page))}; ldr x0, [x4]; bl {say}`;
  const act = (what: string): string => { const back = `back${label++}`; return `adr x27, {${back}}; ${what}\n${back}: `; };
  const cases = [0n, 1n, 3n].map((bits) => [
    `${load('x0', TCR1 | (bits << 39n))}; msr TCR_EL1, x0; isb`,
    ...leaves.map((leaf, page) => {
      const at = AT + DATA + 4096 * page;
      const reset = `${load('x4', AT + LEVEL3 + 8 * (DATA / 4096 + page))}; ${load('x3', BigInt(at) | SHARED | 3n | leaf)}; str x3, [x4]; dsb sy; .inst 0xd508871f; dsb sy; isb`;
      const access = (what: string): string => `${act(`${load('x5', at)}; ${what}`)}dsb sy; ${descriptor(page)}`;
      return [reset, access('ldr x3, [x5]'), access('str x5, [x5]'), reset, access('str x5, [x5]'), access('ldr x3, [x5]')].join('\n');
    }),
  ].join('\n')).join('\n');
  return {
    least: 3 * leaves.length * 4,
    program: {
      level: 1,
      text: `b {start}\n${SAY}\nstart: ${BEGIN_SAYING}; ${load('x0', AT + VECTORS)}; msr VBAR_EL1, x0; movz x26, #0x3c5; ${mmuOn(0n, 0n)}; b {cases}
${handler(1, 0x200)}
.org 0x20000
cases: ${cases}
${off(1)}`,
      data: new Map(stage1(() => AF)),
    },
  };
}

/** Stage 2: flags by VTCR_EL2.{HA, HD}, XN[1:0] at EL1 and EL0, and a walk of EL1's own that marks flags in pages that stage 2 lets it write or not. */
function stage2Flags(): Told {
  const leaves = [S2R, S2R | S2W, S2R | DBM, AF | S2R | DBM, AF | S2R, AF | S2R | S2W | DBM, AF | S2W, DBM];
  let label = 0;
  const entry = (page: number): number => AT + SECOND3 + 8 * (DATA / 4096 + page);
  const below = (slot: number, spsr: number, more = ''): string => {
    const back = `back${label++}`;
    return `${load('x0', AT + EL1_VECTORS + 0x800 + 16 * slot)}; msr ELR_EL2, x0; movz x0, #${spsr}; msr SPSR_EL2, x0; adr x27, {${back}}; ${more}\neret\n${back}: dsb sy`;
  };
  const [LOAD, STORE] = [0, 1];
  const set = (address: number, value: bigint): string => `${load('x4', address)}; ${load('x3', value)}; str x3, [x4]; dsb sy; .inst 0xd50c87df; dsb sy; isb`;
  const tell = (address: number): string => `${load('x4', address)}; ldr x0, [x4]; bl {say}`;
  const leaf = (page: number, bits: bigint): bigint => BigInt(AT + DATA + 4096 * page) | SHARED | S2_NORMAL | 3n | bits;
  const VTCR = 0x8000_0000n | (2n << 16n) | (3n << 12n) | (1n << 10n) | (1n << 8n) | (1n << 6n) | 25n;
  const flags = [0n, 1n, 3n].map((bits) => [
    `${load('x0', VTCR | (bits << 21n))}; msr VTCR_EL2, x0; isb`,
    ...leaves.map((bitsOfLeaf, page) => {
      const access = (slot: number): string => `${below(slot, 0x3c5, load('x5', AT + DATA + 4096 * page))}; ${tell(entry(page))}`;
      return [set(entry(page), leaf(page, bitsOfLeaf)), access(LOAD), access(STORE), set(entry(page), leaf(page, bitsOfLeaf)), access(STORE)].join('\n');
    }),
  ].join('\n')).join('\n');
  const never = [0n, 1n, 2n, 3n].flatMap((xn) => [0x3c5, 0x3c0].map((spsr) => {
    const back = `back${label++}`;
    return `${set(entry(9), leaf(9, AF | S2R | S2W | (xn << 53n)))}; ${load('x0', AT + DATA + 4096 * 9)}; msr ELR_EL2, x0; movz x0, #${spsr}; msr SPSR_EL2, x0; adr x27, {${back}}; eret\n${back}: nop`;
  })).join('\n');
  // EL1's stage 1 on with HA and HD: its level 3 table's page as stage 2 has it, and a page of data that is clean at stage 1.
  const table = AT + SECOND3 + 8 * (LEVEL3 / 4096);
  const s1leaf = BigInt(AT + DATA + 4096 * 10) | SHARED | 3n | READ_ONLY | DBM;
  const walks = [S2R | S2W | AF, S2R | AF, S2R | DBM, S2R | S2W].map((bits) => [
    set(table, BigInt(AT + LEVEL3) | SHARED | S2_NORMAL | 3n | bits), `${load('x4', AT + LEVEL3 + 8 * (DATA / 4096 + 10))}; ${load('x3', s1leaf)}; str x3, [x4]; dsb sy; .inst 0xd50c87df; dsb sy; isb`,
    ...[LOAD, STORE].map((slot) => `${below(slot, 0x3c5, load('x5', AT + DATA + 4096 * 10))}; ${tell(AT + LEVEL3 + 8 * (DATA / 4096 + 10))}; ${tell(table)}`),
  ].join('\n')).join('\n');
  return {
    least: 3 * leaves.length * 3 + 8,
    program: {
      level: 2,
      text: `b {start}\n${SAY}\nstart: ${BEGIN_SAYING}; ${load('x0', AT + VECTORS)}; msr VBAR_EL2, x0; ${load('x0', AT + EL1_VECTORS)}; msr VBAR_EL1, x0; ${load('x0', 0x30d0_0980)}; msr SCTLR_EL1, x0
${load('x0', AT + SECOND1)}; msr VTTBR_EL2, x0; ${load('x0', (1n << 31n) | (3n << 40n) | 1n)}; msr HCR_EL2, x0; isb; b {cases}
.org 0x${(EL1_VECTORS + 0x200).toString(16)}
hvc #2
.org 0x${(EL1_VECTORS + 0x400).toString(16)}
hvc #3
.org 0x${(EL1_VECTORS + 0x800).toString(16)}
ldr x3, [x5]; hvc #1; nop; nop
str x5, [x5]; hvc #1; nop; nop
${handler(2, 0x400)}
.org 0x20000
cases: ${flags}
${never}
${mmuOn(3n << 39n, 0n)}
${walks}
${off(2)}`,
      data: new Map([
        ...stage1(() => AF), ...stage2(() => AF | S2R | S2W), [DATA + 4096 * 9, 0xd400_0001n],
        // EL0 may execute there, and EL1's own stage 1 says nothing while it is off.
      ]),
    },
  };
}

/** ESB with a virtual SError pending and masked: what is in DISR_EL1 below, in VDISR_EL2 above, and of HCR_EL2.VSE. */
function deferred(): Told {
  let label = 0;
  const cases = [0n, 1n << 5n].flatMap((amo) => [0n, 1n << 8n].map((vse) => {
    const back = `back${label++}`;
    return `${load('x0', (1n << 31n) | amo | vse)}; msr HCR_EL2, x0; ${load('x0', 0x100_0456)}; msr VSESR_EL2, x0; movz x0, #0x11; msr VDISR_EL2, x0; movz x0, #0x22; msr DISR_EL1, x0
${load('x0', AT + EL1_VECTORS)}; msr ELR_EL2, x0; movz x0, #0x3c5; msr SPSR_EL2, x0; adr x27, {${back}}; eret
${back}: mov x0, x7; bl {say}; mov x0, x8; bl {say}; mrs x0, VDISR_EL2; bl {say}; mrs x0, DISR_EL1; bl {say}; mrs x0, HCR_EL2; and x0, x0, #0x100; bl {say}`;
  })).join('\n');
  return {
    least: 4 * 6,
    program: {
      level: 2,
      text: `b {start}\n${SAY}\nstart: ${BEGIN_SAYING}; ${load('x0', AT + VECTORS)}; msr VBAR_EL2, x0; ${load('x0', 0x30d0_0980)}; msr SCTLR_EL1, x0
${cases}
${off(2)}
.org 0x${EL1_VECTORS.toString(16)}
mrs x7, DISR_EL1; esb; mrs x8, DISR_EL1; hvc #1
${handler(2, 0x400)}`,
    },
  };
}

/**
 * AT S12E1R and S12E0W over memory types of stage 2 and five of stage 1, with HCR_EL2.FWB 0 and 1. Left out is where QEMU is not the Arm ARM: Device at stage 2 over Normal Non-cacheable (it reads
 * the 4 of 0x44 as nGnRE), and with FWB Device over Device (it takes stage 2's; S2CombineS1Device takes the stricter). translate-attributes.test.ts has those.
 */
function memoryTypes(): Told {
  const MAIR = 0x0c_bb04_0044_00ffn;
  const cases = [0n, 1n << 46n].map((fwb) => [
    `${load('x0', (1n << 31n) | 1n | fwb)}; msr HCR_EL2, x0; isb`,
    ...[0, 2, 3, 4, 5].flatMap((first) => Array.from({ length: fwb === 0n ? 16 : 8 }, (_, second) => second).filter((second) => (fwb === 0n ? (second % 4 !== 0 || second < 4) && !(first === 2 && (second === 2 || second === 3)) : second !== 4 && !((first === 3 || first === 4) && second < 4))).map((second) => [
      `${load('x4', AT + LEVEL3 + 8 * (DATA / 4096))}; ${load('x3', BigInt(AT + DATA) | SHARED | AF | (1n << 6n) | (BigInt(first) << 2n) | 3n)}; str x3, [x4]`,
      `${load('x4', AT + SECOND3 + 8 * (DATA / 4096))}; ${load('x3', BigInt(AT + DATA) | SHARED | AF | S2R | S2W | (BigInt(second) << 2n) | 3n)}; str x3, [x4]; dsb sy; .inst 0xd50c87df; dsb sy; isb`,
      `${load('x4', AT + DATA)}; at s12e1r, x4; isb; mrs x0, PAR_EL1; bl {say}; ${load('x4', AT + DATA)}; at s12e0w, x4; isb; mrs x0, PAR_EL1; bl {say}`,
    ].join('\n'))),
  ].join('\n')).join('\n');
  return {
    least: 150,
    program: {
      level: 2,
      text: `b {start}\n${SAY}\nstart: ${BEGIN_SAYING}; ${load('x0', AT + VECTORS)}; msr VBAR_EL2, x0; ${load('x0', MAIR)}; msr MAIR_EL1, x0; ${load('x0', TCR1)}; msr TCR_EL1, x0; ${load('x0', AT + LEVEL1)}; msr TTBR0_EL1, x0
${load('x0', SCTLR)}; msr SCTLR_EL1, x0; ${load('x0', 0x8000_0000n | (2n << 16n) | (3n << 12n) | (1n << 10n) | (1n << 8n) | (1n << 6n) | 25n)}; msr VTCR_EL2, x0; ${load('x0', AT + SECOND1)}; msr VTTBR_EL2, x0; b {cases}
${handler(2, 0x200)}
.org 0x20000
cases: ${cases}
${off(2)}`,
      data: new Map([...stage1(() => AF), ...stage2(() => AF | S2R | S2W)]),
    },
  };
}

const PROGRAMS = [
  ['guarded pages', guardedPages], ['unaligned accesses', unaligned], ['flags of stage 1', flags1], ['flags and XN of stage 2', stage2Flags], ['deferred SErrors', deferred],
  ['memory types of both stages', memoryTypes],
] as const;

for (const [what, make] of PROGRAMS) {
  test.skipIf(!hasQemuSystem)(`${what} are as on QEMU (needs ${QEMU_SYSTEM})`, () => {
    const { program, least } = make();
    const ours = onOurs(program);
    expect(ours.length).toBeGreaterThanOrEqual(least);
    // An Alignment fault of a load-exclusive, and of what QEMU checks as an atomic, has WnR there (the Arm ARM: a read has not).
    const same = (word: string): string => word.replace('96000061', '96000021');
    expect(ours.map(same)).toEqual(onQemu(program, 'max,pauth-qarma5=on').map(same));
  });
}
