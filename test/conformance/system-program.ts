/** Random programs for the system-level oracle: at EL2, EL1 and EL0, under random translation tables and traps, taking every exception; they never end. */

import { ROWS } from '../../machines/aarch64/a64.ts';
import { decode } from '../../machines/aarch64/decode.ts';
import type { Row } from '../../machines/aarch64/row.ts';
import { IMPLEMENTED_REGISTERS, registerByName, sanitise, type Hardware, type SystemRegister } from '../../machines/aarch64/sysregs.ts';
import { hasFeature, type Feature } from '../../machines/aarch64/registers/features.ts';
import { OPERATIONS } from '../../machines/aarch64/registers/operations.ts';
import { takesRegister } from '../../machines/aarch64/instructions/system.ts';
import { words } from '../support/guest-program.ts';
import { integer } from './random-state.ts';
import { randomWord } from './random-words.ts';
import { Bit, MAIR, ap, attribute, map, newSpace, shareability, shiftOf, tablesFrom, type Granule, type Space, type Tables } from './system-tables.ts';

export interface SystemProgram {
  readonly entry: number;
  /** What is loaded, by physical address. */
  readonly parts: readonly { readonly address: number; readonly bytes: Uint8Array }[];
  /** Ranges whose contents are compared now and then. */
  readonly watched: readonly { readonly address: number; readonly bytes: number; readonly tables?: boolean }[];
  /** In a few words, for a report. */
  readonly title: string;
}

/** Physical addresses: code of each Exception level in a 64 KiB page of its own, data, tables. */
const CODE: readonly [number, number, number] = [0x4020_0000, 0x4021_0000, 0x4022_0000];
/** Whether an address is one of the code's, in either half. */
export const isCode = (address: bigint): boolean => CODE.some((base) => Math.floor(Number(address & 0xffff_ffffn) / 0x10000) === base / 0x10000);
const POOL = 0x8000;
const DATA = 0x4040_0000;
const DATA_BYTES = 0x10_0000;
const TABLES = 0x4080_0000;
/** Memory that nothing else is in. */
const FREE = 0x4200_0000;
const RAM = 0x4000_0000;
const RAM_BYTES = 0x400_0000;
/** Intermediate physical addresses of which stage 2 makes data pages, with every permission; without stage 2 nothing is there. */
const IPA_WINDOW = 0x5000_0000;
const IPA_SLOTS = 16;
/** Virtual addresses of which stage 1 makes pages and blocks of every kind. */
const WINDOW = 0x6000_0000;
const WINDOW_SLOTS = 48;
const BLOCK_WINDOW = 0x6800_0000;

const FRAGMENTS = 20;
type Level = 0 | 1 | 2;
const fragmentAddress = (level: Level, fragment: number): number => CODE[level]! + 0x2000 + fragment * 0x140;
type Random = () => number;

/** What the machine is; `translated`: EL1 and EL2 always have their MMU on, since without it the width of physical addresses shows. */
export interface Target { readonly hardware: Hardware; readonly translated: boolean }

/** X26 chooses where to go on, X27 and X28 are the handlers': acts leave them alone. */
const RESERVED = [26, 27, 28];

/** Registers that acts neither read nor write, by name. */
export const NOT_ACCESSED: readonly (readonly [name: RegExp, reason: string])[] = [
  [/^CNT/, 'timers are off, and counters count time'],
  [/^(ICC|ICV|ICH)_/, 'the interrupt controller is off'],
  [/^PM/, 'counters of the performance monitor count what QEMU does not'],
  [/^(MDSCR|OSLAR|OSLSR|OSDLR|DBG|MDCC|OSDT|OSECC|MDRAR)/, 'the debug communication and authentication interface is IMPLEMENTATION DEFINED in what it answers'],
  [/^(RMR|RVBAR)/, 'asks for a reset, or says where one goes'],
  [/^ISR_EL1/, 'says which interrupts are pending'],
];
/** Written only with the values of a context that holds together: anything else ends in a loop of aborts. */
const IN_CONTEXTS = /^(TTBR[01]|TCR|SCTLR|VBAR|MAIR|HCR|VTCR|VTTBR|VNCR|SP)_EL/;
/** Read alike only where ID registers are alike: what is read is taken from QEMU. */
export const IDENTIFICATION = /^(ID_|MIDR|MPIDR|REVIDR|CTR_EL0|CLIDR|CCSIDR|AIDR|DCZID|MVFR|S3_0_C0_|VPIDR|VMPIDR|GMID)/;

