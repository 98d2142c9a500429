/** The console of `zeno boot`: scripts that wait and type, limits in virtual time, and what becomes of a run when the world outside fails. */

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readScript } from '../../cli/console-script.ts';
import { withoutEscapes } from '../../cli/terminal.ts';
import { ECHO, flatBinary } from '../support/echo-guest.ts';
import { fileIn, scratch, ZENO, zeno, zenoBeside, zenoInterrupted, zenoJson, zenoLines, type Spoken } from '../support/zeno.ts';

const DIR = scratch();
const file = fileIn(DIR);

let kernel: string;
beforeAll(() => { kernel = file('echo.bin', flatBinary(ECHO)); });
const MACHINE = ['--mem', '16M', '--el2', 'none', '--max-insns', '20000'];
const boot = (script: string, ...more: string[]): Promise<Spoken> => zeno(['boot', '--kernel', kernel, ...MACHINE, '--input', file('script', script), ...more]);

describe('a script for --input', () => {
  test('waits for what the console shows, types, and replays', async () => {
    const recording = join(DIR, 'script-recording');
    const { status, out } = await boot('# a session\n\nexpect ">"\nsend "ab"\nexpect "ab"\nsend "\\x21"\n', '--record', recording);
    expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/^>ab!\npassed: the guest powered the machine off\n/) });
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });

  test('may be long, and a text of any length is typed', async () => {
    const long = 'x'.repeat(300_000);
    for (const input of [long, `send "${long}"\n`]) {
      const { status, out } = await boot(input);
      expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/^>x+\nstopped: --max-insns 20000 was reached\n/) });
    }
  });

  test('that ends with an expect ends the run', async () => {
    const { status, out } = await boot('expect ">"\nsend "xyz"\nexpect "yz"\n');
    expect(status).toBe(0);
    expect(out).toMatch(/passed: .*script was carried out\n/);
  });

  test.each<[string, string, readonly string[], RegExp]>([
    ['when the machine is off', 'expect ">"\nsend "!"\nexpect "more"\n', [], /script: line 3: the console never showed "more": the guest powered the machine off/],
    ['when a limit is reached', 'expect ">"\nexpect ">"\n', [], /script: line 2: the console never showed ">": --max-insns 20000 was reached/],
    ['when its own time is over', 'timeout 10us\nexpect ">"\nexpect "more"\n', [], /script: line 3: the console never showed "more" in the time that it was given/],
    ['when virtual time is over', 'expect "more"\n', ['--max-time', '10us'], /script: line 1: the console never showed "more": --max-time 10 µs was reached/],
  ])('has failed, and says which line waited, %s', async (_, script, more, line) => {
    const { status, out } = await boot(script, ...more);
    expect(status).toBe(1);
    expect(out).toMatch(line);
  });

  test('waits in virtual time, exactly', async () => {
    const waited = async (script: string): Promise<number> => Number((await zenoJson(['boot', '--kernel', kernel, ...MACHINE, '--input', file('script', script)]))['timeNs']);
    expect(await waited('wait 12us\nsend "!"\n') - await waited('wait 10us\nsend "!"\n')).toBe(2000);
  });

  test.each<[string, string, RegExp]>([
    ['a line that is none', 'expect ">"\ntype "a"\n', /script: line 2: "type \\"a\\"" is none of expect "TEXT", send "TEXT", wait 100ms, timeout 30s, console NAME and # a comment/],
    ['a first line that is nearly one', 'expect \'>\'\n', /script: line 1: "expect '>'" is none of/],
    ['a first line with a time that is nearly one', 'wait 5\nsend "a"\n', /script: line 1: "wait 5" is none of/],
    ['a line that has no end', `expect ">"\n${'x'.repeat(5000)}\n`, /script: line 2: "x{60}…" is none of/],
    ['a time that no clock shows', 'wait 99999999999999h\n', /script: line 1: wait 99999999999999h: a time is at most 2501h/],
    ['a quote that does not end', 'expect ">"\nsend "a\n', /script: line 2: /],
    ['an escape that is none', 'send "\\q"\n', /script: line 1: \\q is no escape/],
    ['nothing to expect', 'expect ""\n', /script: line 1: expect needs a text that is not empty/],
  ])('with %s is refused', async (_, script, line) => {
    const { status, out, err } = await boot(script);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(line);
  });

  test('is told from text by its first line', () => {
    for (const text of ['send me\nexpect "a"\n', 'wait\n', 'uname -a\nexpect "a"\n']) {
      expect(readScript(Buffer.from(text), 'typed')).toEqual({ name: 'typed', isScript: false, steps: [{ type: 'send', line: 1, text }] });
    }
    expect(readScript(Buffer.from('\n# first\r\n  wait 1.5us \r\nsend "\\e[6n\\t\\\\\\"ä"\n'), 'script').steps)
      .toEqual([{ type: 'wait', line: 3, ns: 1500 }, { type: 'send', line: 4, text: '\u001b[6n\t\\"Ã¤' }]);
  });
});

