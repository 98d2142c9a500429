/** Self-hosted debug and the PMU against qemu-system-aarch64: the same bare-metal programs step, hit breakpoints and watchpoints at EL0, EL1 and EL2, count, and print what they saw, here and there. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { boot } from '../../actors/boot.ts';
import { readImage } from '../../actors/images.ts';
import { OFF, finish, load, words } from '../support/guest-program.ts';

const QEMU = 'qemu-system-aarch64';
const LIMIT_MS = 20_000;
/** Behind the device tree that QEMU puts at the start of RAM. */
const CODE = 0x4028_0000;
const DATA = 0x4030_0000;
const UART = 0x0900_0000;
const EL1_VECTORS = 0x8000;
const EL2_VECTORS = 0x9000;

const SS = 1 << 21;
const D = 1 << 9;
const Mdscr = { SS: 1, KDE: 1 << 13, MDE: 1 << 15 };
const TDE = 1 << 8;

interface Case {
  /** The level that the body runs at. */
  readonly el: 0 | 1 | 2;
  /** SPSR bits beside the level: SS, D. */
  readonly spsr?: number;
  readonly registers?: Readonly<Record<string, number | bigint>> | undefined;
  /** Ends after so many reports. */
  readonly reports?: number;
  /** Ends in `end`. */
  readonly body: string;
  /** With a PMU. */
  readonly pmu?: boolean;
  /** The host's: HCR_EL2.{E2H, TGE} = {1, 1}. */
  readonly host?: boolean;
}

/** Prints X23's low 32 bits by way of X24 and returns to X30. */
const PUT = `
put: movz x25, #28
digit: lsr x26, x23, x25; and x26, x26, #15; cmp x26, #10; add x27, x26, #48; add x26, x26, #87; csel x26, x27, x26, lo; str w26, [x24]; subs x25, x25, #4; b.ge {digit}
movz x26, #32; str w26, [x24]; ret`;

/**
 * The handler of one level: prints the level, ESR, ELR from CODE on, SPSR's SS, D and M, and for watchpoints FAR from DATA on. Goes on with SPSR.SS = 1 after a
 * step, and behind the instruction after any other exception but SVC and HVC. SVC or HVC #0x7f ends, as do 24 reports or as many as are asked for.
 */
const handler = (el: 1 | 2, reports: number): string => `
handler${el}: ${load('x24', UART)}; movz x23, #${el}; bl {put}
mrs x23, ESR_EL${el}; bl {put}; mrs x23, ELR_EL${el}; ${load('x22', CODE)}; sub x23, x23, x22; bl {put}
mrs x23, SPSR_EL${el}; ${load('x22', 0x20_020f)}; and x23, x23, x22; bl {put}
mrs x21, ESR_EL${el}; lsr x21, x21, #26; and x22, x21, #62; cmp x22, #0x34; b.ne {nofar${el}}
mrs x23, FAR_EL${el}; ${load('x22', DATA)}; sub x23, x23, x22; bl {put}
nofar${el}: movz x26, #10; str w26, [x24]
add x20, x20, #1; cmp x20, #${reports}; b.ge {off}
mrs x22, ESR_EL${el}; and x22, x22, #0xff; cmp x21, #0x15; b.eq {call${el}}; cmp x21, #0x16; b.eq {call${el}}
and x22, x21, #62; cmp x22, #0x32; b.eq {step${el}}
mrs x22, ELR_EL${el}; add x22, x22, #4; msr ELR_EL${el}, x22; eret
call${el}: cmp x22, #0x7f; b.eq {off}; eret
step${el}: mrs x22, SPSR_EL${el}; ${load('x23', SS)}; orr x22, x22, x23; msr SPSR_EL${el}, x22; eret`;

const vectors = (at: number, el: 1 | 2): string => [0, 0x200, 0x400].map((offset) => `.org 0x${(at + offset).toString(16)}\nb {handler${el}}`).join('\n');

