/** Debian's kernels, unmodified, on every kind of board: what they print, what they answer at the console, and that they run the same way twice, on any engine. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { totalsOf, withSession } from '../../cli/session.ts';
import { stepForward, worldOf } from '../../snapshots/history.ts';
import { goToPosition } from '../../snapshots/timeline.ts';
import { scratch, zenoBeside } from '../support/zeno.ts';
import { lacking, LINUX, PROMPT, WHERE, type LinuxGuest } from './guests.ts';

const absent = lacking(...LINUX.flatMap(({ image, initramfs }) => [image, initramfs]));
const DIR = scratch();
const BOARDS = { 'bare EL1': ['--el2', 'none'], 'bare EL2': ['--el2', 'guest'], 'a guest of L0': ['--el2', 'kvm'], 'virtual EL2': ['--el2', 'kvm', '--nested', 'nv2'], 'bare EL1 with GICv2': ['--el2', 'none', '--gic', '2'], 'bare EL2 with GICv2': ['--el2', 'guest', '--gic', '2'] } as const;
type Board = keyof typeof BOARDS;

/** Every kernel, board and number of vCPUs; or as many runs as have each of them once. */
const MATRIX: readonly (readonly [string, Board, number])[] = process.env['ZENO_SIMULATE']
  ? LINUX.flatMap(({ series }) => (Object.keys(BOARDS) as Board[]).flatMap((board) => [1, 2, 4].map((vcpus) => [series, board, vcpus] as const)))
  : [['6.12', 'bare EL1', 1], ['6.1', 'bare EL2', 2], ['6.12', 'virtual EL2', 2], ['6.1', 'a guest of L0', 4], ['6.1', 'bare EL2 with GICv2', 2]];

const linux = (series: string): LinuxGuest => LINUX.find((guest) => guest.series === series)!;

const SESSION = join(DIR, 'session');
writeFileSync(SESSION, [
  'timeout 120s', `expect "${PROMPT}"`, 'send "uname -sr; nproc; cat /proc/sys/kernel/tainted\\n"', `expect "${PROMPT}"`, 'send "poweroff\\n"',
].join('\n'));

interface Ran { readonly console: string; readonly outcome: string; readonly reason: string; readonly insns: number; readonly fingerprint: string }

/** Boots to the shell, asks it something, and powers off. */
async function boot(series: string, board: Board, vcpus: number, ...more: readonly string[]): Promise<Ran> {
  const { image, initramfs } = linux(series);
  const { out, err } = await zenoBeside([
    'boot', '--kernel', image, '--initrd', initramfs, '--append', 'console=ttyAMA0', ...BOARDS[board], '--smp', String(vcpus), '--engine', 'translator', '--input', SESSION, '--json', ...more,
  ]);
  return { ...JSON.parse(out) as Omit<Ran, 'console'>, console: err };
}

/** What a kernel says when something is wrong. "spurious", "unhandled" and their like come with one of these. */
const TROUBLE = /WARNING|BUG:|Call trace|Oops|stall|Unexpected|unhandled|panic|lockup|soft reset|failed to/i;

describe.skipIf(absent)(`Linux ${WHERE}`, () => {
  test.each(MATRIX)('%s at %s with %d vCPUs boots to a shell that answers, and powers off', async (series, board, vcpus) => {
    const ran = await boot(series, board, vcpus);
    expect(ran).toMatchObject({ outcome: 'passed', reason: 'the guest powered the machine off' });
    const lines = ran.console.split(/\r?\n/).map((line) => line.trimEnd());
    expect(lines.filter((line) => TROUBLE.test(line))).toEqual([]);
    const answers = lines.slice(lines.findIndex((line) => line.includes('uname -sr')) + 1);
    expect(answers.slice(0, 3)).toEqual([expect.stringContaining(`Linux ${series}.`), String(vcpus), '0']);
    const atEl2 = board.includes('EL2');
    expect(ran.console).toContain(`CPU: All CPU(s) started at EL${atEl2 ? 2 : 1}`);
    expect(/kvm \[\d+\]: VHE mode initialized successfully/.test(ran.console)).toBe(atEl2);
    const gicv2 = board.endsWith('GICv2');
    expect(ran.console).toContain(gicv2 ? 'GICv2m: range[mem 0x08020000-0x08020fff], SPI[80:143]' : 'ITS@0x0000000008080000: allocated');
    if (gicv2 && atEl2) expect(ran.console).toMatch(/GIC: Using split EOI\/Deactivate mode[^]*kvm \[\d+\]: vgic interrupt IRQ\d+/);
  });

  test('four vCPUs run the same way on two engines, and a recording of them replays, and goes on to the same end from its middle', async () => {
    const recording = join(DIR, 'four');
    const first = await boot('6.12', 'bare EL1', 4, '--record', recording);
    const second = await boot('6.12', 'bare EL1', 4, '--engine', 'interpreter');
    const { console, insns, fingerprint } = second;
    expect({ console: first.console, insns: first.insns, fingerprint: first.fingerprint }).toEqual({ console, insns, fingerprint });
    expect(JSON.parse((await zenoBeside(['replay', recording, '--json'])).out)).toMatchObject({ identical: true });
    await withSession(recording, { engine: 'translator' }, ({ history }) => {
      // To the end first, so that what follows goes back.
      goToPosition(history, 'end');
      expect(totalsOf(history).insns).toBe(insns);
      goToPosition(history, `insn:${Math.floor(insns / 2)}`);
      expect(totalsOf(history).insns).toBe(Math.floor(insns / 2));
      while (stepForward(history) !== undefined);
      expect([totalsOf(history).insns, history.system.fingerprint(worldOf(history))]).toEqual([insns, fingerprint]);
    });
  });
});
