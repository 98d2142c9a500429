/**
 * GICv2's CPU interface (GICC), virtual interface control (GICH) and virtual CPU interface (GICV): what a read of each register gives and a write does.
 * The state is that of GICv3's system registers, most of which are the same registers by other names. Arm IHI 0048B, 4.4, 5.3 and 5.5.
 */

import {
  CPU_INTERFACE, CTLR, endOfInterrupt, endOfVirtualInterrupt, ICH_VMCR, LIST_REGISTERS, low, PHYSICAL, setVmcr, signalledGroup, signalledVirtualGroup, VIRTUAL, type InterfaceRegister,
} from './cpu-interface.ts';
import { IchHcr, Lr, LR_PINTID_SHIFT, LR_PRIORITY_SHIFT } from './list-registers.ts';
import type { Core } from './state.ts';

const SPURIOUS = 1023n;
/** A Group 1 interrupt pends, and AckCtl does not let the register have it. */
const OTHER_GROUP = 1022n;
const INTID = 0x3ffn;
/** INTID, and the CPUID of an SGI. */
const INTID_AND_SOURCE = 0x1fffn;

/** Bits of GICC_CTLR; GICV_CTLR and GICH_VMCR have them in the same places. */
const Ctlr = { EnableGrp0: 1 << 0, EnableGrp1: 1 << 1, AckCtl: 1 << 2, FIQEn: 1 << 3, CBPR: 1 << 4, EOImode: 1 << 9 } as const;
const CTLR_WRITABLE = Object.values(Ctlr).reduce((mask, bit) => mask | bit, 0);

/** Product 'Z', architecture version 2, revision 0, implementer as KVM's. */
const IIDR: InterfaceRegister = { read: () => BigInt((0x5a << 20) | (2 << 16) | 0x43b) };

/** What both interfaces do alike. One Security state: reads are those of a Secure access (4.2.2). */
function acknowledging(registers: typeof PHYSICAL, signalled: (core: Core) => 0 | 1 | undefined, control: (core: Core) => number): Readonly<Record<'IAR' | 'HPPIR', InterfaceRegister>> {
  const mayHaveGroup1 = (core: Core): boolean => (control(core) & Ctlr.AckCtl) !== 0;
  return {
    IAR: {
      read: (core) => {
        const group = signalled(core);
        if (group === undefined) return SPURIOUS;
        return group === 1 && !mayHaveGroup1(core) ? OTHER_GROUP : registers[`IAR${group}`].read!(core);
      },
    },
    HPPIR: {
      read: (core) => {
        const [first, second] = [registers.HPPIR0.read!(core), registers.HPPIR1.read!(core)];
        if (first !== SPURIOUS || second === SPURIOUS) return first;
        return mayHaveGroup1(core) ? second : OTHER_GROUP;
      },
    },
  };
}

/** GICC_CTLR. AckCtl and FIQEn lie in the word of ICC_CTLR_EL1 as here, CBPR and EOImode as there. */
function control(core: Core): number {
  const word = low(core, CTLR);
  const enables = Number(PHYSICAL.IGRPEN0.read!(core)) | (Number(PHYSICAL.IGRPEN1.read!(core)) << 1);
  return enables | (word & (Ctlr.AckCtl | Ctlr.FIQEn)) | ((word & 1) === 0 ? 0 : Ctlr.CBPR) | ((word & 2) === 0 ? 0 : Ctlr.EOImode);
}

function setControl(core: Core, value: number): void {
  PHYSICAL.IGRPEN0.write!(core, BigInt(value & 1));
  PHYSICAL.IGRPEN1.write!(core, BigInt((value >> 1) & 1));
  core.words[CTLR] = BigInt((value & (Ctlr.AckCtl | Ctlr.FIQEn)) | ((value & Ctlr.CBPR) === 0 ? 0 : 1) | ((value & Ctlr.EOImode) === 0 ? 0 : 2));
  core.attention = true;
}

const masked = (register: InterfaceRegister, mask: bigint): InterfaceRegister => ({ write: (core, value) => register.write!(core, value & mask) });

/** The physical interface. NSAPR0 has Group 1's active priorities. */
export const GICC: Readonly<Record<string, InterfaceRegister>> = {
  CTLR: { read: (core) => BigInt(control(core)), write: (core, value) => setControl(core, Number(value & BigInt(CTLR_WRITABLE))) },
  PMR: PHYSICAL.PMR,
  BPR: PHYSICAL.BPR0,
  ...acknowledging(PHYSICAL, signalledGroup, control),
  EOIR: { write: (core, value) => endOfInterrupt(core, 'either', value & INTID) },
  RPR: PHYSICAL.RPR,
  ABPR: PHYSICAL.BPR1,
  AIAR: PHYSICAL.IAR1,
  AEOIR: masked(PHYSICAL.EOIR1, INTID),
  AHPPIR: PHYSICAL.HPPIR1,
  APR0: PHYSICAL.AP0R0,
  NSAPR0: PHYSICAL.AP1R0,
  IIDR,
  DIR: masked(PHYSICAL.DIR, INTID),
};

