/** Runs every payload under every flavour, on one CPU and two, on QEMU: an oracle nobody here wrote. One line a case; `--count` adds instructions, `--cpu=NAME` another CPU. */

import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { payloadNames } from './build.ts';

const QEMU = 'qemu-system-aarch64';
const BUILT = join(import.meta.dirname, 'built');
const LIMIT_MS = 20_000;

interface Case {
  readonly payload: string;
  readonly l1: 'vhe' | 'nvhe';
  readonly cpus: number;
  readonly extra: string;
  /** What the last line must match. */
  readonly expected: RegExp;
}

interface Outcome {
  readonly console: string;
  readonly instructions: number | undefined;
}

function cases(only: string | undefined): Case[] {
  const flavours = ['vhe', 'nvhe'] as const;
  const passing = payloadNames().flatMap((payload) => flavours.flatMap((l1) => [1, 2].map((cpus): Case => ({ payload, l1, cpus, extra: '', expected: new RegExp(`^RESULT ${payload} PASS$`) }))));
  const faulty = flavours.map((l1): Case => ({ payload: 'forward-exception', l1, cpus: 2, extra: ' fault=stale-elr', expected: /^RESULT forward-exception FAIL vcpu1: exception lost/ }));
  return [...passing, ...faulty].filter((c) => only === undefined || c.payload === only);
}

async function lines(path: string): Promise<number> {
  let count = 0;
  for await (const chunk of createReadStream(path)) for (const byte of chunk as Buffer) if (byte === 10) count++;
  return count;
}

async function run(c: Case, cpu: string, count: boolean): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-qemu-'));
  const log = join(folder, 'instructions');
  try {
    const { stdout, stderr } = spawnSync(QEMU, [
      '-M', 'virt,virtualization=on,gic-version=3', '-cpu', cpu, '-smp', `${c.cpus}`, '-m', '512M', '-display', 'none', '-nic', 'none', '-monitor', 'none', '-serial', 'stdio',
      '-kernel', join(BUILT, 'tiny-hypervisor.elf'), '-append', `l1=${c.l1} payload=${c.payload}${c.extra}`,
      '-device', `loader,file=${join(BUILT, `${c.payload}.bin`)},addr=0x44000000,force-raw=on`,
      // One translation block an instruction, each logged, one vCPU at a time: the log's lines are the instructions (a vCPU that spins on a lock does so for QEMU's whole turn: those counts are high).
      ...(count ? ['-accel', 'tcg,thread=single,one-insn-per-tb=on', '-d', 'exec,nochain', '-D', log] : []),
    ], { encoding: 'utf8', timeout: LIMIT_MS, stdio: ['ignore', 'pipe', 'pipe'] });
    return { console: stdout || stderr, instructions: count ? await lines(log) : undefined };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const { values } = parseArgs({ options: { count: { type: 'boolean', default: false }, cpu: { type: 'string', default: 'max' }, payload: { type: 'string' } } });
try {
  execFileSync(QEMU, ['--version'], { stdio: 'ignore' });
} catch {
  console.error(`${QEMU}: not found; nothing was checked`);
  process.exit(2);
}
let failures = 0;
for (const c of cases(values.payload)) {
  const { console: text, instructions } = await run(c, values.cpu, values.count);
  const last = text.trimEnd().split('\n').at(-1)?.trim() ?? '';
  const ok = c.expected.test(last);
  if (!ok) failures++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${c.payload.padEnd(18)} l1=${c.l1.padEnd(4)} cpus=${c.cpus}${c.extra}${instructions === undefined ? '' : ` instructions=${instructions}`}${ok ? '' : `\n     ${text.trimEnd().replaceAll('\n', '\n     ')}`}`);
}
console.log(failures === 0 ? 'all as expected' : `${failures} not as expected`);
process.exitCode = failures === 0 ? 0 : 1;