describe('of several consoles', () => {
  /** Prints AB on the serial port and xy on hvc0 in turns, by the emergency write that needs no driver (Virtio 1.2, 5.3.4), then an end of line on both, and powers off. */
  const TWO = [
    'movz x1, #0x900, lsl #16', 'movz x3, #0xa00, lsl #16', 'movk x3, #0x3f08',
    ...[...'AxBy\n\n'].flatMap((letter, index) => [`mov w2, #${letter.charCodeAt(0)}`, `str w2, [x${index % 2 === 0 ? 1 : 3}]`]),
    'movz w0, #0x8400, lsl #16', 'orr w0, w0, #8', 'smc #0', 'b .',
  ].map((line, index) => (line === 'b .' ? `b 0x${(0x4008_0000 + 4 * index).toString(16)}` : line));
  const both = ['--console', '--kernel', file('two.bin', flatBinary(TWO))];

  test('one is standard output, files get what was asked for, and the recording says which printed what', async () => {
    const recording = join(DIR, 'two');
    const log = (name: string): string => join(DIR, `${name}.txt`);
    const { status, out } = await zeno(['boot', ...MACHINE, ...both, '--terminal', 'hvc0', '--console-log', `serial=${log('serial')}`, '--console-log', `hvc0=${log('hvc0')}`, '--record', recording]);
    expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/^xy\n\npassed/) });
    expect([readFileSync(log('serial'), 'utf8'), readFileSync(log('hvc0'), 'utf8')]).toEqual(['AB\n', 'xy\n']);
    expect((await zeno(['boot', ...MACHINE, ...both])).out).toMatch(/^AB\n\npassed/);
    // A run that is refused has begun nothing; another writes the file anew.
    const again = (directory: string): Promise<Spoken> => zeno(['boot', ...MACHINE, '--kernel', kernel, '--input', file('typed', '!'), '--console-log', `serial=${log('serial')}`, '--record', directory]);
    expect([(await again(recording)).status, readFileSync(log('serial'), 'utf8')]).toEqual([2, 'AB\n']);
    expect([(await again(join(DIR, 'again'))).status, readFileSync(log('serial'), 'utf8')]).toEqual([0, '>!']);
    const events = await zenoLines<{ console: string; text: string }>(['timeline', recording, '--kind', 'console']);
    expect(events.map(({ console, text }) => `${console} ${text}`)).toEqual(['serial A', 'hvc0 x', 'serial B', 'hvc0 y', 'serial \n', 'hvc0 \n']);
    expect((await zeno(['timeline', recording, '--kind', 'console', '--where', 'console == "hvc0"'])).out).toMatch(/ console hvc0 "xy\\n"\n$/);
  });

  test('each is searched by itself, by what expects of it', async () => {
    const answer = (script: string, ...more: string[]): Promise<Spoken> => zeno(['boot', ...MACHINE, ...both, '--input', file('script', script), ...more]);
    expect((await answer('expect "AB"\nconsole hvc0\nexpect "xy"\n')).status).toBe(0);
    // What hvc0 showed while the script was at the serial port is not lost.
    expect((await answer('expect "B\\n"\nconsole hvc0\nexpect "x"\nexpect "y"\n')).status).toBe(0);
    const { status, out } = await answer('console hvc0\nexpect "A"\n');
    expect({ status, out }).toEqual({ status: 1, out: expect.stringMatching(/script: line 2: the console never showed "A": the guest powered the machine off/) });
    expect((await zeno(['boot', ...MACHINE, ...both, '--terminal', 'hvc0', '--expect', 'xy'])).status).toBe(0);
    expect((await zeno(['boot', ...MACHINE, ...both, '--expect', 'x'])).status).toBe(1);
  });
});

describe('a machine that only waits', () => {
  /** WFIT for hours, again and again. */
  const IDLE = ['mrs x0, CNTVCT_EL0', 'movz x1, #0x10, lsl #32', 'add x0, x0, x1', 'wfit x0', 'b 0x40080000'];

  test('ends when its console has been silent for ten virtual minutes', async () => {
    const { status, out } = await zeno(['boot', '--kernel', file('idle.bin', flatBinary(IDLE)), ...MACHINE]);
    expect({ status, out }).toEqual({ status: 1, out: expect.stringMatching(/stopped: the console was silent for 600 s of virtual time/) });
  });

  test('ends at --max-time, exactly', async () => {
    expect(await zenoJson(['boot', '--kernel', file('idle.bin', flatBinary(IDLE)), ...MACHINE, '--max-time', '20m'])).toMatchObject({ outcome: 'stopped', reason: '--max-time 1200 s was reached', timeNs: 1200e9 });
  });

  test('can be waited for though it has nothing to do', async () => {
    expect(await zenoJson(['boot', '--kernel', file('off.bin', flatBinary(['wfi', 'b 0x40080000'])), ...MACHINE, '--input', file('script', 'wait 3s\n')])).toMatchObject({ outcome: 'stopped', timeNs: 3e9 });
  });
});

