/** The codes of pointer authentication against qemu-system-aarch64, by both functions: one program at EL1, which says over the UART what it signed, there and here. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../machines/aarch64/run.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { bareCore, program, set } from '../support/core.ts';
import { load, words } from '../support/guest-program.ts';

const QEMU = 'qemu-system-aarch64';
const installed = spawnSync(QEMU, ['--version']).status === 0;
const AT = 0x4020_0000;
const ROUNDS = 60;
const KEYS = ['APIAKeyLo', 'APIAKeyHi', 'APIBKeyLo', 'APIBKeyHi', 'APDAKeyLo', 'APDAKeyHi', 'APDBKeyLo', 'APDBKeyHi', 'APGAKeyLo', 'APGAKeyHi'];
const ACTS = [
  'mov x0, x20; pacia x0, x21', 'autia x0, x21', 'mov x0, x20; pacib x0, x21', 'autib x0, x21', 'mov x0, x20; pacda x0, x21', 'mov x0, x20; pacdb x0, x21', 'mov x0, x20; paciza x0', 'xpaci x0',
  'pacga x0, x20, x21',
];

/** X19 is a stream of numbers (xorshift), X20 a pointer of either half and X21 a modifier. QEMU's CPU has FEAT_FPAC, so that every check has to pass. */
const TEXT = `
${load('x19', 0x9e37_79b9_7f4a_7c15n)}; ${load('x22', 0x900_0000)}
${load('x0', 0x30d0_0980n | 0xc800_2000n)}; msr SCTLR_EL1, x0
movz x23, #${ROUNDS}
round: ${KEYS.map((key) => `bl {next}; msr ${key}_EL1, x19`).join('; ')}
// T0SZ from 16 to 39, and TBI0 every other time.
and x0, x23, #15; add x0, x0, #16; orr x0, x0, x0, lsl #16; tbz x23, #0, {plain}; orr x0, x0, #0x6000000000
plain: msr TCR_EL1, x0; isb
bl {next}; asr x20, x19, #63; bl {next}; and x1, x19, #0x1ffffff; eor x20, x20, x1; bl {next}; mov x21, x19
${ACTS.map((act) => `${act}; bl {say}`).join('; ')}
sub x23, x23, #1; cbnz x23, {round}
${load('x0', 0x8400_0008)}; hvc #0
next: eor x19, x19, x19, lsl #13; eor x19, x19, x19, lsr #7; eor x19, x19, x19, lsl #17; ret
say: mov x1, x0; movz x2, #8
byte: strb w1, [x22]; lsr x1, x1, #8; sub x2, x2, #1; cbnz x2, {byte}; ret`;

function theirs(pauth: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-pauth-'));
  try {
    const [image, serial] = [join(folder, 'image'), join(folder, 'serial')];
    writeFileSync(image, new Uint8Array(Uint32Array.from(words(TEXT, AT)).buffer));
    execFileSync(QEMU, ['-machine', 'virt', '-cpu', `max,${pauth}`, '-nodefaults', '-display', 'none', '-monitor', 'none', '-serial', `file:${serial}`, '-device', `loader,file=${image},addr=${AT},force-raw=on`, '-device', `loader,addr=${AT},cpu-num=0`], { timeout: 60_000 });
    return readFileSync(serial);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function ours(pauth: 'qarma5' | 'fast'): Uint8Array {
  const { core, memory, board } = bareCore({ el2: 'none', features: { pauth } });
  program(memory, AT, words(TEXT, AT));
  set(core, 'VBAR_EL1', 0n);
  core.words[Word.PC] = BigInt(AT);
  while (run(core, 1_000_000).end.type === 'effect');
  return Uint8Array.from(board.outbox.filter(({ to }) => to === 'uart').map(({ message }) => Number(message['value'])));
}

test.skipIf(!installed)(`${ROUNDS * ACTS.length} codes by each function are QEMU's (needs ${QEMU})`, () => {
  for (const [option, pauth] of [['pauth-impdef=on', 'fast'], ['pauth-qarma5=on', 'qarma5']] as const) {
    const mine = ours(pauth);
    expect(mine.length).toBe(8 * ROUNDS * ACTS.length);
    expect(Buffer.from(mine).equals(Buffer.from(theirs(option))), pauth).toBe(true);
  }
});