function programOf({ el, spsr = 0, registers = {}, body, host = false, reports = 24 }: Case): string {
  const hcr = (1n << 31n) | (host ? (1n << 27n) | (1n << 34n) : 0n);
  const set = (name: string, value: number | bigint): string => `${load('x1', value)}; msr ${name}, x1`;
  return `
${load('x24', UART)}; movz x26, #0x301; str w26, [x24, #0x30]; movz x20, #0
${set('HCR_EL2', hcr)}; isb
adr x1, {body}; msr ELR_EL2, x1; ${set('SPSR_EL2', (el === 0 ? 0 : el === 1 ? 5 : 9) | spsr)}
${set('VBAR_EL2', CODE + EL2_VECTORS)}; ${set(host ? 'VBAR_EL12' : 'VBAR_EL1', CODE + EL1_VECTORS)}
msr OSLAR_EL1, xzr; ${Object.entries(registers).map(([name, value]) => set(name, value)).join('; ')}
${load('x1', DATA)}; movz x0, #0; movz x2, #0; isb; eret
body: ${body}
end: ${el === 0 ? 'svc' : 'hvc'} #0x7f
off: ${OFF}
${PUT}${handler(1, reports)}${handler(2, reports)}
${vectors(EL1_VECTORS, 1)}
${vectors(EL2_VECTORS, 2)}`;
}

/** Where an instruction of the body lies: programs are assembled twice, since their breakpoints name places in themselves. */
function placed(make: (at: (instruction: number) => number) => Case): Case {
  const sketch = make(() => CODE);
  const before = words(programOf(sketch).split('body:')[0]!.replace('{body}', `0x${CODE.toString(16)}`), CODE).length;
  return make((instruction) => CODE + 4 * (before + instruction));
}

const BP = 0x1e1;
const Pmc = { EL1: 2, EL0: 4, BOTH: 6 };
const EL2_ONLY = (1 << 13) | (3 << 14);
const linkTo = (n: number): number => (1 << 20) | (n << 16);
const CONTEXT = 2 << 20;
const LINKED_CONTEXT = 3 << 20;
const WATCH = (fields: { bas?: number; lsc?: number; mask?: number; pac?: number; more?: number } = {}): number => 1 | ((fields.pac ?? 3) << 1) | ((fields.lsc ?? 3) << 3) | ((fields.bas ?? 0xff) << 5) | ((fields.mask ?? 0) << 24) | (fields.more ?? 0);
const watching = (control: number, address = DATA): Case['registers'] => ({ MDSCR_EL1: Mdscr.MDE | Mdscr.KDE, DBGWVR1_EL1: address, DBGWCR1_EL1: control });

