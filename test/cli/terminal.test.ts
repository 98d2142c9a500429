/** `zeno boot` on a terminal: keys, the escape key, a window that is closed, and a terminal that is as before however a run ends. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { ECHO, flatBinary } from '../support/echo-guest.ts';
import { fileIn, scratch, ZENO, zenoJson } from '../support/zeno.ts';

const DIR = scratch();
const file = fileIn(DIR);
/** The `script` of util-linux gives a command a terminal of its own. */
const installed = String(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout).includes('util-linux');
const ESCAPE = '\u001d';

/** ECHO with a millisecond of sleep between looks, so that a recording does not grow with the time that a test waits. */
const PATIENT = [
  ...ECHO.slice(0, 4), 'tbz w2, #4, 0x40080028', 'mrs x3, CNTVCT_EL0', 'movz x4, #0xf424', 'add x3, x3, x4', 'wfit x3', 'b 0x4008000c',
  // 0x40080028
  ...ECHO.slice(5, -1), 'b 0x40080044',
];

let patient: string;
let busy: string;
beforeAll(() => {
  patient = file('patient.bin', flatBinary(PATIENT));
  busy = file('busy.bin', flatBinary(ECHO));
});

interface Terminal {
  shown(): string;
  type(text: string): void;
  /** Waits until `text` is shown behind what was waited for last. */
  until(text: string): Promise<void>;
  /** Of zeno, not of what gives it a terminal. */
  signal(signal: NodeJS.Signals): void;
  /** Closes the window. */
  hangUp(): void;
  /** Waits until zeno has ended, and gives its status. */
  status(): Promise<number>;
}

/** `zeno WORDS` between two looks at how the terminal is set; `limits`: what the shell does before. */
function onTerminal(name: string, words: readonly string[], limits = ''): Terminal {
  const ended = join(DIR, `${name}-status`);
  const command = ["trap '' HUP", 'stty -g', `sh -c '${limits} echo "pid $$"; exec "$@"' sh ${[process.execPath, ZENO, ...words].map((word) => `'${word}'`).join(' ')}`, `echo $? >${ended}`, 'stty -g'].join('\n');
  const child = spawn('script', ['-qc', `sh ${file(`${name}.sh`, command)}`, '/dev/null'], { env: { ...process.env, NO_COLOR: '1' } });
  let shown = '';
  let seen = 0;
  child.stdout.on('data', (bytes: Buffer) => { shown += bytes.toString(); });
  const waitFor = async (what: string, look: () => boolean): Promise<void> => {
    for (let looks = 0; !look(); looks++) {
      if (looks === 3000) throw new Error(`${what} did not come; the terminal shows ${JSON.stringify(shown)}`);
      await setTimeout(10);
    }
  };
  return {
    shown: () => shown,
    type(text) { child.stdin.write(text); },
    until: (text) => waitFor(JSON.stringify(text), () => {
      const found = shown.indexOf(text, seen);
      if (found >= 0) seen = found + text.length;
      return found >= 0;
    }),
    signal(signal) { process.kill(Number(/pid (\d+)/.exec(shown)![1]), signal); },
    hangUp() { child.kill('SIGKILL'); },
    async status() {
      await waitFor('the end', () => existsSync(ended) && readFileSync(ended, 'utf8') !== '');
      if (child.exitCode === null && child.signalCode === null) await new Promise((done) => { child.on('close', done); });
      return Number(readFileSync(ended, 'utf8'));
    },
  };
}

/** How the terminal was set before and after. */
const settings = (shown: string): string[] => [...shown.matchAll(/^[0-9a-f]+(?::[0-9a-f]+)+/gm)].map(([text]) => text);

describe.skipIf(!installed && !process.env['CI'])('on a terminal (needs script of util-linux)', () => {
  const boot = (recording: string, kernel = patient): string[] => ['boot', '--kernel', kernel, '--mem', '16M', '--el2', 'none', '--record', recording];

  test('every key is the guest\'s, Ctrl-C and Ctrl-Z too, and the escape key is ours', async () => {
    const recording = join(DIR, 'keys');
    const terminal = onTerminal('keys', boot(recording));
    await terminal.until('\n>');
    terminal.type('a\u0003b\u001ac');
    await terminal.until('a\u0003b\u001ac');
    terminal.type(`${ESCAPE}?`);
    await terminal.until('q leaves, w says where the machine is');
    terminal.type(`${ESCAPE}w`);
    await terminal.until('of virtual time)');
    terminal.type(`${ESCAPE}${ESCAPE}d!`);
    expect(await terminal.status()).toBe(0);
    expect(terminal.shown()).toContain(`${ESCAPE}d!`);
    expect(terminal.shown()).toContain('passed: the guest powered the machine off');
    const [before, after] = settings(terminal.shown());
    expect(before).toMatch(/:/);
    expect(after).toBe(before);
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });

  test.each<[string, number, RegExp, (terminal: Terminal) => void, string?]>([
    ['the escape key and q', 130, /\nzeno: interrupted at main@frame:\d+; what ran is recorded in /, (terminal) => { terminal.type(`${ESCAPE}q`); }],
    ['SIGINT', 130, /\nzeno: interrupted at /, (terminal) => { terminal.signal('SIGINT'); }],
    ['SIGTERM', 130, /\nzeno: interrupted at /, (terminal) => { terminal.signal('SIGTERM'); }],
    ['SIGQUIT', 130, /\nzeno: interrupted at /, (terminal) => { terminal.signal('SIGQUIT'); }],
    ['a disk that is full', 2, /\nzeno: .*main\.log: EFBIG: .*: the run ended there; what ran before is recorded in /, () => {}, "trap \"\" XFSZ; ulimit -f 64;"],
  ])('ended by %s, it is as before, what is said has a line of its own, and the recording replays', async (how, status, line, end, limits) => {
    const name = how.replaceAll(' ', '-');
    const recording = join(DIR, name);
    const terminal = onTerminal(`on-${name}`, boot(recording, limits === undefined ? patient : busy), limits);
    await terminal.until('\n>');
    end(terminal);
    expect(await terminal.status()).toBe(status);
    expect(terminal.shown()).toMatch(line);
    const [before, after] = settings(terminal.shown());
    expect(before).toMatch(/:/);
    expect(after).toBe(before);
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });

  test('whose window is closed, the run ends, and what was typed is in the recording', async () => {
    const recording = join(DIR, 'closed');
    const terminal = onTerminal('closed', boot(recording));
    await terminal.until('\n>');
    terminal.type('abc');
    await terminal.until('abc');
    terminal.hangUp();
    expect(await terminal.status()).toBe(130);
    const { console } = await zenoJson<{ console: string }>(['show', recording, '--at', 'end', '--what', 'world']);
    expect(console).toBe('>abc');
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });
});
