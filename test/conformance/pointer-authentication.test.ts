/** The codes of pointer authentication against qemu-system-aarch64, by both functions: one program at EL1, which says over the UART what it signed, there and here. */

import { expect, test } from 'vitest';
import { load } from '../support/guest-program.ts';
import { BEGIN_SAYING, QEMU_SYSTEM, SAY, type SystemProgram, hasQemuSystem, off, onOurs, onQemu } from '../support/qemu-system.ts';

const ROUNDS = 60;
const KEYS = ['APIAKeyLo', 'APIAKeyHi', 'APIBKeyLo', 'APIBKeyHi', 'APDAKeyLo', 'APDAKeyHi', 'APDBKeyLo', 'APDBKeyHi', 'APGAKeyLo', 'APGAKeyHi'];
const ACTS = [
  'mov x0, x20; pacia x0, x21', 'autia x0, x21', 'mov x0, x20; pacib x0, x21', 'autib x0, x21', 'mov x0, x20; pacda x0, x21', 'mov x0, x20; pacdb x0, x21', 'mov x0, x20; paciza x0', 'xpaci x0',
  'pacga x0, x20, x21',
];

/** X19 is a stream of numbers (xorshift), X20 a pointer of either half and X21 a modifier. QEMU's CPU has FEAT_FPAC, so that every check has to pass. */
const PROGRAM: SystemProgram = {
  level: 1,
  text: `
${BEGIN_SAYING}; ${load('x19', 0x9e37_79b9_7f4a_7c15n)}
${load('x0', 0x30d0_0980n | 0xc800_2000n)}; msr SCTLR_EL1, x0
movz x23, #${ROUNDS}
round: ${KEYS.map((key) => `bl {next}; msr ${key}_EL1, x19`).join('; ')}
// T0SZ and T1SZ from 16 to 31, and TBI every other time.
and x0, x23, #15; add x0, x0, #16; orr x0, x0, x0, lsl #16; tbz x23, #0, {plain}; orr x0, x0, #0x6000000000
plain: msr TCR_EL1, x0; isb
bl {next}; asr x20, x19, #63; bl {next}; and x1, x19, #0x1ffffff; eor x20, x20, x1; bl {next}; mov x21, x19
${ACTS.map((act) => `${act}; bl {say}`).join('; ')}
sub x23, x23, #1; cbnz x23, {round}
${off(1)}
next: eor x19, x19, x19, lsl #13; eor x19, x19, x19, lsr #7; eor x19, x19, x19, lsl #17; ret
${SAY}`,
};

test.skipIf(!hasQemuSystem)(`${ROUNDS * ACTS.length} codes by each function are QEMU's (needs ${QEMU_SYSTEM})`, () => {
  for (const [option, pauth] of [['pauth-impdef=on', 'fast'], ['pauth-qarma5=on', 'qarma5']] as const) {
    const ours = onOurs(PROGRAM, { pauth });
    expect(ours.length).toBe(ROUNDS * ACTS.length);
    expect(ours, pauth).toEqual(onQemu(PROGRAM, `max,${option}`));
  }
});
