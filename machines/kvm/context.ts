/**
 * The register context of a vCPU and the world switch: which virtual register is where, and moving them between the
 * hardware and L0's storage. In virtual EL2 the hardware's EL1 registers hold virtual EL2's; in L1's or L2's EL1 they
 * hold virtual EL1's, whose home is the VNCR page. Linux: hyp/vhe/sysreg-sr.c, sys_regs.c (locate_direct_register).
 */

import { bit, bits, insert } from '../bits.ts';
import type { Board } from '../aarch64/board.ts';
import { setRegister, type Core } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import type { KvmState } from './state.ts';
import { readPage, vncrOffset, writeVncr } from './vncr.ts';

/** One hardware EL1 register: the virtual EL2 register that it stands for in virtual EL2, and how nVHE formats convert. */
interface ContextRow {
  readonly el1: string;
  readonly el2?: string;
  /** Only a VHE guest hypervisor has this twin; for an nVHE one the hardware register holds `nvheValue` in virtual EL2. */
  readonly vheOnly?: true;
  /** The EL1-format value that gives a nVHE virtual EL2 the behaviour of its EL2-format value. */
  readonly convert?: (value: bigint) => bigint;
}

/** SCTLR_EL1 RES1 and what an EL2 regime has fixed: no PAN change on exceptions (SPAN), no traps of EL0. */
const SCTLR_EL1_FIXED = 0x30d0_0980n | (1n << 23n) | (1n << 22n);
const SCTLR_SHARED = (1n << 0n) | (1n << 1n) | (1n << 2n) | (1n << 3n) | (1n << 12n) | (1n << 19n) | (1n << 25n) | (1n << 44n)
  | (1n << 31n) | (1n << 30n) | (1n << 27n) | (1n << 13n) | (1n << 36n) | (1n << 6n);

/** SCTLR_EL2 (E2H=0) to SCTLR_EL1: M, A, C, SA, nAA, I, WXN, EE, DSSBS, the four enables of pointer authentication and BT (BT1) mean the same. */
const sctlrToEl1 = (value: bigint): bigint => SCTLR_EL1_FIXED | (value & SCTLR_SHARED);

/** TCR_EL2 (E2H=0) to TCR_EL1: one range only (EPD1), PS, TBI, TBID, HPD, HA and HD move. */
function tcrToEl1(value: bigint): bigint {
  let result = (1n << 23n) | (value & 0xff3fn);
  result = insert(result, 34, 32, bits(value, 18, 16));
  // HA and HD, and HPD.
  result |= ((value >> 21n) & 3n) << 39n;
  if (bit(value, 24)) result |= 1n << 41n;
  // A pointer's code has one layout in EL2, whatever its top bits: T1SZ, TBI1 and TBID1 say what those of the one range say.
  result |= (value & 0x3fn) << 16n;
  if (bit(value, 20)) result |= 3n << 37n;
  return bit(value, 29) ? result | (3n << 51n) : result;
}

/** CPTR_EL2 (E2H=0, 1 = trap) to CPACR_EL1 (E2H=1 layout, 0b11 = no trap). */
const cptrToCpacr = (value: bigint): bigint => (bit(value, 10) ? 0n : 3n << 20n) | (bit(value, 20) ? 1n << 28n : 0n);

/** TTBR0_EL2 has no ASID with E2H=0. */
const ttbrToEl1 = (value: bigint): bigint => value & 0x0000_ffff_ffff_fffen;