test('a time that is none is refused', async () => {
  const { status, err } = await boot('!', '--max-time', 'soon');
  expect(status).toBe(2);
  expect(err).toMatch(/--max-time soon: it must be a time such as 1.5ms, 60s or 2h/);
});

test('the escape key opens a menu; twice, it is typed', () => {
  const escape = { isOpen: false };
  expect(withoutEscapes(Buffer.from('a\u0003\u001d'), escape)).toEqual({ bytes: [97, 3], commands: [] });
  expect(withoutEscapes(Buffer.from('qb\u001d\u001d\u001dw\u001d?'), escape)).toEqual({ bytes: [98, 0x1d], commands: ['leave', 'where', 'help'] });
});

describe('the world outside', () => {
  const FOREVER = ['boot', '--mem', '16M', '--el2', 'none'];

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends the run, and the recording is whole', async (signal) => {
    const recording = join(DIR, signal);
    const { status, err } = await zenoInterrupted([...FOREVER, '--kernel', kernel, '--record', recording], '>', signal);
    expect(status).toBe(130);
    expect(err).toMatch(new RegExp(`^zeno: interrupted at main@frame:\\d+; what ran is recorded in .*${signal}\n$`));
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });

  test('a reader that goes away ends the run, and the recording is whole', async () => {
    const recording = join(DIR, 'pipe');
    // Prints for ever.
    const chatty = file('chatty.bin', flatBinary(['movz x1, #0x900, lsl #16', 'mov w2, #0x3e', 'str w2, [x1]', 'b 0x40080008']));
    const child = spawn(process.execPath, [ZENO, ...FOREVER, '--kernel', chatty, '--record', recording], { env: { ...process.env, NO_COLOR: '1' } });
    let err = '';
    child.stderr.on('data', (bytes: Buffer) => { err += bytes.toString(); });
    child.stdout.once('data', () => { child.stdout.destroy(); });
    expect(await new Promise((resolve) => { child.on('close', resolve); })).toBe(130);
    expect(err).toMatch(/^zeno: interrupted at main@frame:\d+; what ran is recorded in .*pipe\n$/);
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });

  const MOMENTS = [['while it runs', '100000000'], ['when it has ended', '4']] as const;
  test.skipIf(!existsSync('/dev/full')).each(MOMENTS)('standard output that has no room is one line and status 2, and the recording is whole, %s (needs /dev/full)', async (when, insns) => {
    const recording = join(DIR, when.replaceAll(' ', '-'));
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [ZENO, ...FOREVER, '--kernel', kernel, '--max-insns', insns, '--record', recording], { encoding: 'utf8', stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(/^zeno: standard output cannot be written: ENOSPC: [^\n]*\n$/) as string });
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });

  test('a log that somebody cuts ends the run, and what is whole of it replays', async () => {
    const recording = join(DIR, 'cut');
    const { status, err } = await zenoBeside([...FOREVER, '--kernel', kernel, '--record', recording], () => {
      const log = join(recording, 'main.log');
      const waiting = setInterval(() => {
        if (statSync(log).size < 20_000) return;
        clearInterval(waiting);
        truncateSync(log, 1000);
      }, 5);
    });
    expect(status).toBe(2);
    expect(err).toMatch(/^zeno: .*main\.log: byte 1000: the file has 1000 bytes where \d+ were recorded: something else changed it: the run ended there; what ran before is recorded in .*cut\n$/);
    expect(JSON.parse((await zeno(['replay', recording, '--json'])).out)).toMatchObject({ identical: true });
  });

  test('a recording that is taken away ends the run', async () => {
    const recording = join(DIR, 'away');
    const { status, err } = await zenoBeside([...FOREVER, '--kernel', kernel, '--record', recording], () => { rmSync(recording, { recursive: true }); });
    expect(status).toBe(2);
    expect(err).toMatch(/^zeno: [^\n]*: the run ended there; nothing of it is left in .*away\n$/);
  });

  test('a disk that is full ends the run with one line, and what was recorded replays', async () => {
    const recording = join(DIR, 'full');
    // A limit on the size of files fails writes as a full disk does, half-way, and needs no disk.
    const limited = `trap '' XFSZ; ulimit -f 64; exec "$@"`;
    const { status, stderr } = spawnSync('bash', ['-c', limited, 'bash', process.execPath, ZENO, ...FOREVER, '--kernel', kernel, '--record', recording], { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } });
    expect(stderr).toMatch(/^zeno: .*full\/main\.log: EFBIG: .*: the run ended there; what ran before is recorded in .*full\n$/);
    expect(status).toBe(2);
    const replayed = await zeno(['replay', recording, '--json']);
    expect([replayed.status, JSON.parse(replayed.out)]).toEqual([0, expect.objectContaining({ identical: true })]);
  });
});