const CASES: Readonly<Record<string, Case>> = {
  'EL2 steps EL1': { el: 1, spsr: SS | D, registers: { MDCR_EL2: TDE, MDSCR_EL1: Mdscr.SS }, body: 'nop; ldxr x3, [x1]; stxr w4, x3, [x1]; b {on}; nop; on: wfi; mrs x3, CurrentEL; ldaxr w3, [x1]; clrex' },
  'EL1 steps itself': { el: 1, spsr: SS, registers: { MDSCR_EL1: Mdscr.SS | Mdscr.KDE }, body: 'nop; ldxr x3, [x1]; cbz x0, {on}; nop; on: nop' },
  'EL1 steps EL0': { el: 0, spsr: SS, registers: { MDSCR_EL1: Mdscr.SS }, body: 'nop; svc #1; nop; udf #0; nop' },
  'EL2 steps EL0': { el: 0, reports: 2, spsr: SS, registers: { MDCR_EL2: TDE, MDSCR_EL1: Mdscr.SS }, body: 'nop; nop' },
  'EL2 steps EL0, whose SVC goes to EL1': { el: 0, reports: 3, spsr: SS, registers: { MDCR_EL2: TDE, MDSCR_EL1: Mdscr.SS }, body: 'nop; svc #1' },
  'EL2 steps itself': { el: 2, spsr: SS, registers: { MDCR_EL2: TDE, MDSCR_EL1: Mdscr.SS | Mdscr.KDE }, body: 'nop; hvc #1; ldxr x3, [x1]; nop' },
  'a host steps itself': { el: 2, spsr: SS, host: true, registers: { MDSCR_EL1: Mdscr.SS | Mdscr.KDE }, body: 'nop; nop' },
  'a host steps its application': { el: 0, spsr: SS, host: true, registers: { MDSCR_EL1: Mdscr.SS }, body: 'nop; svc #2; nop' },
  'a step that is pending at once': { el: 1, registers: { MDSCR_EL1: Mdscr.SS | Mdscr.KDE }, body: 'nop; nop' },
  'a step over what takes its own exception': { el: 1, spsr: SS, registers: { MDSCR_EL1: Mdscr.SS | Mdscr.KDE }, body: 'udf #0; brk #3; hvc #4; nop; ldr x3, [x0]; nop' },
  'no step: masked, KDE, the OS Lock': { el: 1, spsr: SS | D, registers: { MDSCR_EL1: Mdscr.SS | Mdscr.KDE }, body: 'nop; nop' },
  'no step without KDE': { el: 1, spsr: SS, registers: { MDSCR_EL1: Mdscr.SS }, body: 'nop; nop' },
  'a breakpoint at EL1': placed((at) => ({ el: 1, registers: { MDSCR_EL1: Mdscr.MDE | Mdscr.KDE, DBGBVR0_EL1: at(1), DBGBCR0_EL1: BP | Pmc.EL1, DBGBVR3_EL1: at(2), DBGBCR3_EL1: BP | Pmc.EL0 }, body: 'nop; nop; nop; nop' })),
  'a breakpoint at EL0': placed((at) => ({ el: 0, registers: { MDSCR_EL1: Mdscr.MDE, DBGBVR0_EL1: at(1), DBGBCR0_EL1: BP | Pmc.EL1, DBGBVR3_EL1: at(2), DBGBCR3_EL1: BP | Pmc.BOTH }, body: 'nop; nop; nop; nop' })),
  'a breakpoint at EL2': placed((at) => ({ el: 2, registers: { MDCR_EL2: TDE, MDSCR_EL1: Mdscr.MDE | Mdscr.KDE, DBGBVR0_EL1: at(1), DBGBCR0_EL1: BP | EL2_ONLY, DBGBVR3_EL1: at(2), DBGBCR3_EL1: BP | Pmc.BOTH }, body: 'nop; nop; nop; nop' })),
  'a breakpoint at EL1 that EL2 takes': placed((at) => ({ el: 1, spsr: D, registers: { MDCR_EL2: TDE, MDSCR_EL1: Mdscr.MDE, DBGBVR0_EL1: at(1), DBGBCR0_EL1: BP | Pmc.EL1 }, body: 'nop; nop; nop; nop' })),
  'a breakpoint on the instruction that is stepped': placed((at) => ({ el: 1, spsr: SS, registers: { MDSCR_EL1: Mdscr.MDE | Mdscr.KDE | Mdscr.SS, DBGBVR0_EL1: at(0), DBGBCR0_EL1: BP | Pmc.EL1 }, body: 'nop; nop; nop' })),
  'breakpoints linked to a context': placed((at) => ({
    el: 1, body: 'nop; nop; nop; nop',
    registers: {
      CONTEXTIDR_EL1: 7, MDSCR_EL1: Mdscr.MDE | Mdscr.KDE, DBGBVR4_EL1: 7, DBGBCR4_EL1: BP | LINKED_CONTEXT, DBGBVR5_EL1: 8, DBGBCR5_EL1: BP | LINKED_CONTEXT,
      DBGBVR0_EL1: at(1), DBGBCR0_EL1: BP | Pmc.EL1 | linkTo(4), DBGBVR1_EL1: at(2), DBGBCR1_EL1: BP | Pmc.EL1 | linkTo(5),
    },
  })),
  'a context that is another': { el: 1, registers: { CONTEXTIDR_EL1: 7, MDSCR_EL1: Mdscr.MDE | Mdscr.KDE, DBGBVR5_EL1: 8, DBGBCR5_EL1: BP | CONTEXT | Pmc.EL1 }, body: 'nop; nop' },
  'a watchpoint on a doubleword at EL1': { el: 1, registers: watching(WATCH()), body: 'ldr x3, [x1]; ldrb w3, [x1, #7]; ldrb w3, [x1, #8]; ldp x3, x4, [x1]; ldr w3, [x1, #4]; str x3, [x1]; strh w3, [x1, #6]; stp x3, x4, [x1]' },
  'a watchpoint on a doubleword, the second of a pair': { el: 1, registers: watching(WATCH(), DATA + 8), body: 'ldp x3, x4, [x1]; stp x3, x4, [x1]; ldr x3, [x1]; ldr x3, [x1, #8]' },
  'a watchpoint on a byte': { el: 1, registers: watching(WATCH({ bas: 0x10 })), body: 'ldr x3, [x1]; ldrb w3, [x1, #3]; ldrb w3, [x1, #4]; ldrb w3, [x1, #5]; str w3, [x1, #4]' },
  'a watchpoint on an odd word': { el: 1, registers: watching(WATCH({ bas: 0xff }), DATA + 4), body: 'ldr w3, [x1]; ldr w3, [x1, #4]; ldr w3, [x1, #8]; ldr x3, [x1]' },
  'a watchpoint on stores': { el: 1, registers: watching(WATCH({ lsc: 2 })), body: 'ldr x3, [x1]; str x3, [x1]; ldxr x3, [x1]; stxr w4, x3, [x1]' },
  'a watchpoint on loads': { el: 1, registers: watching(WATCH({ lsc: 1 })), body: 'str x3, [x1]; ldr x3, [x1]; ldxr x3, [x1]; ldar x3, [x1]; stlr x3, [x1]' },
  'a watchpoint on 64 bytes': { el: 1, registers: watching(WATCH({ mask: 6 }), DATA + 64), body: 'ldrb w3, [x1, #63]; ldrb w3, [x1, #64]; ldrb w3, [x1, #127]; ldrb w3, [x1, #128]; ldp x3, x4, [x1, #56]' },
  'a watchpoint with a MASK that is reserved': { el: 1, registers: watching(WATCH({ mask: 2 })), body: 'ldr x3, [x1]; nop' },
  'a watchpoint with gaps in BAS': { el: 1, registers: watching(WATCH({ bas: 0x33 })), body: 'ldrb w3, [x1]; ldrb w3, [x1, #2]; ldrb w3, [x1, #4]; nop' },
  'a watchpoint on what EL0 does, by LDTR': { el: 1, registers: watching(WATCH({ pac: 2 })), body: 'ldr x3, [x1]; ldtr x3, [x1]; sttr x3, [x1]' },
  'a watchpoint at EL0': { el: 0, registers: watching(WATCH({ pac: 2 })), body: 'ldr x3, [x1]; ldtr x3, [x1]; str x3, [x1]; sttr x3, [x1]' },
  'a watchpoint at EL2': { el: 2, registers: { ...watching(WATCH({ pac: 0, more: EL2_ONLY })), MDCR_EL2: TDE }, body: 'ldr x3, [x1]; str x3, [x1]' },
  'a watchpoint at EL1 that EL2 takes': { el: 1, spsr: D, registers: { ...watching(WATCH()), MDCR_EL2: TDE }, body: 'ldr x3, [x1]; str x3, [x1]' },
  'a watchpoint linked to a context': { el: 1, registers: { ...watching(WATCH({ more: linkTo(4) })), CONTEXTIDR_EL1: 7, DBGBVR4_EL1: 7, DBGBCR4_EL1: BP | LINKED_CONTEXT }, body: 'ldr x3, [x1]; movz x5, #8; msr CONTEXTIDR_EL1, x5; isb; ldr x3, [x1]' },
  'a watchpoint on what is stepped': { el: 1, spsr: SS, registers: { ...watching(WATCH()), MDSCR_EL1: Mdscr.MDE | Mdscr.KDE | Mdscr.SS }, body: 'ldr x3, [x1]; nop' },
};

