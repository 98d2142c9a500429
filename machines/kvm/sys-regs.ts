/** Trapped system registers and instructions (EC 0x18): forwarded to L1, or emulated on virtual registers. Linux: sys_regs.c, at.c. */

import type { Board } from '../aarch64/board.ts';
import { operationByEncoding } from '../aarch64/registers/operations.ts';
import { type Core, Power, setRegister, Word } from '../aarch64/state.ts';
import { encodingName, registerByName, resetValue, sanitise, slot, type SystemRegister } from '../aarch64/sysregs.ts';
import { CPU_INTERFACE, sgiTargets } from '../aarch64/cpu-interface.ts';
import { hasFeature } from '../aarch64/registers/features.ts';
import { bits, hex, insert } from '../bits.ts';
import type { Out } from '../messages.ts';
import { readVirtual, writeVirtual } from './context.ts';
import { asSeenByL1, reservedByL1, translateAsL1, trappedByL1 } from './emulate-nested.ts';
import { esrOf, getX, injectSync, setX, skipInstruction } from './exit.ts';
import { levelOf } from './fault.ts';
import { guestPc, guestPstate, takeToEl1, UNKNOWN_ESR } from './inject.ts';
import { kvmAddress, type KvmState, type Step } from './state.ts';
import { virtualHardware } from './virtual-hardware.ts';
import { readPage, vncrOffset } from './vncr.ts';

/** A trapped MRS, MSR or SYS, decoded from ESR_EL2.ISS (Op0, Op2, Op1, CRn, Rt, CRm, Direction). */
export function handleSystemTrap(state: KvmState, board: Board, out: Out): Step[] {
  const core = board.cores[state.index]!;
  const esr = esrOf(core);
  const field = (high: number, low: number): number => Number(bits(esr, high, low));
  const encoding = (field(21, 20) << 14) | (field(16, 14) << 11) | (field(13, 10) << 7) | (field(4, 1) << 3) | field(19, 17);
  const rt = field(9, 5);
  const write = (esr & 1n) === 0n;
  const operation = field(21, 20) === 1 ? operationByEncoding(encoding) : undefined;
  const name = operation?.name ?? encodingName(encoding);
  out.event('kvm_sys_access', { vcpu: state.index, pc: guestPc(core), name, is_write: write });
  if (!state.hyp && state.mechanism !== 'none' && (trappedByL1(state, board, name, write ? 'write' : 'read') || reservedByL1(state, board, encoding))) {
    out.event('kvm_forward_sysreg_trap', { vcpu: state.index, sysreg: name, is_read: !write });
    return injectSync(state, board, out, esr);
  }
  skipInstruction(core);
  return operation ? emulateOperation(state, board, out, encoding, getX(core, rt)) : emulateRegister(state, board, out, name, write, rt);
}

/** Does what MRS or MSR of `name` would have done. PC is already behind the instruction. */
export function emulateRegister(state: KvmState, board: Board, out: Out, name: string, write: boolean, rt: number): Step[] {
  const core = board.cores[state.index]!;
  const target = state.hyp ? inVirtualEl2(state, name) : name;
  const row = registerByName(target);
  const hardware = virtualHardware(state, board);
  if (target === 'CurrentEL') return answer(core, rt, 8n);
  // A _EL12 or _EL02 name needs FEAT_VHE itself, whatever it stands for.
  const lacks = (needs: SystemRegister['needs']): boolean => needs !== undefined && !hasFeature(hardware, needs);
  if (row === undefined || lacks(row.needs) || lacks(registerByName(name)?.needs)) return undefinedAccess(state, board, out, name);
  if (target.startsWith('CNT') && target.includes('_') && isTimer(target)) return timerAccess(state, target, write, rt, core, out);
  if (/^ICC_(SGI[01]|ASGI1)R_EL1$/.test(target)) return write ? sendSgi(state, target, getX(core, rt), out, board) : undefinedAccess(state, board, out, name);
  if (row.access === (write ? 'R' : 'W')) return undefinedAccess(state, board, out, name);
  if (!write) {
    const value = readEmulated(state, board, row);
    return value === undefined ? halt(state, board, out, `MRS ${name}`) : answer(core, rt, value);
  }
  return writeEmulated(state, board, row, getX(core, rt)) ? [] : halt(state, board, out, `MSR ${name}`);
}

/** Does what TLBI, AT, DC or IC `encoding` would have done at virtual EL2, or at the guest's EL1. */
export function emulateOperation(state: KvmState, board: Board, out: Out, encoding: number, value: bigint): Step[] {
  const operation = operationByEncoding(encoding);
  if (operation === undefined) return undefinedAccess(state, board, out, `SYS ${hex(encoding, 4)}`);
  switch (operation.kind) {
    case 'TLBI': {
      const vmid = state.mechanism === 'none' ? 0 : Number(readPage(state, board, 'VTTBR_EL2') >> 48n);
      out.send('mmu', { type: 'tlbi', vcpu: state.index, operation: operation.operation, value, vmid });
      return [];
    }
    // Caches and prediction are not modelled: by set and way, and by context, there is nothing to do.
    case 'DC': case 'IC': case 'CFP': case 'DVP': case 'CPP': return [];
    case 'AT': {
      setRegister(board.cores[state.index]!, slot('PAR_EL1'), translateAsL1(state, board, operation.operation, value));
      return [];
    }
  }
}

/** The virtual register that code in virtual EL2 reaches by `name`: the _EL12 and _EL02 names, and for a VHE hypervisor the redirection of EL1 names. */
function inVirtualEl2(state: KvmState, name: string): string {
  const row = registerByName(name);
  if (row?.alias !== undefined) return row.alias;
  if (state.flavour === 'vhe' && row?.e2h !== undefined) return row.e2h;
  return name;
}

