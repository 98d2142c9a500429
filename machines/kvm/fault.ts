/** Stage-2 aborts: emulated devices, and what the mmu finds when it looks into a fault. Linux: mmu.c (kvm_handle_guest_abort), mmio.c. */

import type { Board } from '../aarch64/board.ts';
import type { Core } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import { hex } from '../bits.ts';
import type { FaultResult, Out } from '../messages.ts';
import { stage2Enabled } from './controls.ts';
import { Ec, ecOf, esrOf, getX, injectSync, skipInstruction } from './exit.ts';
import { guestPc, guestPstate, takeToEl1 } from './inject.ts';
import { kvmAddress, type KvmState, type Step } from './state.ts';
import { readPage } from './vncr.ts';

/** The level of the code that an exit was taken from: L1 in virtual EL2 and wherever L1 runs without a stage 2 of its own. */
export const levelOf = (state: KvmState, board: Board): 'L1' | 'L2' => (!state.hyp && stage2Enabled(state, board) ? 'L2' : 'L1');

/** The fields of the `kvm_exit` event. */
export function exitFields(state: KvmState, board: Board, vector: string): Record<string, unknown> {
  const core = board.cores[state.index]!;
  const base = { vcpu: state.index, level: levelOf(state, board), pc: guestPc(core), pstate: guestPstate(state, core) };
  if (vector !== 'sync') return { ...base, reason: vector.toUpperCase() };
  const ec = ecOf(core);
  const fields = { ...base, reason: REASONS[ec] ?? hex(ec, 2), esr_ec: ec, esr: esrOf(core) };
  return ec === Ec.DABT_LOWER || ec === Ec.IABT_LOWER ? { ...fields, far: core.words[slot('FAR_EL2')]!, ipa: faultIpa(core) } : fields;
}

/** Exit reasons as `perf kvm stat` prints them for arm64. */
export const REASONS: Readonly<Record<number, string>> = {
  0x00: 'UNKNOWN', 0x01: 'WFx', 0x07: 'FP_ASIMD', 0x0e: 'ILL', 0x16: 'HVC64', 0x17: 'SMC64', 0x18: 'SYS64', 0x19: 'SVE', 0x1a: 'ERET',
  0x20: 'IABT_LOW', 0x21: 'IABT_CUR', 0x24: 'DABT_LOW', 0x25: 'DABT_CUR', 0x2f: 'SERROR', 0x30: 'BREAKPT_LOW', 0x32: 'SOFTSTP_LOW', 0x34: 'WATCHPT_LOW', 0x3c: 'BRK64',
};

/** The faulting intermediate physical address: HPFAR_EL2.FIPA and the page offset of FAR_EL2. */
export function faultIpa(core: Core): number {
  const page = (core.words[slot('HPFAR_EL2')]! & 0xf_ffff_fff0n) << 8n;
  return Number(page | (core.words[slot('FAR_EL2')]! & 0xfffn));
}

export function handleAbort(state: KvmState, board: Board, out: Out): Step[] {
  const core = board.cores[state.index]!;
  const esr = esrOf(core);
  const fetch = ecOf(core) === Ec.IABT_LOWER;
  const ipa = faultIpa(core);
  const below = state.mechanism !== 'none' && !state.hyp;
  out.event('kvm_guest_fault', { vcpu: state.index, pc: guestPc(core), esr, far: core.words[slot('FAR_EL2')]!, ipa });
  out.send('mmu', {
    type: 'fault', vcpu: state.index, ipa, access: accessOf(esr, fetch), user: (core.words[slot('SPSR_EL2')]! & 0xcn) === 0n, fsc: Number(esr & 0x3fn),
    nested: below && stage2Enabled(state, board), vttbr: below ? readPage(state, board, 'VTTBR_EL2') : 0n, vtcr: below ? readPage(state, board, 'VTCR_EL2') : 0n,
  });
  return [{ step: 'finish-fault' }];
}

const S1PTW = 1n << 7n;
/** xFSC without its level, of a Permission fault. */
const isPermission = (esr: bigint): boolean => (esr & 0x3cn) === 0x0cn;

/** What the access would do at the address at fault. A Permission fault on a table walk is on an update of flags. Linux: kvm_is_write_fault. */
const accessOf = (esr: bigint, fetch: boolean): 'read' | 'write' | 'fetch' | 'update' => {
  if ((esr & S1PTW) !== 0n) return isPermission(esr) ? 'update' : 'read';
  return fetch ? 'fetch' : (esr & WNR) !== 0n ? 'write' : 'read';
};

/** The mmu's answer: `finish-fault` is at the head of the work, and what follows from the answer goes before the rest. */
export function finishFault(state: KvmState, board: Board, result: FaultResult, out: Out): void {
  const core = board.cores[state.index]!;
  const steps: Step[] = [];
  switch (result.outcome) {
    case 'mapped': break;
    case 'inject': {
      const esr = (esrOf(core) & ~0x3fn) | BigInt(result.fsc);
      steps.push(...injectSync(state, board, out, esr, core.words[slot('FAR_EL2')]!, BigInt(Math.floor(result.ipa / 4096)) << 4n));
      break;
    }
    case 'device': steps.push(...emulateDevice(state, board, result.ipa, out)); break;
  }
  state.work.unshift(...steps);
}

/** ISS of a Data Abort. */
const CM = 1n << 8n;
const WNR = 1n << 6n;

/** An access to a device that L0 emulates, decoded from the syndrome (ESR_EL2.ISS with ISV). Arm ARM: ISS encoding for a Data Abort. */
function emulateDevice(state: KvmState, board: Board, ipa: number, out: Out): Step[] {
  const core = board.cores[state.index]!;
  const esr = esrOf(core);
  const device = board.deviceAt(ipa, state.index);
  // Cache maintenance reaches memory or nothing. Linux: kvm_vcpu_dabt_is_cm.
  if (ecOf(core) === Ec.DABT_LOWER && (esr & CM) !== 0n) {
    skipInstruction(core);
    return [];
  }
  if (ecOf(core) === Ec.IABT_LOWER || device === undefined || (esr & (1n << 24n)) === 0n) {
    // Nothing is there, or the syndrome does not say what the instruction wanted: an external abort, as KVM does without user space.
    const far = core.words[slot('FAR_EL2')]!;
    const same = (guestPstate(state, core) & 0xcn) !== 0n;
    const fetch = ecOf(core) === Ec.IABT_LOWER;
    const ec = (fetch ? 0x20 : 0x24) + (same ? 1 : 0);
    takeToEl1(state, board, (BigInt(ec) << 26n) | (1n << 25n) | (fetch ? 0n : esr & WNR) | 0x10n, far);
    return [];
  }
  const bytes = 1 << Number((esr >> 22n) & 3n);
  const register = Number((esr >> 16n) & 31n);
  const write = (esr & 0x40n) !== 0n;
  const value = write ? BigInt.asUintN(bytes * 8, getX(core, register)) : 0n;
  out.event('kvm_mmio', { vcpu: state.index, type: write ? 'write' : 'read', gpa: ipa, len: bytes, ...(write ? { val: value } : {}) });
  skipInstruction(core);
  const to = device.to as 'uart';
  if (write) {
    out.send(to, { type: 'write', from: kvmAddress(state.index), offset: device.offset, bytes, value });
    return [];
  }
  out.send(to, { type: 'read', from: kvmAddress(state.index), offset: device.offset, bytes });
  return [{ step: 'finish-read', register, bytes, signExtend: (esr & (1n << 21n)) !== 0n, wide: (esr & (1n << 15n)) !== 0n }];
}