/** Where QEMU 10 is not the architecture: what a program has to see, and the rule. */
const DIFFERENT: Readonly<Record<string, { readonly program: Case; readonly rule: string; readonly reports: readonly string[] }>> = {
  'a step that masks itself': {
    program: { el: 1, spsr: SS, registers: { MDSCR_EL1: Mdscr.SS | Mdscr.KDE }, body: 'nop; msr daifset, #8; nop; msr daifclr, #8; nop' },
    rule: 'CheckSoftwareStep asks GenerateDebugExceptions, which PSTATE.D of the same level stops; QEMU takes the exception with D set',
    reports: ['1 cf000022 4 5', '1 ce000022 10 5', '1 cf000022 14 5', '2 5a00007f 18 5'],
  },
  'no step with the OS Lock locked': {
    program: { el: 0, spsr: SS, registers: { MDSCR_EL1: Mdscr.SS, OSLAR_EL1: 1 }, body: 'nop; nop' },
    rule: 'GenerateDebugExceptionsFrom is false while OSLSR_EL1.OSLK is set; QEMU looks at another bit of OSLSR_EL1',
    reports: ['1 5600007f c 0'],
  },
  'a load that is watched after a store was': {
    program: { el: 1, registers: watching(WATCH()), body: 'str x3, [x1]; ldr x3, [x1]' },
    rule: 'ESR_ELx.WnR is the access\'s own; QEMU keeps it set from the store on',
    reports: ['1 d6000062 0 5 0', '1 d6000022 4 5 0', '2 5a00007f c 5'],
  },
};