export const CONTEXT: readonly ContextRow[] = [
  { el1: 'SCTLR_EL1', el2: 'SCTLR_EL2', convert: sctlrToEl1 },
  { el1: 'CPACR_EL1', el2: 'CPTR_EL2', convert: cptrToCpacr },
  { el1: 'TTBR0_EL1', el2: 'TTBR0_EL2', convert: ttbrToEl1 },
  { el1: 'TTBR1_EL1', el2: 'TTBR1_EL2', vheOnly: true },
  { el1: 'TCR_EL1', el2: 'TCR_EL2', convert: tcrToEl1 },
  { el1: 'ESR_EL1', el2: 'ESR_EL2' },
  { el1: 'AFSR0_EL1', el2: 'AFSR0_EL2' },
  { el1: 'AFSR1_EL1', el2: 'AFSR1_EL2' },
  { el1: 'FAR_EL1', el2: 'FAR_EL2' },
  { el1: 'MAIR_EL1', el2: 'MAIR_EL2' },
  { el1: 'AMAIR_EL1', el2: 'AMAIR_EL2' },
  { el1: 'VBAR_EL1', el2: 'VBAR_EL2' },
  { el1: 'CONTEXTIDR_EL1', el2: 'CONTEXTIDR_EL2', vheOnly: true },
  { el1: 'CNTKCTL_EL1', el2: 'CNTHCTL_EL2', vheOnly: true },
  { el1: 'ELR_EL1', el2: 'ELR_EL2' },
  { el1: 'SPSR_EL1', el2: 'SPSR_EL2' },
  { el1: 'SP_EL1', el2: 'SP_EL2' },
  { el1: 'MDSCR_EL1' },
  { el1: 'ACTLR_EL1' },
];
const rowByEl2 = new Map(CONTEXT.flatMap((row) => (row.el2 === undefined ? [] : [[row.el2, row]] as const)));
const rowByEl1 = new Map(CONTEXT.map((row) => [row.el1, row] as const));

/** Registers that all contexts share, so that the hardware always holds them. The keys of pointer authentication are EL1's and EL2's alike. */
const SHARED = new Set(['TPIDR_EL0', 'TPIDRRO_EL0', 'TPIDR_EL1', 'PAR_EL1', 'CSSELR_EL1', 'SP_EL0', 'CNTFRQ_EL0', ...['IA', 'IB', 'DA', 'DB', 'GA'].flatMap((key) => [`AP${key}KeyLo_EL1`, `AP${key}KeyHi_EL1`])]);

/**
 * SPSR_EL1.M while virtual EL2 runs on hardware that would report EL1 (no FEAT_NV, or NV1 without NV2): an illegal value,
 * so that L0 can tell its own value from one that the hardware wrote at an exception within virtual EL2. The mode that it
 * hides is in `registers`. Zyngier's 2019 series; bug B30 is what happens without it.
 */
const SPSR_MARKER = 1n;
const spsrIsMarked = (value: bigint): boolean => (value & 0x1fn) === SPSR_MARKER;
const needsMarker = (state: KvmState): boolean => state.mechanism === 'pv' || (state.mechanism === 'nv' && state.flavour === 'nvhe');

/**
 * The rows that the world switch moves. What nothing traps from virtual EL2 is L2's own in the hardware all along: CNTKCTL_EL1 for an
 * nVHE hypervisor, and MDSCR_EL1 but under FEAT_NV2, where L1 reaches it in its page.
 */
const rowsOf = (state: KvmState): readonly ContextRow[] => CONTEXT.filter((row) => !isUntrapped(state, row.el1));
const isUntrapped = (state: KvmState, name: string): boolean =>
  (name === 'CNTKCTL_EL1' && state.flavour === 'nvhe') || (name === 'MDSCR_EL1' && state.mechanism !== 'nv2');
const isShared = (state: KvmState, name: string): boolean => SHARED.has(name) || isUntrapped(state, name);

const hardware = (core: Core, name: string): bigint => core.words[slot(name)]!;

/** PSTATE.M of a guest as the guest should see it: in virtual EL2 the hardware's EL1 is EL2. */
export const toVirtualMode = (pstate: bigint): bigint => ((pstate & 0xcn) === 4n ? (pstate & ~0xcn) | 8n : pstate);
export const toHardwareMode = (pstate: bigint): bigint => ((pstate & 0xcn) === 8n ? (pstate & ~0xcn) | 4n : pstate);

/** The virtual register `name` of this vCPU, wherever it is now. EL1 names mean virtual EL1. */
export function readVirtual(state: KvmState, board: Board, name: string): bigint {
  const core = board.cores[state.index]!;
  if (isShared(state, name)) return hardware(core, name);
  if (state.loaded && state.hyp) {
    const row = rowByEl2.get(name);
    if (row !== undefined && isLive(state, row)) return readLive(state, core, row);
  } else if (state.loaded && rowByEl1.has(name)) return hardware(core, name);
  return readStored(state, board, name);
}

