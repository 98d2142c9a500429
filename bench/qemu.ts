/** QEMU as the benchmarks' peer: the same image on its virt board, plain and counting instructions. */

import { spawnSync } from 'node:child_process';

const QEMU = 'qemu-system-aarch64';

/** `icount`: one instruction, one nanosecond, as our clock has it; without sleeping, so that it never waits for the wall's. */
export const PEERS = {
  'qemu -icount': ['-icount', 'shift=0,sleep=off'],
  qemu: [],
} as const;
export type PeerName = keyof typeof PEERS;

/** Why there is no peer, or undefined. */
export function whyNoQemu(): string | undefined {
  const { error, status } = spawnSync(QEMU, ['--version']);
  return error || status !== 0 ? `${QEMU} is not installed (Debian: qemu-system-arm)` : undefined;
}

export interface PeerRun { readonly ms: number; readonly console: string }

/** Milliseconds of the whole process, and what the console showed. Throws when it fails or does not end within `timeoutMs`. */
export function runQemu(peer: PeerName, image: string, memoryBytes: number, timeoutMs: number): PeerRun {
  const words = ['-M', 'virt', '-cpu', 'max', '-accel', 'tcg', '-m', `${memoryBytes >> 20}M`, ...PEERS[peer], '-nic', 'none', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-kernel', image];
  const began = performance.now();
  const { error, status, stdout, stderr } = spawnSync(QEMU, words, { encoding: 'utf8', timeout: timeoutMs, input: '' });
  const ms = performance.now() - began;
  if (error) throw new Error(`${QEMU}: ${error.message}`);
  if (status !== 0) throw new Error(`${QEMU} ${words.join(' ')}: exit status ${status}\n${stderr}`);
  return { ms, console: stdout };
}
