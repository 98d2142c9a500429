/** Random programs for EL2 and what it runs: arithmetic, memory, branches, exceptions, system registers and exclusives, that always end. */

import type { World } from '../../actors/world.ts';
import type { Flavour, Mechanism } from '../../machines/kvm/state.ts';
import { readBytes } from '../../machines/memory/memory.ts';
import { BELOW, CODE, load, machine } from './guest-program.ts';

/** What programs read and write: a page for each vCPU, then one that all share. */
const SANDBOX = 0x4030_0000;
const SHARED = SANDBOX + 0x4000;
/** Where each vCPU leaves its registers, a page each. */
const LEFT = SANDBOX + 0x8000;
const STAGE2_TABLE = 0x4031_0000;

export interface RandomProgram {
  readonly text: string;
  readonly below: string;
  readonly vcpus: number;
  readonly quantum: number;
}

type Draw = (limit: number) => number;

/**
 * A program for a flavour of EL2: `draw` decides everything else, so that the same seed gives both flavours the same acts. X0 to X14 are
 * its data, X16 its own page, X17 the shared one, X15, X18 to X21 and X25 to X27 its tools.
 */
export function randomProgram(draw: Draw, l1: Flavour, vcpus: number): RandomProgram {
  const labels = { next: 0 };
  const el1 = l1 === 'vhe' ? 'EL12' : 'EL1';
  const bodies = Array.from({ length: vcpus }, () => body(draw, labels));
  const stage2 = draw(2) === 1;
  const hcr = (1n << 31n) | (l1 === 'vhe' ? 1n << 34n : 0n) | (stage2 ? 1n : 0n);
  const text = `
movz x0, #0
${vcpus > 1 ? `${load('x0', 0xc400_0003n)}; movz x1, #1; adr x2, {second}; movz x3, #1; smc #0; movz x0, #0` : ''}
b {start}
second: movz x0, #1
start:
${load('x27', CODE + 0x8000)}; msr VBAR_EL2, x27
${load('x27', BELOW + 0x8000)}; msr VBAR_${el1}, x27
${load('x27', STAGE2_TABLE)}; ${load('x26', 0x4000_07fdn)}; str x26, [x27, #8]; msr VTTBR_EL2, x27
${load('x27', 0x8002_3559n)}; msr VTCR_EL2, x27
${load('x27', hcr)}; msr HCR_EL2, x27; isb
${load('x16', SANDBOX)}; add x16, x16, x0, lsl #12; ${load('x17', SHARED)}
orr x20, x0, xzr
${Array.from({ length: 15 }, (_, register) => `${load(`x${register}`, value(draw))}`).join('\n')}
cbnz x20, {other}
${bodies[0]!.text}
b {end}
other:
${bodies[1]?.text ?? ''}
end:
${load('x27', LEFT)}; add x27, x27, x20, lsl #12
${Array.from({ length: 15 }, (_, register) => `str x${register}, [x27, #${8 * register}]`).join('\n')}
mrs x0, NZCV; str x0, [x27, #120]
${['ELR_EL2', 'SPSR_EL2', 'ESR_EL2', 'TPIDR_EL0', 'TPIDR_EL2', `ELR_${el1}`, `SPSR_${el1}`, `ESR_${el1}`, `VBAR_${el1}`, 'SP_EL0', 'VTCR_EL2', 'HCR_EL2'].map((name, at) => `mrs x0, ${name}; str x0, [x27, #${128 + 8 * at}]`).join('\n')}
cbnz x20, {off}
${vcpus > 1 ? `${load('x1', LEFT + 0x1ff8)}; wait: ldar x0, [x1]; cbz x0, {wait}` : ''}
${load('x0', 0x8400_0008)}; smc #0
off: movz x0, #1; str x0, [x27, #0xff8]; dmb ish
${load('x0', 0x8400_0002)}; smc #0
stop: b {stop}
.org 0x8000
b {same}
.org 0x8200
same: ${passOver('EL2')}
.org 0x8400
lower: mrs x26, ESR_EL2; lsr x26, x26, #26; sub x27, x26, #0x16; cbz x27, {call}; sub x27, x26, #0x17; cbz x27, {smc}
${passOver('EL2', 'lower')}
smc: mrs x27, ELR_EL2; add x27, x27, #4; msr ELR_EL2, x27; eret
call: msr ELR_EL2, x25; movz x26, #0x3c9; msr SPSR_EL2, x26; eret`;
  const below = `
${bodies.flatMap(({ below: parts }) => parts).map(({ label, text: part }) => `${label}: ${part}\nhvc #0x77`).join('\n')}
stay: b {stay}
.org 0x8200
${passOver('EL1', 'below')}
.org 0x8400
${passOver('EL1', 'zero')}`;
  const { text: placed, below: placedBelow } = linked(text, below);
  return { text: placed, below: placedBelow, vcpus, quantum: [25, 200, 10_000][draw(3)]! };
}

/** EL2 jumps to labels of the code below by address: each part there has a slot of its own. */
const PART_BYTES = 0x100;
function linked(text: string, below: string): { text: string; below: string } {
  const parts = [...below.matchAll(/^(part\d+): /gm)].map(([, label]) => label!);
  const address = (label: string): number => BELOW + PART_BYTES * (1 + parts.indexOf(label));
  return {
    text: text.replaceAll(/@(part\d+)/g, (_, label: string) => load('x27', address(label))),
    below: `b {stay}\n${below.replaceAll(/^(part\d+): /gm, (_, label: string) => `.org 0x${(address(label) - BELOW).toString(16)}\n`)}`,
  };
}

/** A handler that goes on behind what is returned to at itself: BRK, what is UNDEFINED, aborts. X26 and X27 are lost. */
const passOver = (el: string, name: string = el): string => `
mrs x26, ESR_${el}; lsr x26, x26, #26; cbz x26, {over${name}}
sub x27, x26, #0x3c; cbz x27, {over${name}}; lsr x27, x26, #2; sub x27, x27, #9; cbz x27, {over${name}}; eret
over${name}: mrs x27, ELR_${el}; add x27, x27, #4; msr ELR_${el}, x27; eret`;

interface Body { readonly text: string; readonly below: readonly { readonly label: string; readonly text: string }[] }

function body(draw: Draw, labels: { next: number }): Body {
  const below: { label: string; text: string }[] = [];
  const acts = Array.from({ length: 12 + draw(24) }, () => {
    if (draw(10) === 0) {
      const label = `part${labels.next++}`;
      below.push({ label, text: Array.from({ length: 1 + draw(6) }, () => act(draw, labels, 1)).join('\n') });
      const back = `back${labels.next++}`;
      return `adr x25, {${back}}; @${label}\nmsr ELR_EL2, x27; movz x26, #0x3c5; msr SPSR_EL2, x26; eret\n${back}:`;
    }
    return act(draw, labels, 2);
  });
  return { text: acts.join('\n'), below };
}

/** One act at EL1 or EL2. */
function act(draw: Draw, labels: { next: number }, el: 1 | 2): string {
  const x = (): string => `x${draw(15)}`;
  const w = (): string => `w${draw(15)}`;
  const pick = <T>(...choices: readonly T[]): T => choices[draw(choices.length)]!;
  const plain = (): string => pick(
    () => `${pick('add', 'sub', 'adds', 'subs', 'and', 'orr', 'eor', 'bic', 'ands')} ${x()}, ${x()}, ${x()}, ${pick('lsl', 'lsr', 'asr')} #${draw(64)}`,
    () => `${pick('add', 'sub', 'adds', 'subs', 'and', 'eor')} ${w()}, ${w()}, ${w()}`,
    () => `${pick('mul', 'udiv', 'sdiv', 'lsl', 'lsr', 'ror', 'smulh', 'umulh')} ${x()}, ${x()}, ${x()}`,
    () => `madd ${x()}, ${x()}, ${x()}, ${x()}`,
    () => `${pick('csel', 'csinc', 'csinv', 'csneg')} ${x()}, ${x()}, ${x()}, ${pick('eq', 'ne', 'cs', 'mi', 'vs', 'hi', 'ge', 'lt', 'gt', 'le')}`,
    () => `${pick('clz', 'rbit', 'rev', 'rev16', 'cls')} ${x()}, ${x()}`,
    () => `movk ${x()}, #${draw(65536)}, lsl #${16 * draw(4)}`,
    () => `crc32cw ${w()}, ${w()}, ${w()}`,
    () => pick(`pacia ${x()}, ${x()}`, `autdb ${x()}, ${x()}`, `xpaci ${x()}`, `xpacd ${x()}`, 'bti c', 'esb', 'sb', 'axflag', 'xaflag'),
  )();
  // With the MMU off all is Device memory, where accesses must be aligned.
  const memory = (): string => pick(
    () => `${pick('ldr', 'str')} ${x()}, [${pick('x16', 'x17')}, #${8 * draw(64)}]`,
    () => `${pick('ldr', 'str', 'ldrsw x3, [x16] // ')} ${w()}, [x16, #${4 * draw(128)}]`,
    () => `${pick('ldrb', 'strb', 'ldrsb')} ${w()}, [${pick('x16', 'x17')}, #${draw(512)}]`,
    () => `${pick('ldrh', 'strh')} ${w()}, [x16, #${2 * draw(256)}]`,
    () => `${pick('ldp', 'stp')} x${draw(7)}, x${7 + draw(7)}, [x16, #${16 * draw(30)}]`,
    // Unaligned on Device: an Alignment fault, which is passed over.
    () => `${pick('ldr', 'str')} ${x()}, [x16, #${8 * draw(16)}]\n${pick('ldur', 'stur')} ${x()}, [x16, #${1 + draw(7)}]`,
  )();
  const label = (): string => `l${labels.next++}`;
  return pick(
    plain, plain, memory, memory,
    () => {
      const to = label();
      return `${pick(`cbz ${x()}`, `cbnz ${x()}`, `tbz ${x()}, #${draw(64)}`, `tbnz ${x()}, #${draw(64)}`)}, {${to}}\n${plain()}\n${memory()}\n${to}: ${plain()}`;
    },
    () => {
      const to = label();
      return `movz x18, #${2 + draw(9)}\n${to}: ${plain()}\n${memory()}\nsub x18, x18, #1\ncbnz x18, {${to}}`;
    },
    () => `${pick('svc', 'brk', 'svc')} #${draw(65536)}`,
    // The paravirtual encoding has 13 bits; below, HVC ends the stay.
    () => (el === 2 ? `hvc #${draw(0x2000)}` : `smc #${1 + draw(8)}`),
    () => '.inst 0x00000000',
    () => `mrs ${x()}, ${pick('TPIDR_EL0', 'TPIDR_EL1', 'CurrentEL', 'NZCV', 'DAIF', 'SP_EL0', 'PMCR_EL0', 'TPIDR_EL2', ...(el === 2 ? ['ESR_EL2', 'ELR_EL2', 'SPSR_EL2', 'VTTBR_EL2', 'CONTEXTIDR_EL1', 'AFSR0_EL1'] as const : [] as const))}`,
    () => `msr ${pick('TPIDR_EL0', 'TPIDR_EL1', 'NZCV', 'SP_EL0', 'TPIDRRO_EL0', ...(el === 2 ? ['TPIDR_EL2', 'HPFAR_EL2', 'AFSR1_EL1', 'VDISR_EL2'] as const : ['TPIDR_EL2'] as const))}, ${x()}`,
    () => pick('dsb sy', 'isb', 'dmb ish', 'sev', 'yield', 'nop', 'clrex'),
    () => {
      // Retried until it is stored; on Device memory that is allowed to us.
      const to = label();
      const at = 8 * draw(32);
      return `add x21, x17, #${at}\n${to}: ldaxr x19, [x21]\nadd x19, x19, #${1 + draw(9)}\nstlxr w18, x19, [x21]\ncbnz w18, {${to}}`;
    },
    // By X16 or X17 or another register, onto what takes it and what does not: pages here are not guarded.
    () => { const to = label(); return `adr x21, {${to}}\n${pick('br x21', 'blr x21')}\n${to}: ${plain()}`; },
    () => `add x21, x17, #${8 * draw(32)}\n${pick(`ldadd ${x()}, ${x()}, [x21]`, `swpal ${x()}, ${x()}, [x21]`, `casa ${x()}, ${x()}, [x21]`, `ldumax ${w()}, ${w()}, [x21]`)}`,
  )();
}

const value = (draw: Draw): bigint => {
  switch (draw(3)) {
    case 0: return BigInt(draw(256));
    case 1: return BigInt.asUintN(64, -BigInt(draw(256)));
    default: return [0, 1, 2, 3].reduce((sum) => (sum << 16n) | BigInt(draw(65536)), 0n);
  }
};

/** The program's machine at its start. */
export const programMachine = ({ text, below, vcpus, quantum }: RandomProgram, nested: Mechanism, l1: Flavour): World =>
  machine(text, { el2: nested === 'none' ? 'guest' : 'kvm', nested, l1, below, vcpus, quantum });

/** What the program wrote: the pages of all vCPUs, the shared one and the registers at the end. */
export const written = (world: World): Uint8Array => readBytes(world.engine.board.memory, SANDBOX, 0xa000);
