/** Two of Debian's kernels in one World: they ping each other and send a file by TCP, the same way on two engines, and a recording of both is one. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { totalsOf, withSession } from '../../cli/session.ts';
import { stepForward, worldOf } from '../../snapshots/history.ts';
import { goToPosition } from '../../snapshots/timeline.ts';
import { scratch, zenoBeside } from '../support/zeno.ts';
import { lacking, LINUX, PROMPT, WHERE } from './guests.ts';

const { image, initramfs } = LINUX.find(({ series }) => series === '6.12')!;
const DIR = scratch();

/** What is typed at each of the two: machine 0 makes a file and sends it, machine 1 takes it, both say its sum. */
const SESSION = join(DIR, 'session');
writeFileSync(SESSION, [
  'timeout 60s', `expect "${PROMPT}"`, 'send "ifconfig eth0 10.0.2.15; head -c 200000 /dev/urandom > /tmp/file; md5sum /tmp/file\\n"', 'expect "/tmp/file\\r\\n"', `expect "${PROMPT}"`,
  'console 1:serial', `expect "${PROMPT}"`, 'send "ifconfig eth0 10.0.2.16; nc -l -p 5000 > /tmp/file & echo listening\\n"', 'expect "listening\\r\\n"', `expect "${PROMPT}"`,
  'console serial', 'send "ping -c 3 10.0.2.16; ping -c 1 10.0.2.2\\n"', `expect "${PROMPT}"`, 'send "nc 10.0.2.16 5000 < /tmp/file; poweroff\\n"',
  'console 1:serial', 'send "wait; md5sum /tmp/file; poweroff\\n"',
].join('\n'));

interface Ran { readonly consoles: readonly [string, string]; readonly outcome: string; readonly reason: string; readonly insns: number; readonly fingerprint: string }

async function run(name: string, ...more: readonly string[]): Promise<Ran> {
  const other = join(DIR, `${name}.txt`);
  const { out, err } = await zenoBeside([
    'boot', '--kernel', image, '--initrd', initramfs, '--append', 'console=ttyAMA0 quiet', '--el2', 'none', '--machines', '2', '--net', '--input', SESSION, '--console-log', `1:serial=${other}`, '--json', ...more,
  ]);
  return { ...JSON.parse(out) as Omit<Ran, 'consoles'>, consoles: [err, readFileSync(other, 'latin1')] };
}
/** Sums that a console shows. */
const sums = (console: string): string[] => [...console.matchAll(/\n([0-9a-f]{32}) {2}\/tmp\/file/g)].map(([, sum]) => sum!);

describe.skipIf(lacking(image, initramfs))(`two machines of one World ${WHERE}`, () => {
  test('ping each other and send a file, the same way on two engines; the recording replays, and goes on to the same end from its middle', async () => {
    const recording = join(DIR, 'recording');
    const [first, second] = await Promise.all([run('first', '--record', recording), run('second', '--engine', 'interpreter')]);
    expect(first).toMatchObject({ outcome: 'passed', reason: 'the guests powered all machines off' });
    for (const shown of ['3 packets transmitted, 3 packets received, 0% packet loss', '1 packets transmitted, 1 packets received, 0% packet loss']) expect(first.consoles[0]).toContain(shown);
    expect(sums(first.consoles[0])).toHaveLength(1);
    expect(sums(first.consoles[1])).toEqual(sums(first.consoles[0]));
    const { consoles, insns, fingerprint } = second;
    expect({ consoles: first.consoles, insns: first.insns, fingerprint: first.fingerprint }).toEqual({ consoles, insns, fingerprint });
    const replay = zenoBeside(['replay', recording, '--json']);
    await withSession(recording, {}, ({ history }) => {
      goToPosition(history, `insn:${Math.floor(0.6 * insns)}`);
      goToPosition(history, `insn:${Math.floor(insns / 2)}`);
      expect(totalsOf(history).insns).toBe(Math.floor(insns / 2));
      while (stepForward(history) !== undefined);
      expect([totalsOf(history).insns, history.system.fingerprint(worldOf(history))]).toEqual([insns, fingerprint]);
    });
    expect(JSON.parse((await replay).out)).toMatchObject({ identical: true, firstDifference: null });
  });
});