/** The active priorities of both groups in one register. What is written stands for Group 0's: which of them it was matters to nobody. */
const APR: InterfaceRegister = {
  read: (core) => VIRTUAL.AP0R0.read!(core) | VIRTUAL.AP1R0.read!(core),
  write: (core, value) => {
    VIRTUAL.AP1R0.write!(core, 0n);
    VIRTUAL.AP0R0.write!(core, value);
  },
};

/** The virtual interface: its control register is a part of GICH_VMCR. */
export const GICV: Readonly<Record<string, InterfaceRegister>> = {
  CTLR: { read: (core) => BigInt(low(core, ICH_VMCR) & CTLR_WRITABLE), write: (core, value) => setVmcr(core, CTLR_WRITABLE, Number(value & BigInt(CTLR_WRITABLE))) },
  PMR: VIRTUAL.PMR,
  BPR: VIRTUAL.BPR0,
  ...acknowledging(VIRTUAL, signalledVirtualGroup, (core) => low(core, ICH_VMCR)),
  EOIR: { write: (core, value) => endOfVirtualInterrupt(core, 'either', value & INTID_AND_SOURCE) },
  RPR: VIRTUAL.RPR,
  ABPR: VIRTUAL.BPR1,
  AIAR: VIRTUAL.IAR1,
  AEOIR: masked(VIRTUAL.EOIR1, INTID_AND_SOURCE),
  AHPPIR: VIRTUAL.HPPIR1,
  APR0: APR,
  IIDR,
  DIR: masked(VIRTUAL.DIR, INTID_AND_SOURCE),
};

/** EOICount, and the maintenance enables with En. */
const HCR_WRITABLE = IchHcr.EOICOUNT | 0xffn;

/** The hypervisor's. The list registers are LR0 and up. */
export const GICH: Readonly<Record<string, InterfaceRegister>> = {
  HCR: { read: CPU_INTERFACE['ICH_HCR_EL2']!.read!, write: (core, value) => CPU_INTERFACE['ICH_HCR_EL2']!.write!(core, value & HCR_WRITABLE) },
  // PRIbits and PREbits: five of each.
  VTR: { read: (core) => (4n << 29n) | (4n << 26n) | BigInt(core.board.features.listRegisters - 1) },
  VMCR: CPU_INTERFACE['ICH_VMCR_EL2']!,
  MISR: CPU_INTERFACE['ICH_MISR_EL2']!,
  EISR0: CPU_INTERFACE['ICH_EISR_EL2']!,
  ELRSR0: CPU_INTERFACE['ICH_ELRSR_EL2']!,
  APR,
  ...Object.fromEntries(LIST_REGISTERS.map((word, index): [string, InterfaceRegister] => {
    const wide = CPU_INTERFACE[`ICH_LR${index}_EL2`]!;
    const implemented = (core: Core): boolean => index < core.board.features.listRegisters;
    return [`LR${index}`, {
      read: (core) => (implemented(core) ? narrow(core.words[word]!) : 0n),
      write: (core, value) => { if (implemented(core)) wide.write!(core, widen(value)); },
    }];
  })),
};

/** GICH_LR<n>: HW, Grp1, State, Priority's five bits, PhysicalID or EOI and CPUID, VirtualID. */
const HW = 1n << 31n;
const EOI = 1n << 19n;

/** GICH_LR<n> as ICH_LR<n>_EL2 has it. The CPUID of an SGI is kept above its VirtualID, as GICV_IAR gives it. */
function widen(lr: bigint): bigint {
  const physical = (lr & HW) === 0n ? (lr & EOI) === 0n ? 0n : Lr.EOI : ((lr >> 10n) & INTID) << LR_PINTID_SHIFT;
  const intid = lr & ((lr & HW) === 0n ? INTID_AND_SOURCE : INTID);
  return ((lr >> 28n) << 62n & Lr.STATE) | ((lr & HW) === 0n ? 0n : Lr.HW) | ((lr & (1n << 30n)) === 0n ? 0n : Lr.GROUP1) | (((lr >> 23n) & 0x1fn) << (LR_PRIORITY_SHIFT + 3n)) | physical | intid;
}

function narrow(lr: bigint): bigint {
  const hardware = (lr & Lr.HW) !== 0n;
  const physical = hardware ? (((lr & Lr.PINTID) >> LR_PINTID_SHIFT) & INTID) << 10n : (lr & Lr.EOI) === 0n ? 0n : EOI;
  return ((lr >> 62n) << 28n) | (hardware ? HW : 0n) | ((lr & Lr.GROUP1) === 0n ? 0n : 1n << 30n) | (((lr >> (LR_PRIORITY_SHIFT + 3n)) & 0x1fn) << 23n) | physical | (lr & INTID_AND_SOURCE);
}
