/** Each verb on one small recording: what programs rely on, and what people see. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { scratch, spawned, zeno, zenoJson, zenoLines, type Spoken } from '../support/zeno.ts';

const DIR = join(scratch(), 'recording');
let told: Spoken;
let ran: Record<string, unknown>;

/** A run that fails for a reason that is known, so that there is something to fork away from. */
beforeAll(() => {
  told = spawned(['run', 'forward-exception', '--append', 'fault=stale-elr', '--record', DIR, '--json']);
  ran = JSON.parse(told.out) as Record<string, unknown>;
}, 120_000);

describe('run', () => {
  test('a run whose claim does not hold ends there, with status 1 and the keys that programs rely on', () => {
    expect(told.status).toBe(1);
    expect(told.err).toBe('');
    expect(Object.keys(ran)).toEqual(['scenario', 'outcome', 'reason', 'insns', 'timeNs', 'exits', 'nestedExits', 'fingerprint', 'recording']);
    expect(ran).toMatchObject({ scenario: 'forward-exception', outcome: 'failed', nestedExits: 5, recording: DIR });
    expect(ran.reason).toContain("an exception that L1 forwards arrives at L2's vector: vcpu1 returns to L2");
    expect(ran.fingerprint).toMatch(/^[0-9a-f]{32}$/);
  });

  test('the same run again ends in the same fingerprint, and people see the console and where it went wrong', async () => {
    const { status, out } = await zeno(['run', 'forward-exception', '--append', 'fault=stale-elr']);
    expect(status).toBe(1);
    expect(out).toMatch(/^tiny-hypervisor: l1=vhe cpus=2 payload=forward-exception\n/);
    expect(out).toContain('while L1 handled nested:5 of vcpu1');
    expect(out).toContain(`fingerprint ${String(ran.fingerprint)}`);
  });

  test('a run up to a position stops there with status 0; on bare EL2 there is no exit to L0', async () => {
    expect(await zenoJson(['run', 'hypercall', '--until', 'exit:20'])).toMatchObject({ outcome: 'stopped', reason: 'reached exit:20', exits: 20, recording: null });
    expect(await zenoJson(['run', 'hypercall', '--until', 'insn:3001'])).toMatchObject({ outcome: 'stopped', reason: 'reached insn:3001', insns: 3001 });
    expect(await zenoJson(['run', 'hypercall', '--nested', 'none', '--l1', 'both'])).toMatchObject({ outcome: 'passed', exits: 0, nestedExits: 0 });
  });

  test('a TypeScript file runs like a built-in scenario, and its recording opens by its path', async () => {
    const directory = scratch();
    const file = join(directory, 'mine.ts');
    writeFileSync(file, "export default { name: 'mine', question: 'Does mine run?', payload: 'hypercall', vcpus: 1, claims: { always: [{ name: 'never', check: (world: { state: { clock: number } }): string | undefined => (world.state.clock > 40_000 ? 'late' : undefined) }] } };\n");
    const { status, out } = spawned(['run', file, '--record', join(directory, 'r'), '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ scenario: 'mine', outcome: 'failed', reason: 'never: late' });
    expect(spawned(['replay', join(directory, 'r')])).toMatchObject({ status: 0, err: '' });
  });
});

describe('timeline', () => {
  const events = (...words: string[]): Promise<Record<string, unknown>[]> => zenoLines(['timeline', DIR, ...words]);

  test('every event has the keys that programs rely on first; exits are numbered as positions count them', async () => {
    const all = await events();
    for (const event of all) expect(Object.keys(event).slice(0, 7)).toEqual(['frame', 'timeNs', 'vcpu', 'level', 'event', 'exit', 'nested']);
    const exits = all.filter(({ event }) => event === 'kvm_exit');
    expect(exits.map(({ exit }) => exit)).toEqual(exits.map((_, index) => index + 1));
    expect(exits).toHaveLength(ran.exits as number);
    expect(exits.filter(({ level }) => level === 'L2').map(({ nested }) => nested)).toEqual([1, 2, 3, 4, 5]);
    expect(exits[0]!.pc).toMatch(/^0x[0-9a-f]+$/);
    expect(all.map(({ frame }) => frame)).toEqual(all.map(({ frame }) => frame as number).sort((a, b) => a - b));
  });

  test('from, to, kind, level, vcpu and where each leave out the rest', async () => {
    const wanted = await events('--from', 'nested:5', '--kind', 'kvm_exit', '--level', 'L1', '--vcpu', '1', '--where', "reason == 'ERET' && nested == 5");
    expect(wanted).toHaveLength(1);
    expect(wanted[0]).toMatchObject({ event: 'kvm_exit', level: 'L1', vcpu: 1, reason: 'ERET', nested: 5 });
    expect((await events('--to', 'exit:3', '--kind', 'kvm_exit')).map(({ exit }) => exit)).toEqual([1, 2, 3]);
  });

  test('for people, a line of the console is one line, and addresses have their symbols', async () => {
    const { out } = await zeno(['timeline', DIR]);
    expect(out).toContain('console "tiny-hypervisor: l1=vhe cpus=2 payload=forward-exception\\n"');
    expect(out).toMatch(/ {2}kvm_exit SYS64 pc=0x40001290 <trap> pstate=0x5 MSR ACTLR_EL1, XZR$/m);
  });

  test('as a tree, a nested exit holds all that it caused, folded with counts', async () => {
    const tree = await zenoLines<{ nested: number; exits: number; durationNs: number | null; caused: { what: string; count: number }[] }>(['timeline', DIR, '--tree']);
    expect(tree.map(({ nested }) => nested)).toEqual([1, 2, 3, 4, 5]);
    const last = tree.at(-1)!;
    expect(last.exits).toBe(1 + last.caused.reduce((sum, { count }) => sum + count, 0));
    expect(last.caused).toContainEqual({ what: 'MSR CNTV_CTL_EL02', count: 2 });
    const { out } = spawned(['timeline', DIR, '--tree', '--from', 'nested:5-1']);
    expect(out).toMatch(/^nested:5 exit:\d+ frame:\d+ {2}vcpu1 {2}SYS64 MSR ACTLR_EL1 {2}at 0x40001290 <trap>/m);
    expect(out).toContain('to L1 sync exception taken to virtual EL2');
    expect(out).toContain('back in L2 by nested ERET');
  });
});

describe('show', () => {
  const show = async (what: string, ...words: string[]): Promise<string> => (await zeno(['show', DIR, '--at', 'nested:5', '--what', what, ...words])).out;

  test('the world tells where each vCPU stands, by symbol', async () => {
    expect(spawned(['show', DIR, '--at', 'nested:5']).out).toMatch(/vcpu1 {2}L2 {2}L0 works: sync, handle {2}0x40001290 <trap>/);
    expect(JSON.parse(await show('world', '--json'))).toMatchObject({ at: expect.stringMatching(/^main@frame:\d+$/) as string, what: 'world', ended: null });
  });

  test('a vCPU is shown as the guest sees it and as the hardware has it', async () => {
    const text = await show('vcpu:1');
    expect(text).toContain("the guest's PC 0x0000000040001290");
    expect(text).toMatch(/VBAR_EL1 0x0000000040000800/);
    expect(text).toContain('MSR ACTLR_EL1, XZR');
    expect(JSON.parse(await show('vcpu:1', '--json'))).toMatchObject({ level: 'L2', guest: { pc: '0x40001290' }, registers: { ELR_EL2: '0x40001290' } });
  });

  test('code is disassembled behind its symbols, at a vCPU, a symbol or an address', async () => {
    expect(await show('code:vcpu:1,2')).toBe('  <trap>:\n→ 40001290  d518103f  msr actlr_el1, xzr\n  40001294  d65f03c0  ret\n');
    const [first] = (JSON.parse(await show('code:handle_exit,1', '--json')) as { instructions: { address: string; symbol: string }[] }).instructions;
    expect(first).toMatchObject({ symbol: 'handle_exit' });
    expect(await show(`code:${first!.address},1`)).toContain('<handle_exit>');
  });

  test("stage 2 shows L1's table, the shadow and the canonical map side by side", async () => {
    expect(await show('stage2')).toMatch(/0x000040000000 {2}2 MiB {2}0x000044000000 rwx level 2 {2}0x000044000000 rwx {2}0x000044000000 rwx/);
  });

  test.each([['vgic', /vgic:1/], ['timer', /timer:0/], ['mmu', /The canonical map/], ['vncr:1', /0x250 {2}VBAR_EL1 0x0000000040000800/], ['mem:fault_stale_elr,8', / {2}01 00 00 00 00 00 00 00 {2}/]])('%s', async (what, pattern) => {
    expect(await show(what)).toMatch(pattern);
    expect(JSON.parse(await show(what, '--json'))).toMatchObject({ what });
  });
});

describe('going back and another way', () => {
  let forked: Spoken;
  beforeAll(() => {
    spawned(['rewind', DIR, '--to', 'nested:5']);
    forked = spawned(['fork', DIR, '--name', 'fixed', '--set', 'sym:fault_stale_elr=0', '--json']);
  }, 120_000);

  test('rewind says what is about to happen, and the next verb starts there', async () => {
    const { status, out } = await zeno(['rewind', DIR, '--to', 'nested:5']);
    expect(status).toBe(0);
    expect(out).toMatch(/about to happen: L0 works for vcpu1\n {2}kvm_sys_access pc=0x40001290 name=ACTLR_EL1/);
    expect((await zeno(['show', DIR, '--what', 'code:vcpu:1,1'])).out).toContain('<trap>');
  });

  test('the fork with the fault switched off passes', () => {
    expect(forked).toMatchObject({ status: 0, err: '' });
    expect(JSON.parse(forked.out)).toMatchObject({ outcome: 'passed', reason: 'RESULT forward-exception PASS', recording: DIR });
  });

  test('branches shows where it left, and marks name positions', async () => {
    expect(spawned(['mark', DIR, 'fixed@nested:6', 'later'])).toMatchObject({ status: 0, out: expect.stringMatching(/^mark:later is fixed@frame:\d+\n$/) as string });
    const [main, fixed] = await zenoLines(['branches', DIR]);
    expect(main).toMatchObject({ branch: 'main', parent: null, marks: [{ name: 'violation' }] });
    expect(fixed).toMatchObject({ branch: 'fixed', parent: 'main', marks: [{ name: 'later' }] });
    expect(spawned(['branches', DIR]).out).toMatch(/└─ fixed from frame:\d+ of main/);
    expect((await zeno(['show', DIR, '--at', 'fixed@mark:later'])).out).toContain('fixed@frame:');
  });

  test('diff names the first frame that differs, the word that was changed and the first event that is another', async () => {
    const comparison = await zenoJson<{ same: boolean; firstFrame: number; differences: { name: string }[]; firstEvents: Record<string, unknown>[] }>(['diff', DIR, 'main', 'fixed']);
    expect(comparison.same).toBe(false);
    expect(comparison.differences.map(({ name }) => name)).toEqual([expect.stringContaining('<fault_stale_elr>')]);
    expect(comparison.firstEvents).toMatchObject([{ event: 'kvm_nested_eret', elr: '0x40001290' }, { event: 'kvm_nested_eret', elr: '0x40000a00' }]);
    expect(spawned(['diff', DIR, 'main', 'main']).out).toBe('main and main are the same\n');
  });

  test('diff of two instants names registers; the same instant on both branches is the same', async () => {
    const { out } = await zeno(['diff', DIR, 'nested:4', 'nested:5']);
    expect(out).toMatch(/^\d+ differences between \S+ and \S+/);
    expect(out).toMatch(/vcpu:1\.ELR_EL2/);
    expect(await zenoJson(['diff', DIR, 'main@nested:5', 'fixed@nested:5'])).toMatchObject({ differences: [] });
  });

  test('replay finds every keyframe of both branches identical', async () => {
    const verdict = await zenoJson<{ frames: number; keyframes: number }>(['replay', DIR]);
    expect(Object.keys(verdict)).toEqual(['frames', 'keyframes', 'identical', 'firstDifference']);
    expect(verdict).toMatchObject({ identical: true, firstDifference: null });
    expect(verdict.keyframes).toBeGreaterThan(10);
  });

  test('another L0 and another seed can rule a branch, which replays as such', async () => {
    expect((await zeno(['fork', DIR, '--at', 'nested:4', '--name', 'bug', '--variant', 'lost-doorbell', '--seed', '7', '--run-until', 'nested:5'])).status).toBe(0);
    expect((await zeno(['diff', DIR, 'main', 'bug'])).out).toMatch(/bug {3}is patched: variants lost-doorbell, seed 7/);
    expect(spawned(['replay', DIR, '--branch', 'bug']).status).toBe(0);
  });

  test("a register of a vCPU for which L0 works is the guest's: PC is where it will go on", async () => {
    expect((await zeno(['fork', DIR, '--at', 'nested:5', '--name', 'elsewhere', '--set', 'vcpu:1.PC=0x40001294', 'vcpu:1.X5=0x77', '--no-run'])).status).toBe(0);
    expect(await zenoJson(['show', DIR, '--at', 'elsewhere@end', '--what', 'vcpu:1'])).toMatchObject({ guest: { pc: '0x40001294' }, registers: { X5: '0x77' } });
  });
});

describe('stat', () => {
  test('rows have the keys that programs rely on, and their counts add up to all exits', async () => {
    const rows = JSON.parse(`[${spawned(['stat', DIR, '--branch', 'main', '--json']).out.trim().replaceAll('\n', ',')}]`) as { count: number; timeNs: object }[];
    for (const row of rows) expect(Object.keys(row).slice(0, 5)).toEqual(['level', 'reason', 'ec', 'count', 'timeNs']);
    for (const row of rows) expect(Object.keys(row.timeNs)).toEqual(['min', 'avg', 'max']);
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(ran.exits);
    expect(rows).toContainEqual(expect.objectContaining({ level: 'L2', reason: 'SYS64', ec: 0x18, count: 1, exitsToL0: expect.objectContaining({ typical: expect.any(Number) as number }) as object }));
    const perVcpu = await zenoLines<{ vcpu: number; count: number }>(['stat', DIR, '--branch', 'main', '--per-vcpu']);
    expect(new Set(perVcpu.map(({ vcpu }) => vcpu))).toEqual(new Set([0, 1]));
    expect(perVcpu.reduce((sum, { count }) => sum + count, 0)).toBe(ran.exits);
  });

  test('for people, the columns are those of perf kvm stat', async () => {
    const { out } = await zeno(['stat', DIR, '--branch', 'main']);
    expect(out.split('\n')[0]).toMatch(/^Level +VM-EXIT +Samples +Samples% +Time% +Min Time +Max Time +Avg time +vCPUs$/);
    expect(out).toContain('Exits to L0 for one nested exit, until L2 runs again');
    expect((await zeno(['stat', DIR, '--branch', 'main', '--registers'])).out).toMatch(/MSR MDCR_EL2/);
  });

  test('a hypercall of L2 costs at least four times the exits under nv that it costs under nv2, as many under pv, and compare names the registers', async () => {
    const directory = scratch();
    for (const mechanism of ['nv', 'nv2', 'pv']) expect((await zeno(['run', 'hypercall', '--nested', mechanism, '--record', join(directory, mechanism)])).status).toBe(0);
    const compare = (a: string, b: string) => zenoLines<{ what: string; register?: string; a: number; b: number; difference: number }>(['stat', join(directory, a), '--compare', join(directory, b)]);
    const [exits, ...registers] = await compare('nv', 'nv2');
    expect(exits!.a).toBeGreaterThanOrEqual(4 * exits!.b);
    expect(registers.reduce((sum, row) => sum + row.difference, 0)).toBe(exits!.a - exits!.b);
    expect(registers).toContainEqual({ what: 'MRS ESR_EL12', register: 'ESR_EL12', access: 'read', a: 1, b: 0, difference: 1 });
    const [pv] = await compare('pv', 'nv');
    expect(Math.abs(pv!.a - pv!.b)).toBeLessThanOrEqual(0.1 * pv!.b);
  }, 300_000);
});

describe('scenarios and where', () => {
  test('scenarios lists every question, and the last answer once there is one', () => {
    const cwd = scratch();
    expect(spawned(['scenarios'], { cwd }).out).toMatch(/forward-exception +2 +Does an exception that L1 forwards reach L2's vector, on every vCPU\? +not run here yet/);
    spawned(['run', 'hypercall', '--nested', 'none'], { cwd });
    expect(spawned(['scenarios'], { cwd }).out).toMatch(/hypercall +1 +What does an L2 hypercall cost\? +passed with nested none, l1 vhe, vcpus 1/);
  });

  test.each([
    ['HCR_EL2.TVM', /field TVM, bit 26: .*control\.ts:\d+/], ['ADD', /ADD \(immediate\), instruction: .*arithmetic\.ts:\d+/], ['SYS64', /exit reason: .*fault\.ts:\d+/],
    ['kvm_nested_eret', /event: .*nested-eret\.ts:\d+/], ['wait-block', /step of L0: .*kvm\.ts:\d+/], ['lost-doorbell', /variant: .*lost-doorbell\.ts:\d+/], ['ICH_LR3_EL2', /register: .*gic\.ts:\d+/],
  ])('where %s', async (name, pattern) => {
    expect(await zeno(['where', name])).toMatchObject({ status: 0, out: expect.stringMatching(pattern) as string });
  });

  test('a register that a template makes is found at the template, in any case; a name that is none has status 2', async () => {
    expect(spawned(['where', 'sctlr_el12']).out).toMatch(/SCTLR_EL12, register: .*control\.ts:\d+\n.*another way to SCTLR_EL1/);
    expect((await zeno(['where', 'NO_SUCH_EL1'])).status).toBe(2);
  });
});

describe('explore', () => {
  test('a search that is cut short says so, names its choice points and has the keys that programs rely on', async () => {
    const found = await zenoJson<{ choicePoints: object; schedules: number }>(['explore', 'two-vcpus-ipi', '--schedules', '40']);
    expect(Object.keys(found).slice(0, 6)).toEqual(['strategy', 'schedules', 'states', 'violations', 'complete', 'seconds']);
    expect(found).toMatchObject({ strategy: 'exhaustive', schedules: 40, violations: [], complete: false });
    expect(found.choicePoints).toMatchObject({ classes: ['exclusive', 'atomic', 'barrier'], everyExit: true, everyL0Step: true });
  });

  test('a violation is a branch of the recording that was explored, and replays', async () => {
    const recording = join(scratch(), 'r');
    await zeno(['run', 'forward-exception', '--append', 'fault=stale-elr', '--until', 'nested:5', '--record', recording]);
    const { status, out } = spawned(['explore', recording, '--at', 'end', '--strategy', 'random', '--schedules', '2', '--shorten', '0', '--json']);
    expect(status).toBe(1);
    const { violations } = JSON.parse(out) as { violations: { property: string; recording: string; branch: string; choices: object[] }[] };
    expect(violations).toMatchObject([{ property: "an exception that L1 forwards arrives at L2's vector", recording, branch: 'violation-1' }]);
    expect(violations[0]!.choices.length).toBeGreaterThan(0);
    expect((await zeno(['replay', recording])).status).toBe(0);
    expect((await zeno(['show', recording, '--at', 'violation-1@mark:violation'])).status).toBe(0);
  });
});