/** Sets the virtual register `name`, in the hardware too where it is live. */
export function writeVirtual(state: KvmState, board: Board, name: string, value: bigint): void {
  const core = board.cores[state.index]!;
  if (isShared(state, name)) return setRegister(core, slot(name), value);
  if (state.loaded && state.hyp) {
    const row = rowByEl2.get(name);
    if (row !== undefined) {
      writeStored(state, board, name, value);
      // An nVHE hypervisor's CNTHCTL_EL2 has no EL1 register: CNTKCTL_EL1 is its guest's.
      return isUntrapped(state, row.el1) ? undefined : loadRow(state, board, core, row);
    }
  } else if (state.loaded && rowByEl1.has(name)) return setRegister(core, slot(name), value);
  writeStored(state, board, name, value);
}

/** Moves the context from the hardware to L0's storage. */
export function putContext(state: KvmState, board: Board): void {
  const core = board.cores[state.index]!;
  for (const row of rowsOf(state)) {
    if (!state.hyp) writeStored(state, board, row.el1, hardware(core, row.el1));
    else if (row.el2 !== undefined && isLive(state, row)) state.registers[row.el2] = readLive(state, core, row);
  }
  writeStored(state, board, deferredName(state, board), hardware(core, 'VDISR_EL2'));
  state.loaded = false;
}

/** Moves the context that `state.hyp` names into the hardware. */
export function loadContext(state: KvmState, board: Board): void {
  const core = board.cores[state.index]!;
  for (const row of rowsOf(state)) {
    if (!state.hyp) setRegister(core, slot(row.el1), readStored(state, board, row.el1));
    else loadRow(state, board, core, row);
  }
  setRegister(core, slot('VDISR_EL2'), readStored(state, board, deferredName(state, board)));
  state.loaded = true;
}

/**
 * What code below L0 reads as DISR_EL1, which the hardware has in VDISR_EL2 since L0 routes SErrors: the vCPU's DISR_EL1, and for what L1 runs with SErrors of its own
 * routed L1's VDISR_EL2. Linux: hyp/sysreg-sr.h.
 */
const deferredName = (state: KvmState, board: Board): string =>
  (!state.hyp && state.mechanism !== 'none' && (readPage(state, board, 'HCR_EL2') & AMO) !== 0n ? 'VDISR_EL2' : 'DISR_EL1');
const AMO = 1n << 5n;

/** Whether the hardware's EL1 register holds, in virtual EL2, a value that the guest may have changed itself. */
function isLive(state: KvmState, row: ContextRow): boolean {
  return state.flavour === 'vhe' || (row.convert === undefined && row.vheOnly === undefined);
}

function readLive(state: KvmState, core: Core, row: ContextRow): bigint {
  const value = hardware(core, row.el1);
  if (row.el1 !== 'SPSR_EL1' || !needsMarker(state)) return value;
  return spsrIsMarked(value) ? state.registers.SPSR_EL2! : toVirtualMode(value);
}

function loadRow(state: KvmState, board: Board, core: Core, row: ContextRow): void {
  const { el1, el2 } = row;
  let value = 0n;
  if (el2 === undefined) value = 0n;
  else if (row.vheOnly && state.flavour === 'nvhe') value = 0n;
  else {
    value = readStored(state, board, el2);
    if (state.flavour === 'nvhe' && row.convert) value = row.convert(value);
    if (el1 === 'SPSR_EL1' && needsMarker(state)) value = (value & ~0x1fn) | SPSR_MARKER;
  }
  setRegister(core, slot(el1), value);
}

function readStored(state: KvmState, board: Board, name: string): bigint {
  if (vncrOffset(name) !== undefined) return readPage(state, board, name);
  const value = state.registers[name];
  if (value === undefined) throw new RangeError(`L0 keeps no virtual register ${name}`);
  return value;
}

function writeStored(state: KvmState, board: Board, name: string, value: bigint): void {
  if (vncrOffset(name) !== undefined) writeVncr(board, state.index, name, value);
  else if (name in state.registers) state.registers[name] = value;
  else throw new RangeError(`L0 keeps no virtual register ${name}`);
}
