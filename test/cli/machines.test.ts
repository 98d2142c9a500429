/** `zeno boot --machines` and the verbs on what it recorded: vCPUs and consoles count over the machines, and each can be looked at and edited. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../snapshots/compatibility.ts';
import { ECHO, flatBinary } from '../support/echo-guest.ts';
import { fileIn, scratch, zeno, zenoJson, zenoLines } from '../support/zeno.ts';

const DIR = scratch();
const file = fileIn(DIR);
const recording = join(DIR, 'two');
const log = join(DIR, 'log');
let kernel: string;
let machine: string[];

const SCRIPT = 'expect ">"\nsend "ab"\nexpect "ab"\nconsole 1:serial\nexpect ">"\nsend "cd!"\nconsole serial\nsend "e!"\n';
beforeAll(async () => {
  kernel = file('echo.bin', flatBinary(ECHO));
  machine = ['--kernel', kernel, '--mem', '16M', '--el2', 'none', '--max-insns', '40000'];
  const { status, out } = await zeno(['boot', ...machine, '--machines', '2', '--smp', '2', '--net', '--input', file('script', SCRIPT), '--console-log', `1:serial=${log}`, '--record', recording]);
  expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/^>abe!\npassed: the guests powered all machines off\n/) });
});

test('a script types at the consoles of both, and the recording replays', async () => {
  expect(readFileSync(log, 'latin1')).toBe('>cd!');
  expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
});

test('that there is one machine is not told to a recording, so that those of before replay', async () => {
  const options = (directory: string): Manifest['options'] => (JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as Manifest).options;
  const one = join(DIR, 'one');
  await zeno(['boot', ...machine, '--machines', '1', '--input', file('script', 'expect ">"\nsend "!"\n'), '--record', one]);
  expect([options(recording)['machines'], 'machines' in options(one)]).toEqual([2, false]);
});

test.each([
  ['more machines than a world has', ['--machines', '9'], '--machines 9: a world has 1 to 8 machines'],
  ['none', ['--machines', '0'], '--machines 0: it must be a whole number from 1 on'],
  ['a console of a machine that is not there', ['--machines', '2', '--terminal', '2:serial'], '--terminal 2:serial: there is no such console: there are serial, 1:serial'],
])('%s is one line', async (_, more, line) => {
  const { status, err } = await zeno(['boot', ...machine, ...more]);
  expect({ status, err }).toEqual({ status: 2, err: expect.stringContaining(line) });
});

test('without a network they share a clock, and nothing else', async () => {
  const { status, out } = await zeno(['boot', ...machine, '--machines', '2', '--terminal', '1:serial', '--input', file('script', 'expect ">"\nsend "x!"\nconsole serial\nsend "!"\n')]);
  expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/^>x!\npassed: the guests powered all machines off\n/) });
});

describe('of a recording of two machines', () => {
  test('show has both, or one', async () => {
    const { out } = await zeno(['show', recording]);
    expect(out).toMatch(/next: nothing: the guests powered all machines off\n\nmachine 0: the guest powered the machine off\n[^]*vcpu0 [^]*52:54:00:12:34:56[^]*\n {2}>abe!\n\nmachine 1: [^]*vcpu2 [^]*52:54:00:12:34:57[^]*\n {2}>cd!\n/);
    const one = await zeno(['show', recording, '--machine', '1']);
    expect([one.out.includes('>cd!'), one.out.includes('>abe!')]).toEqual([true, false]);
    expect(await zenoJson(['show', recording])).toMatchObject({ console: '>abe!', machines: [{ console: '>cd!' }], machineTurn: expect.any(Number) });
  });

  test('show finds a vCPU by its number, and the machine by that of the vCPU', async () => {
    expect(await zenoJson(['show', recording, '--what', 'vcpu:2'])).toMatchObject({ machine: 1, vcpu: 2 });
    expect((await zenoJson(['show', recording, '--machine', '1', '--what', 'vgic']))).toMatchObject({ machine: 1 });
    for (const [words, line] of [[['--what', 'vcpu:4'], 'there are vCPUs 0 to 3'], [['--machine', '0', '--what', 'vcpu:2'], 'the machine has vCPUs 0 to 1'], [['--machine', '2'], '--machine 2: there are machines 0 to 1']] as const) {
      expect(await zeno(['show', recording, ...words])).toMatchObject({ status: 2, err: expect.stringContaining(line) });
    }
  });

  test('the timeline says which machine an event is of', async () => {
    const { out } = await zeno(['timeline', recording, '--kind', 'console', 'system_off']);
    expect(out).toMatch(/frame +time +machine +vcpu/);
    expect(out).toMatch(/ 1 +vcpu2 +L1 +console 1:serial ">cd!"/);
    const off = await zenoLines(['timeline', recording, '--kind', 'system_off']);
    expect(off.map(({ machine: number, vcpu }) => [number, vcpu])).toEqual([[1, 2], [0, 0]]);
    expect(await zenoLines(['timeline', recording, '--where', "machine == 1 && event == 'console'"])).toHaveLength(4);
  });

  test('rewind finds an instruction of a vCPU of either, and tells of all', async () => {
    expect((await zeno(['rewind', recording, '--to', 'vcpu2:insn:10'])).out).toMatch(/\nvcpu0 [^]*\nvcpu2 .* 10 instructions\n/);
  });

  test('a branch is edited in either, and the difference says where', async () => {
    const sets = ['vcpu:2.X9=7', '1:mem:0x40200000=9', 'mem:0x40200000=8'];
    expect((await zeno(['fork', recording, '--at', 'frame:5', '--name', 'edited', '--no-run', '--set', ...sets])).out).toContain('vcpu:2.X9=0x7, 1:mem:0x40200000,8=0x9, mem:0x40200000,8=0x8');
    const { differences } = await zenoJson<{ differences: { name: string; b: unknown }[] }>(['diff', recording, 'main@frame:5', 'edited']);
    expect(differences.map(({ name, b }) => [name, b])).toEqual([['vcpu:2.X9', '0x7'], ['mem:0x40200000,8', '0x8'], ['machine 1 mem:0x40200000,8', '0x9']]);
    for (const [set, line] of [['vcpu:4.X9=7', 'there is no vcpu:4, the machine has vcpu:0 to vcpu:3'], ['2:mem:0x40200000=1', 'there is no machine 2, the machines are 0 to 1'], ['1:mem:0x60000000=1', "this is not in the guest's memory"]] as const) {
      expect(await zeno(['fork', recording, '--name', 'other', '--set', set])).toMatchObject({ status: 2, err: expect.stringContaining(line) });
    }
    expect(await zenoJson(['replay', recording, '--branch', 'edited'])).toMatchObject({ identical: true, frames: 6 });
  });
});
