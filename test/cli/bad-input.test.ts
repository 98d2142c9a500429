/** What cannot be: one clear line on standard error, status 2, and nothing lost. */

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { scratch, spawned, zeno, ZENO, zenoInterrupted, zenoJson } from '../support/zeno.ts';

const DIR = join(scratch(), 'recording');
beforeAll(() => { expect(spawned(['run', 'hypercall', '--until', 'nested:6', '--record', DIR]).status).toBe(0); }, 120_000);

/** The whole answer is one line that says `text`. */
async function refused(words: readonly string[], text: string | RegExp): Promise<void> {
  const { status, out, err } = await zeno(words);
  expect({ status, out, lines: err.split('\n').length }).toEqual({ status: 2, out: '', lines: 2 });
  expect(err).toMatch(/^zeno: /);
  expect(err).toMatch(text);
}

describe('words', () => {
  test.each<[string, RegExp]>([
    ['', /^zeno: name a verb: run, .*where; zeno --help explains them/],
    ['rnu hypercall', /unknown command 'rnu'; \(Did you mean run\?\)/],
    ['run', /missing required argument 'scenario'/],
    ['run hypercal', /there is no scenario hypercal: there are hypercall, /],
    ['run nowhere/mine.ts', /nowhere\/mine\.ts: there is no such file/],
    ['run hypercall --nested nv3', /Allowed choices are pv, nv, nv2, none/],
    ['run hypercall --colour red', /unknown option '--colour'/],
    ['run hypercall --smp 0', /--smp 0: it must be a whole number from 1 on/],
    ['run hypercall --smp 17', /--smp 17: this board has 1 to 16 vCPUs/],
    ['run hypercall --l1 both', /--l1 both: under L0/],
    ['run hypercall --engine qemu', /'qemu' is invalid. Allowed choices are reference, interpreter, translator/],
    ['run hypercall --variant lost-doorbel', /--variant lost-doorbel: there is no such variant; there is lost-doorbell/],
    ['run two-vcpus-ipi --smp 1', /--smp 1: two-vcpus-ipi needs at least 2 vCPUs/],
    ['run hypercall --until exit:x', /"exit:x" is not a position: a whole number comes after exit:/],
    ['explore two-vcpus-ipi --strategy pct', /--strategy pct is not built yet/],
    ['explore two-vcpus-ipi --budget soon', /--budget soon: it must be a time such as 60s/],
    ['explore hypercall --at exit:3', /hypercall is not a recording, and only a recording has positions/],
    ['where nothing-of-the-kind', /no register, instruction, exit reason, event/],
    ['timeline /nowhere', /\/nowhere is not a recording: it has no main\.log/],
  ])('zeno %s', (words, text) => refused(words.split(' ').filter((word) => word !== ''), text));
});

