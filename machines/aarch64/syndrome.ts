/** Syndromes: exception classes, fault status codes and the ISS layouts of ESR_ELx. Arm ARM D24.2.40 (ESR_EL1). */

/** ESR_ELx.EC, bits 31 to 26. Those marked "lower" get 1 added when the exception is taken to the current level. */
export const Ec = {
  UNKNOWN: 0x00,
  WFX: 0x01,
  FP_ACCESS: 0x07,
  PAC_TRAP: 0x09,
  BRANCH_TARGET: 0x0d,
  ILLEGAL_STATE: 0x0e,
  SVC: 0x15,
  HVC: 0x16,
  SMC: 0x17,
  SYSTEM: 0x18,
  ERET: 0x1a,
  /** Lower. */
  INSTRUCTION_ABORT: 0x20,
  PC_ALIGNMENT: 0x22,
  /** Lower. */
  DATA_ABORT: 0x24,
  /** Data Abort at the current level: also what a VNCR_EL2 access at EL1 reports to EL2. */
  DATA_ABORT_SAME: 0x25,
  SP_ALIGNMENT: 0x26,
  SERROR: 0x2f,
  /** Lower. */
  BREAKPOINT: 0x30,
  BRK: 0x3c,
} as const;

/** Classes with a "lower" and, one above, a "current level" code. */
export const hasSameLevelClass = (ec: number): boolean => ec === 0x20 || ec === 0x24 || ec === 0x30 || ec === 0x32 || ec === 0x34;

/** Fault status codes (xFSC). Those with a level take it in bits 1 to 0. */
export const Fsc = {
  ADDRESS_SIZE: 0x00,
  TRANSLATION: 0x04,
  ACCESS_FLAG: 0x08,
  PERMISSION: 0x0c,
  EXTERNAL: 0x10,
  EXTERNAL_ON_WALK: 0x14,
  ALIGNMENT: 0x21,
  TLB_CONFLICT: 0x30,
  UNSUPPORTED: 0x35,
} as const;

/** ISS bits of aborts. */
export const Iss = { ISV: 1 << 24, VNCR: 1 << 13, FNV: 1 << 10, EA: 1 << 9, CM: 1 << 8, S1PTW: 1 << 7, WNR: 1 << 6 } as const;

/** What a single-register load or store reports in ISS[24:14] of a stage-2 abort. */
export interface LoadStoreSyndrome {
  /** The register transferred, 0 to 31. */
  readonly srt: number;
  /** The register is 64 bits wide. */
  readonly sf: boolean;
  /** The load sign-extends. */
  readonly sse: boolean;
}

/** ISS[24:14] with ISV = 1: SAS, SSE, SRT, SF, AR. `acquire`: the instruction has acquire or release semantics. */
export function loadStoreIss(bytes: number, syndrome: LoadStoreSyndrome, acquire: boolean): number {
  return Iss.ISV | (Math.log2(bytes) << 22) | (syndrome.sse ? 1 << 21 : 0) | (syndrome.srt << 16) | (syndrome.sf ? 1 << 15 : 0) | (acquire ? 1 << 14 : 0);
}

/** ISS of a trapped WFI (`false`) or WFE (`true`): CV = 1, COND = 0b1110, TI. With a register, of WFIT or WFET: TI bit 1, RN and RV. */
export const wfxIss = (event: boolean, register?: number): number => 0x1e0_0000 | (event ? 1 : 0) | (register === undefined ? 0 : (register << 5) | 0b110);

/** ESR_ELx: EC, IL = 1 (every A64 instruction is 32 bits wide, and the classes without an instruction report 1), ISS. */
export const esr = (ec: number, iss: number): bigint => BigInt(((ec << 26) | (1 << 25) | iss) >>> 0);

/** The `ESR_ELx` value in words, for events and failed tests. */
export function describeSyndrome(value: bigint): string {
  const ec = Number((value >> 26n) & 0x3fn);
  const iss = Number(value & 0x1ff_ffffn);
  const name = Object.entries(Ec).find(([, code]) => code === ec)?.[0] ?? (hasSameLevelClass(ec - 1) ? `${Object.entries(Ec).find(([, code]) => code === ec - 1)?.[0] ?? 'EC'}_SAME` : `EC_${ec.toString(16)}`);
  return `${name} iss=0x${iss.toString(16)}`;
}