/** Everything of the PMU is written and read back, or counted, at EL2. */
const show = (register: string): string => `mrs x23, ${register}; bl {put}`;
const written = (name: string, value: number, back = name): string => `${load('x1', value)}; msr ${name}, x1; ${show(back)}`;
/** GICR_ISPENDR0 of the first vCPU: bit 23 is the PMU's PPI. */
const pending = `${load('x1', 0x080b_0200)}; ldr w23, [x1]; ${load('x22', 1 << 23)}; and x23, x23, x22; bl {put}`;
/** P, U, NSH and the event number: the filter bits that are not EL3's. */
const TYPE = 0xc800_ffff;
const NSH = 1 << 27;
const PMU_CASES: Readonly<Record<string, Case>> = {
  'what its registers keep': {
    el: 2, spsr: D, pmu: true,
    body: [
      written('PMCNTENSET_EL0', 0xffff_ffff), written('PMCNTENCLR_EL0', 0x8000_0007), written('PMINTENSET_EL1', 0xffff_ffff), written('PMINTENCLR_EL1', 0xf0), written('PMUSERENR_EL0', 0xf), written('PMSELR_EL0', 0xff),
      written('PMOVSSET_EL0', 0xffff_ffff), written('PMOVSCLR_EL0', 0x8000_0001), written('PMEVTYPER5_EL0', TYPE), written('PMSELR_EL0', 5), written('PMXEVTYPER_EL0', 0x8000_0011, 'PMEVTYPER5_EL0'),
      written('PMXEVCNTR_EL0', 0x1234, 'PMEVCNTR5_EL0'), written('PMSELR_EL0', 31), written('PMXEVTYPER_EL0', 0x8000_0000, 'PMCCFILTR_EL0'), written('PMSELR_EL0', 7), show('PMXEVTYPER_EL0'), 'mrs x23, PMCR_EL0; lsr x23, x23, #11; and x23, x23, #31; bl {put}',
    ].join('; '),
  },
  'SW_INCR, its overflow and the interrupt': {
    el: 2, spsr: D, pmu: true, registers: { PMEVTYPER1_EL0: NSH, PMCNTENSET_EL0: 2, PMCR_EL0: 1 },
    body: [
      written('PMSWINC_EL0', 3, 'PMEVCNTR1_EL0'), written('PMSWINC_EL0', 1, 'PMEVCNTR1_EL0'), written('PMEVCNTR1_EL0', 0xffff_ffff), pending, written('PMSWINC_EL0', 2, 'PMOVSSET_EL0'), pending,
      written('PMINTENSET_EL1', 2), pending, written('PMOVSCLR_EL0', 2), pending,
    ].join('; '),
  },
  'SW_INCR that is filtered, and that is off': {
    el: 2, spsr: D, pmu: true, registers: { PMCNTENSET_EL0: 7, PMCR_EL0: 1, PMEVTYPER1_EL0: NSH },
    body: [written('PMSWINC_EL0', 3, 'PMEVCNTR0_EL0'), show('PMEVCNTR1_EL0'), written('PMCR_EL0', 0, 'PMUSERENR_EL0'), written('PMSWINC_EL0', 2, 'PMEVCNTR1_EL0'), written('PMCR_EL0', 2, 'PMEVCNTR1_EL0')].join('; '),
  },
  // What EL1 sees of the counters from MDCR_EL2.HPMN on is in pmu.test.ts: QEMU shows it their bits of PMCNTENSET_EL0 and PMINTENSET_EL1, which are RAZ/WI there.
};