describe('on a recording', () => {
  test.each<[string, RegExp]>([
    ['timeline DIR --from exit:9999', /exit:9999 does not exist: the last is exit:\d+/],
    ['show DIR --at nested:7', /nested:7 does not exist: the last is nested:6/],
    ['show DIR --at mark:none', /mark:none does not exist: there are no marks/],
    ['show DIR --at other@exit:1', /there is no branch other: the branches are main/],
    ['show DIR --at tomorrow', /"tomorrow" is not a position: write exit:42/],
    ['show DIR --what vcpu:1', /the machine has vCPUs 0 to 0/],
    ['show DIR --what everything', /it must be world, vcpu:N/],
    ['show DIR --what mem:0x50000000,16', /16 bytes at 0x50000000 are not in memory/],
    ['show DIR --what code:no_such_function,4', /no_such_function is neither a number such as 0x40200000 nor a symbol of tiny-hypervisor\.elf or hypercall\.elf/],
    ['rewind DIR --to end+1', /end\+1 does not exist: the end of main is frame:\d+/],
    ['fork DIR --at exit:5 --name b --set vcpu:0.X99=1', /there is no register X99; X0 to X30/],
    ['fork DIR --at exit:5 --name b --set vcpu:3.X1=1', /there is no vcpu:3, the machine has vcpu:0 to vcpu:0/],
    ['fork DIR --at exit:5 --name b --set vcpu:0.X1', /it must be PATH=VALUE/],
    ['fork DIR --at exit:5 --name b --set vcpu:0.X1=0x10000000000000000', /has more than 64 bits/],
    ['fork DIR --at exit:5 --name b --set sym:no_such_word=1', /no image of this recording has a symbol no_such_word/],
    ['fork DIR --at exit:5 --name b --set mem:0x90000000=1', /0x90000000, 8 bytes: this is not in the guest's memory/],
    ['fork DIR --at exit:5 --name main', /there is already a branch main/],
    ['fork DIR --at exit:5 --name ../b', /a branch cannot be called "..\/b"/],
    ['mark DIR exit:3 here+1', /a mark cannot be called "here\+1"/],
    ['timeline DIR --where reason=1', /--where reason=1: character 7: = means nothing here; to compare, write ==/],
    ['replay DIR --branch b', /--branch b: there is no such branch: there are main/],
    ['stat DIR --compare DIR --nested WFx', /--nested WFx: .* has no nested exit of that reason; there are IABT_LOW, HVC64/],
    ['run hypercall --record DIR', /holds a recording already: name another directory/],
  ])('zeno %s', async (words, text) => {
    await refused(words.split(' ').map((word) => (word === 'DIR' ? DIR : word)), text);
    // Nothing was lost, and nothing was left behind.
    expect(readdirSync(DIR).filter((file) => file.endsWith('.log'))).toEqual(['main.log']);
  });

  test('all that was refused has changed nothing', async () => {
    expect(await zeno(['replay', DIR])).toMatchObject({ status: 0, err: '' });
  });
});

function copy(): string {
  const directory = join(scratch(), 'copy');
  cpSync(DIR, directory, { recursive: true });
  return directory;
}

describe('a recording that cannot be written', () => {
  /** A folder in the way of a file fails every write of it, to root too. */
  const blocked = (name: string): string => {
    const directory = copy();
    mkdirSync(join(directory, name));
    return directory;
  };

  test('is looked at by rewind, which then says that the cursor could not be kept', async () => {
    const directory = blocked('cursor.new');
    const { status, out, err } = await zeno(['rewind', directory, '--to', 'nested:3']);
    expect({ status, out, err }).toEqual({ status: 2, out: expect.stringMatching(/^main@frame:\d+[^]*about to happen: /) as string, err: expect.stringMatching(/^zeno: .*cursor\.new: EISDIR: [^\n]*\n$/) as string });
  });

  test('is not forked, and stays as it was', async () => {
    const directory = blocked('b.log.new');
    await refused(['fork', directory, '--at', 'exit:5', '--name', 'b'], /b\.log\.new: EISDIR: /);
    expect(await zeno(['replay', directory])).toMatchObject({ status: 0, err: '' });
  });

  test('is told by the first error, not by what follows from it', async () => {
    const directory = copy();
    const { withSession } = await import('../../cli/session.ts');
    await expect(withSession(directory, { edit: true }, () => {
      truncateSync(join(directory, 'main.log'), 100);
      throw new Error('the first');
    })).rejects.toThrow('the first');
  });
});

describe('a recording that is not whole', () => {
  test('cut anywhere, it opens without its torn frame, is told so in one line, and what is whole replays', async () => {
    const whole = statSync(join(DIR, 'main.log')).size;
    for (const cut of [whole - 1, whole - 37, whole - Math.floor(whole / 3)]) {
      const directory = copy();
      truncateSync(join(directory, 'main.log'), cut);
      const { status, out, err } = await zeno(['replay', directory]);
      expect(out).toMatch(/^identical: [\d,]+ frames/);
      expect(err).toMatch(/^zeno: .*main\.log: the last \d+ bytes, from byte \d+, are a torn frame and do not count\n$/);
      expect(status).toBe(2);
    }
  });

  test('damaged in the middle, the byte is named', async () => {
    const directory = copy();
    const bytes = readFileSync(join(directory, 'main.log'));
    bytes[Math.floor(bytes.length / 2)]! ^= 0xff;
    writeFileSync(join(directory, 'main.log'), bytes);
    for (const file of readdirSync(directory)) if (file.endsWith('.index')) truncateSync(join(directory, file), 0);
    await refused(['replay', directory], /main\.log: bytes? \d+.*damaged/);
  });

  test('from a newer version, and from something else, it says so', async () => {
    const newer = copy();
    const log = readFileSync(join(newer, 'main.log'));
    const { encodeHeader } = await import('../../snapshots/log.ts');
    log.set(encodeHeader(99));
    writeFileSync(join(newer, 'main.log'), log);
    await refused(['timeline', newer], /format version 99; this build reads version 1: open it with a newer Zeno/);
    const other = join(scratch(), 'other');
    mkdirSync(other);
    writeFileSync(join(other, 'main.log'), 'these are not the bytes of a log, whatever they are');
    await refused(['timeline', other], /this is not a Zeno log/);
  });

  test('one whose images are others than these is refused', async () => {
    const directory = join(scratch(), 'r');
    const { openScenario } = await import('../../cli/open.ts');
    const { startSession } = await import('../../cli/session.ts');
    const opened = await openScenario('hypercall', { nested: 'nv2', l1: 'vhe' });
    const [image, ...rest] = opened.manifest.images;
    startSession({ ...opened, manifest: { ...opened.manifest, images: [{ ...image!, sum: '0'.repeat(64) }, ...rest] } }, directory).close();
    await refused(['timeline', directory], /the image tiny-hypervisor\.elf is another: recorded with 000000000000/);
    const semantics = join(scratch(), 's');
    startSession({ ...opened, manifest: { ...opened.manifest, semantics: '0' } }, semantics).close();
    expect(await zeno(['timeline', semantics])).toMatchObject({ status: 2, err: expect.stringMatching(/^zeno: .*recorded with semantics 0, this build has \d+.*\n$/) as string });
  });
});

describe('ending early', () => {
  test('Ctrl-C stops a run cleanly, says where it is, and what was recorded replays and goes on', async () => {
    const directory = join(scratch(), 'r');
    const { status, err } = await zenoInterrupted(['run', 'forward-exception', '--nested', 'nv', '--record', directory], 'tiny-hypervisor', 'SIGINT');
    expect(status).toBe(130);
    expect(err).toMatch(new RegExp(`^zeno: interrupted at main@frame:\\d+; what ran is recorded in ${directory}\n$`));
    expect(await zeno(['replay', directory])).toMatchObject({ status: 0, err: '' });
    expect(await zenoJson(['fork', directory, '--at', 'end', '--name', 'on'])).toMatchObject({ outcome: 'passed' });
  });

  test('a pipe that is closed early is no error', () => {
    expect(execFileSync('sh', ['-c', `"$1" "$2" timeline "$3" | head -n 1`, 'sh', process.execPath, ZENO, DIR], { encoding: 'utf8' })).toMatch(/frame/);
  });

  test('colours are for terminals, and NO_COLOR wins over FORCE_COLOR', () => {
    expect(spawned(['branches', DIR], { env: { NO_COLOR: '' } }).out).not.toContain('\u001b[');
    expect(spawned(['branches', DIR], { env: { NO_COLOR: '', FORCE_COLOR: '1' } }).out).toContain('\u001b[1m');
    expect(spawned(['branches', DIR], { env: { NO_COLOR: '1', FORCE_COLOR: '1' } }).out).not.toContain('\u001b[');
  });
});

/** A Node older than 24 on this machine, where there is one. */
const old = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => existsSync(path) && Number(/^v(\d+)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1]) < 24);

describe.skipIf(old === undefined)('on a Node older than 24 (skipped where there is none at /usr/bin/node or /usr/local/bin/node)', () => {
  test('zeno goes on with the one that is pinned, and ends as it does', () => {
    expect(spawned(['branches', DIR], { node: old! })).toMatchObject({ status: 0, err: '', out: expect.stringMatching(/^main, \d+ frames/) as string });
    expect(spawned(['branches', '/nowhere'], { node: old! }).status).toBe(2);
  });

  test('without one, it says so in one line', () => {
    const directory = join(scratch(), 'cli');
    mkdirSync(directory);
    copyFileSync(ZENO, join(directory, 'zeno.mjs'));
    const { status, stderr } = (() => {
      try {
        execFileSync(old!, [join(directory, 'zeno.mjs'), 'branches', DIR], { encoding: 'utf8', stdio: 'pipe' });
        return { status: 0, stderr: '' };
      } catch (error) {
        return error as { status: number; stderr: string };
      }
    })();
    expect(status).toBe(2);
    expect(stderr).toMatch(/^zeno: this is Node [\d.]+ and Zeno needs 24 or newer: .*\n$/);
  });
});