const isTimer = (name: string): boolean => /^CNT(P|V|HP|HV)_(CTL|CVAL|TVAL)_EL[02]$/.test(name);

function timerAccess(state: KvmState, name: string, write: boolean, rt: number, core: Core, out: Out): Step[] {
  const nested = state.mechanism !== 'none' && !state.hyp;
  if (write) {
    out.send(`timer:${state.index}`, { type: 'register-write', name, value: getX(core, rt), nested });
    return [];
  }
  out.send(`timer:${state.index}`, { type: 'register-read', name, from: kvmAddress(state.index), nested });
  return [{ step: 'finish-register', register: rt }];
}

function sendSgi(state: KvmState, name: string, value: bigint, out: Out, board: Board): Step[] {
  const targets = sgiTargets(value, state.index, board.cores.length);
  out.event('kvm_vgic_sgi', { vcpu: state.index, intid: Number((value >> 24n) & 15n), targets });
  out.send('gicd', { type: 'sgi', intid: Number((value >> 24n) & 15n), group: name === 'ICC_SGI1R_EL1' ? 1 : 0, targets });
  return [];
}

/** ID registers as virtual EL2's hardware has them; computed GIC state; the rest from where it is kept. */
function readEmulated(state: KvmState, board: Board, row: SystemRegister): bigint | undefined {
  const { name } = row;
  if (isIdentification(row)) return resetValue(row, virtualHardware(state, board), state.index);
  switch (name) {
    // Computed from what L1 keeps in its list registers, by the hardware's own rules.
    case 'ICH_VTR_EL2': case 'ICH_MISR_EL2': case 'ICH_EISR_EL2': case 'ICH_ELRSR_EL2': return CPU_INTERFACE[name]!.read!(virtualInterface(state, board));
    // KVM: trap_raz_wi.
    case 'MDRAR_EL1': case 'OSDLR_EL1': case 'DBGPRCR_EL1': return 0n;
    default: return isKept(state, name) ? readVirtual(state, board, name) : undefined;
  }
}


const LIST_REGISTERS = Array.from({ length: 16 }, (_, number) => `ICH_LR${number}_EL2`);

/** A core whose virtual CPU interface is as L1 left it in its page. */
function virtualInterface(state: KvmState, board: Board): Core {
  const core = asSeenByL1(state, board);
  for (const name of [...LIST_REGISTERS, 'ICH_HCR_EL2', 'ICH_VMCR_EL2', 'ICH_AP0R0_EL2', 'ICH_AP1R0_EL2']) core.words[slot(name)] = readPage(state, board, name);
  return core;
}

/** `value` as the hardware's register `name` of the virtual CPU interface would hold it. */
function asInterfaceHolds(state: KvmState, board: Board, name: string, value: bigint): bigint {
  const write = CPU_INTERFACE[name]?.write;
  if (write === undefined) return value;
  const seen = virtualInterface(state, board);
  const core = { ...seen, board: { ...seen.board, outbox: [] } };
  write(core, value);
  return core.words[slot(name)]!;
}

function writeEmulated(state: KvmState, board: Board, row: SystemRegister, value: bigint): boolean {
  switch (row.name) {
    case 'OSLAR_EL1':
      // OSLSR_EL1.OSLK.
      state.registers.OSLSR_EL1 = insert(state.registers.OSLSR_EL1!, 1, 1, value & 1n);
      return true;
    case 'OSDLR_EL1': case 'DBGPRCR_EL1': return true;
    default: break;
  }
  if (!isKept(state, row.name)) return false;
  const kept = sanitise(row, virtualHardware(state, board), state.mechanism !== 'none' && state.flavour === 'vhe', value);
  writeVirtual(state, board, row.name, row.name.startsWith('ICH_') ? asInterfaceHolds(state, board, row.name, kept) : kept);
  return true;
}

/** HCR_EL2.TID3's group: op0 = 3, op1 = 0, CRn = 0, CRm = 1 to 7, and what ID-like registers L0 answers itself. */
const isIdentification = (row: SystemRegister): boolean => (row.encoding & 0x3f80) === 0 && (row.encoding >> 14) === 3 && ((row.encoding >> 3) & 15) >= 1 && ((row.encoding >> 3) & 15) <= 7;

/** Registers that L0 keeps for the guest, wherever they are. */
function isKept(state: KvmState, name: string): boolean {
  return vncrOffset(name) !== undefined || name in state.registers || name === 'PAR_EL1' || name === 'TPIDR_EL1' || name === 'CSSELR_EL1';
}

/** Reads the answer into Rt. */
function answer(core: Core, rt: number, value: bigint): Step[] {
  setX(core, rt, value);
  return [];
}

/** An access that the guest's hardware does not have: UNDEFINED, at the instruction itself. */
function undefinedAccess(state: KvmState, board: Board, out: Out, name: string): Step[] {
  const core = board.cores[state.index]!;
  setRegister(core, slot('ELR_EL2'), guestPc(core) - 4n);
  out.event('kvm_inject_undef', { vcpu: state.index, name, pc: guestPc(core) });
  takeToEl1(state, board, UNKNOWN_ESR);
  return [];
}

/** L0 has no row for what the guest asked at `pc`: the vCPU stops, by name. */
export function halt(state: KvmState, board: Board, out: Out, what: string, pc = guestPc(board.cores[state.index]!) - 4n): Step[] {
  const core = board.cores[state.index]!;
  out.event('hole', { vcpu: state.index, what, pc, el: Number((guestPstate(state, core) >> 2n) & 3n), level: levelOf(state, board) });
  setRegister(core, Word.POWER, BigInt(Power.HALTED));
  return [{ step: 'halt' }];
}