const bytesOf = (code: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(code).buffer);

function onQemu(code: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-debug-'));
  try {
    const file = join(folder, 'program.bin');
    writeFileSync(file, code);
    const { stdout, stderr, status } = spawnSync(QEMU, [
      '-M', 'virt,virtualization=on,gic-version=3', '-cpu', 'max', '-m', '128M', '-display', 'none', '-nic', 'none', '-monitor', 'none', '-serial', 'stdio',
      '-device', `loader,file=${file},addr=0x${CODE.toString(16)},cpu-num=0,force-raw=on`,
    ], { encoding: 'utf8', timeout: LIMIT_MS, stdio: ['ignore', 'pipe', 'pipe'] });
    return status === 0 ? stdout : `${stdout}${stderr} (status ${String(status)})`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const installed = ['/usr/bin', '/usr/local/bin', ...(process.env['PATH'] ?? '').split(':')].some((directory) => existsSync(join(directory, QEMU)));

/** What the program prints on our board, and its image. */
function here(program: Case): { readonly text: string; readonly image: Uint8Array } {
  const image = bytesOf(words(programOf(program), CODE));
  const l1 = program.pmu === true ? 'both' : program.host === true ? 'vhe' : 'nvhe';
  const kernel = readImage(image, 'program', { at: CODE, code: { from: CODE, to: CODE + image.length } });
  const { events } = finish(boot({ vcpus: 1, memoryBytes: 4 << 20, el2: 'guest', nested: 'none', l1, kernel }).world);
  return { text: events.filter(({ event }) => event === 'console').map((event) => String(event['text'])).join(''), image };
}

describe.skipIf(!installed)('what a program sees is what it sees on QEMU (needs qemu-system-aarch64)', () => {
  test.each(Object.entries({ ...CASES, ...PMU_CASES }))('%s', (_, program) => {
    const { text, image } = here(program);
    expect(text).toMatch(/^(.+ \n)+$/);
    expect(text).toBe(onQemu(image));
  });
});

describe('what a program sees where QEMU differs from the architecture', () => {
  test.each(Object.entries(DIFFERENT))('%s', (_, { program, rule, reports }) => {
    const body = words(programOf(program).split('body:')[0]!.replace('{body}', `0x${CODE.toString(16)}`), CODE).length * 4;
    const seen = here(program).text.trimEnd().split('\n').map((line) => {
      const [level, esr, elr, ...rest] = line.trim().split(' ').map((word) => Number.parseInt(word, 16)) as [number, number, number, ...number[]];
      return [level, esr, elr - body, ...rest].map((word) => word.toString(16)).join(' ');
    });
    expect(seen, rule).toEqual(reports);
  });
});