export function randomSystemProgram(random: Random, { hardware, translated }: Target): SystemProgram {
  const draw = (limit: number): number => random() % limit;
  const pick = <T>(...choices: readonly T[]): T => choices[draw(choices.length)]!;
  const chance = (of: number): boolean => draw(of) === 0;
  const tables = tablesFrom(TABLES);
  const e2h = hasFeature(hardware, 'FEAT_VHE') && chance(2);
  const waits = chance(2);
  const has = (name: string): boolean => hasFeature(hardware, name as Feature);

  const regions = CODE.map((base) => ({ base, lines: [] as string[], pool: [] as bigint[] }));
  const constant = (level: Level, value: bigint): string => {
    const { base, pool } = regions[level]!;
    const known = pool.indexOf(value);
    const index = known >= 0 ? known : pool.push(value) - 1;
    if (index >= 0x1000) throw new RangeError('the pool is full');
    return `0x${(base + POOL + 8 * index).toString(16)}`;
  };
  const x = (): number => { for (;;) { const register = draw(31); if (!RESERVED.includes(register)) return register; } };
  let labels = 0;
  const label = (): string => `l${labels++}`;

  const contexts = Array.from({ length: 4 }, () => context(tables, random, hardware, translated));
  const hosts = Array.from({ length: 2 }, () => context(tables, random, hardware, translated));
  const stage2s = Array.from({ length: 2 }, () => stage2(tables, random));

  /** HCR_EL2 with what both have; RW always. */
  const hcr = (): bigint => {
    let value = 1n << 31n;
    if (e2h) value |= 1n << 34n;
    // With E2H 0 QEMU translates at EL0 whatever TGE says of SCTLR_EL1.M.
    if (e2h && chance(3)) value |= 1n << 27n;
    if (!chance(3)) value |= 1n;
    // TVM, TRVM, TDZ, TTLB, TPU, TPCP, TSW, TACR, TIDCP, TID3 to TID0, DC, FB, PTW, SWIO, CD, ID.
    for (const bit of [26, 30, 28, 25, 24, 23, 22, 21, 20, 18, 17, 16, 15, 12, 9, 2, 1, 33, 32]) if (chance(6)) value |= 1n << BigInt(bit);
    // API and APK; TTLBIS, TTLBOS, TOCU, TICAB, TID4.
    if (!chance(4)) value |= 3n << 40n;
    for (const bit of [54, 55, 52, 50, 49]) if (chance(8)) value |= 1n << BigInt(bit);
    // Under DC stage 1 is off, and vectors in the high half are nowhere.
    if (contexts.some(({ vbar }) => vbar >> 63n === 1n)) value &= ~(1n << 12n);
    // With stage 2 off QEMU protects tables from AT.
    if ((value & 0x1001n) === 0n) value &= ~4n;
    if (waits) value |= 3n << 13n;
    return sanitise(registerByName('HCR_EL2')!, hardware, e2h, value);
  };

  /** An address worth accessing. */
  const address = (): bigint => {
    const inWindow = (): number => WINDOW + draw(WINDOW_SLOTS) * (1 << pick<number>(12, 14, 16)) + offset();
    const offset = (): number => pick(() => 8 * draw(512), () => draw(4096), () => 4096 - draw(20), () => 16 * draw(256), () => 16 * draw(256))();
    return pick(
      () => BigInt(inWindow()), () => BigInt(inWindow()), () => BigInt(inWindow()), () => 0xffff_ffff_0000_0000n + BigInt(inWindow()), () => 0xffff_ffff_0000_0000n + BigInt(inWindow()),
      () => BigInt(BLOCK_WINDOW + draw(8) * pick(0x20_0000, 0x200_0000) + draw(0x1000)), () => BigInt(DATA + draw(DATA_BYTES)), () => BigInt(DATA + 16 * draw(DATA_BYTES / 16)),
      () => BigInt(IPA_WINDOW + draw(IPA_SLOTS) * 65536 + offset()),
      // Beyond both halves, tagged, at the ends, and in the middle of nowhere.
      () => pick(0x0010_0000_6000_0000n, 0x8000_0000_0000n, 0xfff0_0000_6000_0000n), () => (BigInt(draw(256)) << 56n) | BigInt(inWindow()), () => (BigInt(draw(256)) << 56n) | BigInt(inWindow()),
      () => pick(0xffff_ffff_ffff_fff8n, 0xffff_ffff_ffff_fffdn, 0x7f00_0000n, 0x1_0040_0000n + BigInt(offset())),
    )();
  };

  const accessRows = ROWS.filter((row) => row.hole === undefined && (row.value & 0x0a00_0000) === 0x0800_0000 && (row.mask & 0x0800_0000) !== 0 && !/\(literal|^LDRA[AB]/.test(row.name) && (has('FEAT_LSE2') || !STRICT.test(row.name)));
  const plainRows = ROWS.filter((row) => row.hole === undefined && (has('FEAT_PAuth') || !/^(PAC|AUT|XPAC)/.test(row.name)) && ((row.value & row.mask & 0x1c00_0000) === 0x1000_0000 || (row.value & 0x0e00_0000) === 0x0a00_0000 || (row.value & 0x0e00_0000) === 0x0e00_0000));
  const registersOf = (row: Row, word: number): number[] => {
    const { d, t, u, e, n } = decode(word).fields;
    const vector = (row.value & 0x0e00_0000) === 0x0c00_0000;
    return [...(vector ? [] : [d, t, u, e, ...(/CASP/.test(row.name) ? [t + 1, e + 1] : [])]), n];
  };
  /** A word of one of the rows that writes no reserved register. */
  const wordOf = (rows: readonly Row[], change: Parameters<typeof randomWord>[2] = () => {}): number => {
    for (;;) {
      const row = rows[draw(rows.length)]!;
      const word = randomWord(row, random, change);
      if (word !== undefined && !registersOf(row, word).some((register) => RESERVED.includes(register))) return word;
    }
  };
  const inst = (word: number): string => `.inst ${word >>> 0}`;

  /** A load or store of any kind; where atomicity needs alignment and FEAT_LSE2 is not there, or the access is exclusive, aligned mostly. */
  const access = (level: Level): string => {
    const base = pick(...Array.from({ length: 26 }, (_, register) => register));
    const word = wordOf(accessRows, (f) => {
      f.n = chance(12) ? 31 : base;
      if (f.m === f.n) f.m = 31;
    });
    const { row, fields } = decode(word);
    const strict = STRICT.test(row!.name);
    let value = address();
    if (strict) value &= ~15n;
    // An unscaled offset that would leave it unaligned.
    if (strict && fields.i !== 0) value -= BigInt.asUintN(64, BigInt((fields.i << 23) >> 23)) & 15n;
    const index = /\(register/.test(row!.name) && fields.m !== 31 && !RESERVED.includes(fields.m) ? `ldr x${fields.m}, ${constant(level, pick(0n, 8n, 0xffff_fff8n, integer(random)))}; ` : '';
    return `${index}ldr x${base}, ${constant(level, BigInt.asUintN(64, value))}; ${fields.n === 31 ? `mov sp, x${base}; ` : ''}${inst(word)}`;
  };

  const registers = IMPLEMENTED_REGISTERS.filter(({ name, needs, hole }) => hole === undefined && (needs === undefined || hasFeature(hardware, needs)) && !NOT_ACCESSED.some(([pattern]) => pattern.test(name)));
  const legal = (row: SystemRegister): bigint => {
    let value = integer(random);
    if (row.name.startsWith('SPSR')) value = spsr(2);
    if (/^(CPTR|CPACR)/.test(row.name)) value |= 0x30_0000n;
    if (row.name.startsWith('ELR')) value = destination()[0];
    return sanitise(row.alias === undefined ? row : registerByName(row.alias)!, hardware, e2h, value);
  };
  const systemAccess = (level: Level): string => {
    const row = pick(...registers);
    // Without FEAT_IDST identification registers are UNDEFINED at EL0; QEMU has it.
    if (level === 0 && IDENTIFICATION.test(row.name) && !has('FEAT_IDST')) return 'nop';
    const target = x();
    const code = (read: boolean): string => inst((read ? 0xd520_0000 : 0xd500_0000) + (row.encoding << 5) + target);
    if (row.access !== 'W' && (row.access === 'R' || chance(2) || IN_CONTEXTS.test(row.name) || row.name.endsWith('_EL12') && IN_CONTEXTS.test(row.alias!))) return code(true);
    return `ldr x${target}, ${constant(level, legal(row))}; ${code(false)}`;
  };

  const operation = (level: Level): string => {
    const { name, encoding, kind, needs } = pick(...OPERATIONS);
    if (needs !== undefined && !hasFeature(hardware, needs)) return 'nop';
    const target = takesRegister(name) ? x() : 31;
    const maintains = (kind === 'DC' && !name.endsWith('ZVA')) || kind === 'IC';
    if (maintains && level === 0) return 'nop';
    // QEMU does not translate for cache maintenance: where it does not fault.
    const value = kind === 'TLBI' ? (address() & 0xf_ffff_ffffn) >> 12n : maintains ? BigInt(DATA + draw(0x1000)) : address();
    const run = inst(0xd500_0000 + (encoding << 5) + target);
    return `${target === 31 ? '' : `ldr x${target}, ${constant(level, value)}; `}${run}${kind === 'AT' ? `; isb; ${inst(0xd538_7400 + x())}` : ''}`;
  };

  const pstate = (): string => pick(
    () => `msr spsel, #${draw(2)}`, () => `msr daifset, #${draw(16)}`, () => `msr daifclr, #${draw(16)}`, () => `msr pan, #${draw(2)}`, () => `msr uao, #${draw(2)}`, () => `msr dit, #${draw(2)}`, () => `msr ssbs, #${draw(2)}`,
  )();

  /** Values of SPSR: levels that exist and some that do not, AArch64 only. */
  function spsr(highest: number): bigint {
    const modes = [0, 0, 4, 5, 5, 5, ...(highest === 2 ? [8, 9, 9] : [9]), ...(chance(4) ? [1, 6, 7, 2, 12, 13] : [])];
    let value = BigInt(pick(...modes)) | 0x3c0n;
    value |= BigInt(draw(16)) << 28n;
    for (const bit of [22, 23, 24, 12]) if (chance(3)) value |= 1n << BigInt(bit);
    if (chance(16)) value |= 1n << 20n;
    return value;
  }

  const fragments: string[][] = [[], [], []];
  /** An address of a fragment at a level, or one that is none, and a mode for it. The address of a label is known when all is laid out. */
  const destinations: { level: Level; fragment: number; high: boolean; spsr: bigint; wild: bigint | undefined }[] = [];
  for (let index = 0; index < 64; index += 1) {
    const level = pick<Level>(0, 0, 1, 1, 1, 2);
    const mode = level === 0 ? 0n : level === 1 ? BigInt(pick(4, 5, 5)) : BigInt(pick(8, 9, 9));
    destinations.push({ level, fragment: draw(FRAGMENTS), high: chance(4), spsr: chance(12) ? spsr(2) : (spsr(2) & ~0xfn) | mode, wild: chance(10) ? pick(address() & ~3n, address() & ~3n, address(), BigInt(fragmentAddress(level, draw(FRAGMENTS)) + 2)) : undefined });
  }
  function destination(): [bigint, bigint] {
    const { level, fragment, high, spsr: mode, wild } = pick(...destinations);
    return [wild ?? BigInt(fragmentAddress(level, fragment)) + (high ? 0xffff_ffff_0000_0000n : 0n), mode];
  }

  const act = (level: Level): string => pick(
    () => inst(wordOf(plainRows)), () => inst(wordOf(plainRows)), () => access(level), () => access(level), () => access(level), () => access(level), () => access(level),
    () => systemAccess(level), () => systemAccess(level), () => operation(level), pstate,
    () => `svc #${draw(65536)}`, () => (level === 0 ? 'nop' : `hvc #${draw(65536)}`), () => pick(`brk #${draw(65536)}`, `hlt #${draw(65536)}`, `udf #${draw(65536)}`, 'dcps1 #5', 'drps', 'hvc #7', 'eret'),
    () => pick('isb', 'dsb sy', 'dmb ish', 'clrex', ...(waits && level < 2 ? ['wfi'] : []), 'csdb'),
    () => {
      const to = label();
      return `${pick(`cbz x${x()},`, `tbz x${x()}, #${draw(64)},`, `b.${pick('eq', 'ne', 'cs', 'mi', 'vs', 'hi', 'ge', 'gt')}`)} {${to}}; ${inst(wordOf(plainRows))}; ${to}: nop`;
    },
    () => {
      if (level === 0 || !chance(3)) return inst(wordOf(plainRows));
      const [to, mode] = destination();
      return `ldr x27, ${constant(level, to)}; msr ELR_EL${level}, x27; ldr x27, ${constant(level, mode)}; msr SPSR_EL${level}, x27; eret`;
    },
  )();

  const writeContext = (names: readonly (readonly [string, bigint])[]): string => names.map(([name, value]) => `ldr x28, ${constant(2, value)}; msr ${name}, x28`).join('; ');
  const el1 = (name: string): string => (e2h ? `${name}_EL12` : `${name}_EL1`);
  const contextOf = ({ ttbr0, ttbr1, tcr, sctlr, vbar }: Context): (readonly [string, bigint])[] => [[el1('TTBR0'), ttbr0], [el1('TTBR1'), ttbr1], [el1('TCR'), tcr], [el1('MAIR'), MAIR], [el1('SCTLR'), sctlr], [el1('VBAR'), vbar]];
  const trapsOf = (): (readonly [string, bigint])[] => {
    const values: (readonly [string, bigint])[] = [['HCR_EL2', hcr()]];
    const { vttbr, vtcr } = pick(...stage2s);
    values.push(['VTTBR_EL2', vttbr], ['VTCR_EL2', vtcr]);
    const maybe = (name: string, value: bigint): void => { if (chance(2)) values.push([name, sanitise(registerByName(name)!, hardware, e2h, value)]); };
    maybe('MDCR_EL2', chance(2) ? 0n : integer(random));
    maybe('CPTR_EL2', chance(3) ? integer(random) : e2h ? 0x30_0000n : 0n);
    if (has('FEAT_FGT')) for (const name of ['HFGRTR_EL2', 'HFGWTR_EL2', 'HFGITR_EL2', 'HDFGRTR_EL2', 'HDFGWTR_EL2']) maybe(name, chance(2) ? 0n : integer(random) & integer(random));
    return values;
  };

  for (const level of [0, 1, 2] as const satisfies readonly Level[]) {
    const { lines, base } = regions[level]!;
    for (let fragment = 0; fragment < FRAGMENTS; fragment += 1) {
      const list: string[] = [];
      const room = 0x140 / 4 - 4;
      for (;;) {
        const next = act(level);
        if (size([...list, next]) > room) break;
        list.push(next);
      }
      const end = level === 0 ? `svc #${fragment}` : pick(`svc #${fragment}`, `hvc #${fragment}`, level === 1 ? 'udf #1' : `svc #9`);
      fragments[level]!.push(`${list.join('\n')}\n${end}`);
    }
    if (level > 0) {
      // The vectors: two variants of the way on each, chosen when the program is made.
      for (let vector = 0; vector < 16; vector += 1) lines.push(`.org 0x${(vector * 0x80).toString(16)}\nb {way${level}_${draw(4)}}`);
      lines.push('.org 0x800');
      for (let way = 0; way < 4; way += 1) lines.push(handler(level as 1 | 2, way));
      if (size(lines) * 4 > 0x2000 - 0x800 + 16 * 8) throw new RangeError('the handlers are longer than their room');
    } else lines.push('nop');
    for (const [index, text] of fragments[level]!.entries()) lines.push(`.org 0x${(fragmentAddress(level, index) - base).toString(16)}\n${text}`);
    lines.push(`.org 0x${(fragmentAddress(level, FRAGMENTS) - base).toString(16)}\n${level === 0 ? 'svc #0' : 'udf #0'}\nb {first${level}}`);
    lines[0] = `first${level}: ${lines[0]!}`;
  }

  /** What is read of the exception, what is changed, and where it goes on: behind the instruction, or anywhere. */
  function handler(level: 1 | 2, way: number): string {
    const read = pick(['ESR', 'FAR'], ['ELR', 'SPSR', 'ESR'], ['FAR', 'ESR'], ['ESR']).map((name) => `mrs x${x()}, ${name}_EL${level}`).join('; ');
    const more = level === 2 ? [`mrs x${x()}, HPFAR_EL2`, ...Array.from({ length: 2 }, () => (chance(2) ? writeContext(contextOf(pick(...contexts))) : writeContext(trapsOf()))), 'tlbi alle1', 'dsb sy', 'isb'].join('; ') : '';
    const target = CODE[level]! + 0x7000;
    return `way${level}_${way}: ${read}
ldr x27, ${constant(level, 6364136223846793005n)}; mul x26, x26, x27; ldr x27, ${constant(level, 1442695040888963407n)}; add x26, x26, x27
mrs x28, ESR_EL${level}; lsr x28, x28, #26
sub x27, x28, #0xe; cbz x27, {on${level}_${way}}; sub x27, x28, #0x22; cbz x27, {on${level}_${way}}
and x27, x28, #0x3e; sub x27, x27, #0x20; cbz x27, {on${level}_${way}}
tbnz x26, #60, {change${level}_${way}}
mrs x27, ELR_EL${level}; add x27, x27, #4; msr ELR_EL${level}, x27; eret
change${level}_${way}: ${more}
on${level}_${way}: lsr x28, x26, #58; ldr x27, ${constant(level, BigInt(target))}; add x27, x27, x28, lsl #4; ldr x28, [x27, #8]; ldr x27, [x27]
msr ELR_EL${level}, x27; msr SPSR_EL${level}, x28; eret`;
  }

  // The start at EL2: everything has a value, then on to somewhere.
  const host = pick(...hosts);
  const hostTcr = e2h ? host.tcr : 0x8080_0000n | (host.tcr & 0xffffn) | (5n << 16n) | (((host.tcr >> 37n) & 1n) << 20n);
  // WFI at EL0 traps, under {E2H, TGE} = {1, 1} by nTWI.
  const hostSctlr = sanitise(registerByName('SCTLR_EL2')!, hardware, e2h, host.sctlr & ~(1n << 16n));
  const start = [
    ...trapsOf().filter(([name]) => name !== 'HCR_EL2'), ['HCR_EL2', hcr() & ~(1n << 27n)] as const,
    ['CPTR_EL2', sanitise(registerByName('CPTR_EL2')!, hardware, e2h, e2h ? 0x30_0000n : 0n)] as const, ['VBAR_EL2', BigInt(CODE[2]!)] as const,
    ['MAIR_EL2', MAIR] as const, ['TCR_EL2', hostTcr] as const, ['TTBR0_EL2', host.ttbr0] as const, ...(e2h ? [['TTBR1_EL2', host.ttbr1] as const] : []),
    ...contextOf(pick(...contexts)), ['SP_EL1', BigInt(DATA + 0x8000)] as const, ['SP_EL0', BigInt(DATA + 0x9000)] as const, [el1('CPACR'), 3n << 20n] as const,
    [el1('CNTKCTL'), 0n] as const, ['CNTHCTL_EL2', 0n] as const, ['SCTLR_EL2', hostSctlr] as const,
  ];
  const [to, mode] = [BigInt(fragmentAddress(1, 0)), 0x3c5n];
  const boot = `start: ${writeContext(start)}; isb; tlbi alle1; tlbi alle2; dsb sy; isb
${Array.from({ length: 31 }, (_, register) => (register === 28 ? '' : `ldr x${register}, ${constant(2, register === 26 ? (BigInt(random()) << 32n) | BigInt(random()) : chance(3) ? address() : integer(random))}`)).filter((line) => line !== '').join('; ')}
ldr x28, ${constant(2, BigInt(DATA + 0xa000))}; mov sp, x28; ldr x28, ${constant(2, to)}; msr ELR_EL2, x28; ldr x28, ${constant(2, mode)}; msr SPSR_EL2, x28; eret`;
  const startOffset = 0x6000;
  regions[2]!.lines.push(`.org 0x${startOffset.toString(16)}\n${boot}`);

  const parts: { address: number; bytes: Uint8Array }[] = [];
  for (const { base, lines, pool } of regions) {
    const bytes = new Uint8Array(0x10000);
    const view = new DataView(bytes.buffer);
    const list = words(lines.join('\n'), base);
    if (4 * list.length > 0x7000) throw new RangeError('the code is longer than its room');
    for (const [index, word] of list.entries()) view.setUint32(4 * index, word, true);
    for (const [index, { level, fragment, high, spsr: to1, wild }] of destinations.entries()) {
      view.setBigUint64(0x7000 + 16 * index, wild ?? BigInt(fragmentAddress(level, fragment)) + (high ? 0xffff_ffff_0000_0000n : 0n), true);
      view.setBigUint64(0x7008 + 16 * index, to1, true);
    }
    for (const [index, value] of pool.entries()) view.setBigUint64(POOL + 8 * index, value, true);
    parts.push({ address: base, bytes });
  }
  const data = new Uint8Array(DATA_BYTES);
  const dataView = new DataView(data.buffer);
  // Now and then it is executed: as instructions that both have, or as such that neither has.
  for (let at = 0; at < DATA_BYTES; at += 4) dataView.setUint32(at, at < 0x800 ? wordOf(plainRows) : ((random() & ~0x1a00_0000) | 0x0200_0000) >>> 0, true);
  for (let at = 0x1000; at < DATA_BYTES; at += 0x1000) data.copyWithin(at + (random() % 0xe00 & ~7), 0, 0x100);
  parts.push({ address: DATA, bytes: data });
  for (const [at, view] of tables.bytes) parts.push({ address: at, bytes: new Uint8Array(view.buffer) });

  const title = `E2H ${e2h ? 1 : 0}, EL2 ${(hostSctlr & 1n) === 1n ? describe(host) : 'MMU off'}, EL1 ${contexts.map(describe).join(' | ')}`;
  return { entry: CODE[2]! + startOffset, parts, watched: [{ address: DATA, bytes: DATA_BYTES }, ...[...tables.bytes].filter(([, view]) => view.byteLength >= 1024).map(([address, view]) => ({ address, bytes: view.byteLength, tables: true }))], title };
}

/** Exclusive, atomic and ordered accesses. */
const STRICT = /^(LD|ST)[AL]?X|^CAS|^SWP|^LD(ADD|CLR|EOR|SET|SMAX|SMIN|UMAX|UMIN)|^LD(AR|LAR|APR|APUR)|^ST(LR|LLR|LUR)/;

const size = (list: readonly string[]): number => list.join(';').split(/[;\n]/).filter((line) => line.trim() !== '' && !/^\s*\w+:\s*$/.test(line)).length;

interface Context { readonly ttbr0: bigint; readonly ttbr1: bigint; readonly tcr: bigint; readonly sctlr: bigint; readonly vbar: bigint; readonly granule: Granule; readonly bits: number }
const describe = ({ granule, bits, sctlr }: Context): string => ((sctlr & 1n) === 0n ? 'off' : `${2 ** (granule - 10)}K/${bits}`);

/** Stage 1 of a translation regime with two halves, in which the code of all levels can run. */
function context(tables: Tables, random: Random, hardware: Hardware, translated: boolean): Context {
  const draw = (limit: number): number => random() % limit;
  const chance = (of: number): boolean => draw(of) === 0;
  const granules: readonly Granule[] = [12, 14, 16];
  const [low, high] = [granules[draw(3)]!, granules[draw(3)]!];
  const lowBits = 64 - (16 + draw(18)), highBits = 64 - (16 + draw(17));
  const spaces = [newSpace(tables, low, lowBits), newSpace(tables, high, highBits)] as const;
  for (const [half, space] of spaces.entries()) fill(tables, space, half === 1, random);
  const code = (granule: Granule, half: number): bigint => BigInt(half === 0 ? { 12: 0, 14: 2, 16: 1 }[granule] : { 12: 2, 14: 1, 16: 3 }[granule]);
  let tcr = BigInt(64 - lowBits) | (BigInt(64 - highBits) << 16n) | (code(low, 0) << 14n) | (code(high, 1) << 30n) | (5n << 32n) | (1n << 36n);
  // Walks cacheable and shareable or not: neither changes anything. TBI0, TBI1, EPD0 or EPD1, A1, and sometimes a small IPS.
  tcr |= BigInt(draw(4) << 8 | draw(4) << 10 | [0, 2, 3][draw(3)]! << 12) | BigInt(draw(4)) << 24n | BigInt(draw(4)) << 26n | BigInt([0, 2, 3][draw(3)]!) << 28n;
  if (chance(2)) tcr |= 1n << 37n;
  if (chance(2)) tcr |= 1n << 38n;
  if (chance(8)) tcr |= 1n << 23n;
  if (chance(2)) tcr |= 1n << 22n;
  if (chance(6)) tcr = (tcr & ~(7n << 32n)) | (BigInt(draw(3)) << 32n);
  // M mostly; A, UMA, DZE, UCT, nTWI, nTWE, WXN, SPAN, UCI, C, I. Not SA and SA0, which QEMU does not look at.
  let sctlr = !translated && chance(6) ? 0n : 1n;
  for (const bit of [1, 9, 14, 15, 16, 18, 19, 23, 26, 2, 12]) if (chance(bit === 1 || bit === 19 ? 6 : 2)) sctlr |= 1n << BigInt(bit);
  // EnIA, EnIB, EnDA, EnDB, nAA.
  for (const bit of [31, 30, 27, 13, 6]) if (chance(2)) sctlr |= 1n << BigInt(bit);
  // HPD0, HPD1, HA, HD, TBID0, TBID1, E0PD0, E0PD1.
  for (const bit of [41, 42, 39, 40, 51, 52, 55, 56]) if (chance(4)) tcr |= 1n << BigInt(bit);
  const asid = BigInt(1 + draw(200)) << 48n;
  const alias = (sctlr & 1n) === 1n && (tcr & (1n << 23n)) === 0n && chance(3) ? 0xffff_ffff_0000_0000n : 0n;
  return {
    ttbr0: BigInt(spaces[0].root) | asid, ttbr1: BigInt(spaces[1].root) | (asid ^ (1n << 50n)), tcr: sanitise(registerByName('TCR_EL1')!, hardware, true, tcr),
    sctlr: sanitise(registerByName('SCTLR_EL1')!, hardware, true, sctlr), vbar: BigInt(CODE[1]!) + alias, granule: low, bits: lowBits,
  };
}

/** Code, data, and the windows. The high half has the same at 0xffff_ffff_xxxx_xxxx. */
function fill(tables: Tables, space: Space, high: boolean, random: Random): void {
  const draw = (limit: number): number => random() % limit;
  const chance = (of: number): boolean => draw(of) === 0;
  const { granule, bits } = space;
  const offset = (va: number): number => (high ? 2 ** bits - 2 ** 32 + va : va);
  if (high && bits < 32) throw new RangeError('the high half is too small');
  const page = 2 ** granule;
  const range = (from: number, length: number, attributes: bigint): void => {
    for (let at = from; at < from + length; at += page) map(tables, space, { va: offset(at), pa: at, level: 3, attributes });
  };
  const normal = Bit.AF | shareability(3);
  range(CODE[0]!, 0x10000, normal | ap(3));
  range(CODE[1]!, 0x10000, normal | ap(2));
  range(CODE[2]!, 0x10000, normal | ap(2));
  range(DATA, 0x2_0000, normal | ap(chance(2) ? 0 : 1) | Bit.UXN);

  const anyAttributes = (): bigint => {
    let attributes = ap(draw(4)) | attribute(chance(2) ? 0 : chance(16) ? draw(8) : [0, 1, 6, 7][draw(4)]!) | shareability([0, 2, 3][draw(3)]!);
    if (!chance(10)) attributes |= Bit.AF;
    for (const bit of [Bit.NG, Bit.PXN, Bit.UXN]) if (chance(2)) attributes |= bit;
    return attributes;
  };
  const output = (size: number): number => {
    const place = draw(12);
    const to = place < 6 ? DATA + draw(16) * 65536 : place < 10 ? IPA_WINDOW + draw(IPA_SLOTS) * 65536 : place === 10 ? 0x60_0000_0000 : [0x1000_0000_0000, 0x8000_0000_0000][draw(2)]!;
    return Math.floor(to / size) * size + (to % 65536 === 0 && size < 65536 ? draw(65536 / size) * size : 0);
  };
  // The first slot's table descriptor restricts all the others now and then.
  const above = chance(4) ? (BigInt(draw(4)) << Bit.AP_TABLE) | (chance(2) ? Bit.PXN_TABLE : 0n) | (chance(2) ? Bit.UXN_TABLE : 0n) : 0n;
  for (let slot = 0; slot < WINDOW_SLOTS; slot += 1) {
    const va = offset(WINDOW + slot * page);
    if (chance(8)) map(tables, space, { va, pa: 0, level: 3, attributes: 0n, above, raw: [0n, 1n, 2n][draw(3)]! | (BigInt(DATA) | anyAttributes()) });
    else map(tables, space, { va, pa: output(page), level: 3, attributes: anyAttributes(), above });
  }
  const block = 2 ** shiftOf(granule, 2);
  if (granule !== 16) {
    for (let slot = 0; slot < 8 && BLOCK_WINDOW + slot * block < 0x8000_0000; slot += 1) {
      const va = offset(BLOCK_WINDOW + slot * block);
      if (chance(6)) map(tables, space, { va, pa: 0, level: 2, attributes: 0n, raw: 0n });
      else map(tables, space, { va, pa: chance(4) ? IPA_WINDOW : granule === 12 ? DATA : FREE, level: 2, attributes: anyAttributes() });
    }
  }
  // A block of a gigabyte, where there is room.
  if (granule === 12 && bits > 33 && !high) map(tables, space, { va: 0x1_0000_0000, pa: 0x4000_0000, level: 1, attributes: anyAttributes() });
}

/** Stage 2: all memory as it is, and the window with every permission. */
function stage2(tables: Tables, random: Random): { vttbr: bigint; vtcr: bigint } {
  const draw = (limit: number): number => random() % limit;
  const chance = (of: number): boolean => draw(of) === 0;
  const granule = ([12, 14, 16] as const)[draw(3)]!;
  const concatenated = granule === 12 && chance(2);
  const t0sz = concatenated ? 30 + draw(3) : 28 + draw(5);
  const start = granule === 12 ? (concatenated ? 2 : 1) : 2;
  const space = newSpace(tables, granule, 64 - t0sz, start);
  const block = 2 ** shiftOf(granule, 2);
  const normal = Bit.AF | shareability(3) | (15n << 2n) | ap(3);
  if (granule === 16) for (let at = RAM; at < RAM + RAM_BYTES; at += 65536) map(tables, space, { va: at, pa: at, level: 3, attributes: normal });
  else for (let at = RAM; at < RAM + RAM_BYTES; at += block) map(tables, space, { va: at, pa: at, level: 2, attributes: normal });
  for (let slot = 0; slot < IPA_SLOTS; slot += 1) {
    const kind = draw(5);
    for (let at = 0; at < 65536; at += 2 ** granule) {
      const va = IPA_WINDOW + slot * 65536 + at;
      let attributes = ap(chance(3) ? draw(4) : 3) | (BigInt([15, 15, 15, 15, 5, 5, 7, 10, chance(4) ? 0 : 15, chance(4) ? 1 : 15][draw(10)]!) << 2n) | shareability([0, 2, 3][draw(3)]!);
      if (!chance(8)) attributes |= Bit.AF;
      if (chance(4)) attributes |= Bit.UXN;
      if (kind === 0 || chance(8)) map(tables, space, { va, pa: 0, level: 3, attributes: 0n, raw: BigInt(draw(3)) });
      else map(tables, space, { va, pa: kind === 1 ? 0x60_0000_0000 : DATA + draw(15) * 65536 + at, level: 3, attributes });
    }
  }
  const sl0 = concatenated ? 0n : 1n;
  const tg0 = { 12: 0n, 14: 2n, 16: 1n }[granule];
  const vtcr = (1n << 31n) | BigInt(t0sz) | (sl0 << 6n) | (BigInt(draw(4)) << 8n) | (BigInt(draw(4)) << 10n) | (3n << 12n) | (tg0 << 14n) | (5n << 16n) | (1n << 19n);
  return { vttbr: BigInt(space.root) | (BigInt(1 + draw(100)) << 48n), vtcr };
}
