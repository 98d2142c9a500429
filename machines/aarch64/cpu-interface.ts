/** The GIC CPU interface of one PE: physical (ICC) and virtual (ICV, ICH) registers, priorities, and which interrupt is signalled. Arm IHI 0069. */

import type { Offer, OfferedInterrupt } from '../messages.ts';
import { slot } from './sysregs.ts';
import { Word, elOf, type Core } from './state.ts';

/**
 * What the implementation chose, as ICC_CTLR_EL1 and ICH_VTR_EL2 say it: 5 bits of priority, all of them preemption
 * levels, so one active-priority register a group; INTIDs of 16 bits, LPIs among them; no SErrors from the interface; Aff3 valid.
 * One Security state and no EL3: Group 0 is signalled as FIQ, Group 1 as IRQ. System register access only (SRE is RAO/WI), but on a board with
 * GICv2, whose interface is the same state behind memory-mapped registers (memory-mapped-interface.ts).
 */
const PRIORITY_BITS = 5;
const PRIORITY_MASK = 0xf8;
const BPR0_MIN = 7 - PRIORITY_BITS;
const BPR1_MIN = BPR0_MIN + 1;
const IDLE_PRIORITY = 0xff;
const SPURIOUS = 1023n;
const LAST_INTID = 1019;
const FIRST_LPI = 8192;
const MAINTENANCE_INTID = 25;
/** PRIbits, IDbits 16, A3V: bits that ICC_CTLR_EL1 and ICV_CTLR_EL1 have in common. */
const CTLR_CONSTANT = ((PRIORITY_BITS - 1) << 8) | (1 << 15);
const CTLR_CBPR = 1 << 0;
const CTLR_EOIMODE = 1 << 1;
/** GICv2 alone: GICC_CTLR.FIQEn, where it is there. */
const CTLR_FIQEN = 1 << 3;

type Group = 0 | 1;

const PMR = slot('ICC_PMR_EL1');
export const CTLR = slot('ICC_CTLR_EL1');
const BPR = [slot('ICC_BPR0_EL1'), slot('ICC_BPR1_EL1')] as const;
const GROUP_ENABLE = [slot('ICC_IGRPEN0_EL1'), slot('ICC_IGRPEN1_EL1')] as const;
const ACTIVE = [slot('ICC_AP0R0_EL1'), slot('ICC_AP1R0_EL1')] as const;
const HCR_EL2 = slot('HCR_EL2');
const ICH_HCR = slot('ICH_HCR_EL2');
export const ICH_VMCR = slot('ICH_VMCR_EL2');
const VIRTUAL_ACTIVE = [slot('ICH_AP0R0_EL2'), slot('ICH_AP1R0_EL2')] as const;
export const LIST_REGISTERS: readonly number[] = Array.from({ length: 16 }, (_, index) => slot(`ICH_LR${index}_EL2`));

/** Words without a register: the best pending interrupt of Group 0 and of Group 1 as Word.OFFER packs it, and the maintenance level last told to the redistributor. */
const OFFER_OF = [Word.CPU_INTERFACE, Word.CPU_INTERFACE + 1] as const;
const MAINTENANCE_TOLD = Word.CPU_INTERFACE + 2;
/** What the GIC and the core have told each other, which the core's reset does not change: the GIC is not reset with it. */
export const WIRES: readonly number[] = [...OFFER_OF, MAINTENANCE_TOLD, Word.TIMER_LINES, Word.PMU_LINE];
const HOST_MAINTENANCE = 1n << 1n;

export const low = (core: Core, word: number): number => core.ints[2 * word]! >>> 0;
const high = (core: Core, word: number): number => core.ints[2 * word + 1]! >>> 0;
const setLow = (core: Core, word: number, value: number): void => { core.words[word] = BigInt(value >>> 0); };

function say(core: Core, to: string, message: { readonly type: string; readonly [field: string]: unknown }): void {
  core.board.outbox.push({ to, message });
  core.end ??= { type: 'effect' };
}

// ---------------------------------------------------------------- priorities, the same for both interfaces

/** The bits of a priority that decide preemption, for a binary point as the group's register holds it (Arm IHI 0069, 4.8.2). */
function groupPriority(priority: number, group: Group, bpr0: number, bpr1: number, common: boolean): number {
  const split = group === 0 || common ? bpr0 + 1 : bpr1;
  return priority & (0xff << split) & 0xff;
}

/** ICC_RPR_EL1: the highest active priority of both groups; 0xff when idle. */
function runningPriority(core: Core, active: readonly [number, number]): number {
  const levels = low(core, active[0]) | low(core, active[1]);
  return levels === 0 ? IDLE_PRIORITY : lowestBit(levels) << (8 - PRIORITY_BITS);
}

function activatePriority(core: Core, word: number, priority: number): void {
  setLow(core, word, low(core, word) | (1 << (priority >> (8 - PRIORITY_BITS))));
}

/** The group whose active priority is the highest; Group 0 when both have it. */
function runningGroup(core: Core, active: readonly [number, number]): Group | undefined {
  const zero = low(core, active[0]);
  const one = low(core, active[1]);
  if ((zero | one) === 0) return undefined;
  return zero !== 0 && (one === 0 || lowestBit(zero) <= lowestBit(one)) ? 0 : 1;
}

/** Priority drop: the highest active priority is no longer active. Returns it. */
function dropPriority(core: Core, word: number): number {
  const levels = low(core, word);
  setLow(core, word, levels & (levels - 1));
  return lowestBit(levels) << (8 - PRIORITY_BITS);
}

const lowestBit = (value: number): number => 31 - Math.clz32(value & -value);
const clamp = (value: number, least: number): number => Math.max(value & 7, least);

// ---------------------------------------------------------------- the physical interface

/**
 * Takes the redistributor's offer: the best pending interrupt of each group goes into the block. An interrupt that is
 * active is not signalled again before it is deactivated.
 */
export function receiveOffer(core: Core, offer: Offer): void {
  const best: [bigint, bigint] = [0n, 0n];
  for (const interrupt of offer.interrupts) {
    if (interrupt.pending && !interrupt.active && best[interrupt.group] === 0n) best[interrupt.group] = pack(interrupt);
  }
  core.words[OFFER_OF[0]] = best[0];
  core.words[OFFER_OF[1]] = best[1];
  chooseOffer(core);
}

const pack = ({ intid, priority, group, source = 0 }: OfferedInterrupt): bigint =>
  BigInt(intid) | (BigInt(priority) << 24n) | (BigInt(group) << 32n) | (BigInt(source) << 33n) | (1n << 40n);

/**
 * Word.OFFER is the better of the groups that ICC_IGRPEN<n>_EL1 enable: the interface tells the redistributor upstream
 * which groups it takes, so that a disabled group hides nothing of the other (Arm IHI 0069, 4.6.2). The low 32 bits
 * compare as priority, then INTID.
 */
function chooseOffer(core: Core): void {
  let chosen = 0n;
  for (const group of [0, 1] as const) {
    const offered = core.words[OFFER_OF[group]]!;
    if (offered === 0n || (low(core, GROUP_ENABLE[group]) & 1) === 0) continue;
    if (chosen === 0n || (offered & 0xffff_ffffn) < (chosen & 0xffff_ffffn)) chosen = offered;
  }
  core.words[Word.OFFER] = chosen;
  core.attention = true;
}

const offered = (core: Core): boolean => high(core, Word.OFFER) >= 1 << 8;
const offeredGroup = (core: Core): Group => (high(core, Word.OFFER) & 1) as Group;
const offeredIntid = (core: Core): number => low(core, Word.OFFER) & 0xff_ffff;
/** The PE that sent an SGI, with GICv2; else 0. */
const offeredSource = (core: Core): number => (high(core, Word.OFFER) >> 1) & 7;
/** As it is acknowledged: GICC_IAR has CPUID in bits 12 to 10. */
const offeredName = (core: Core): bigint => BigInt(offeredIntid(core) | (offeredSource(core) << 10));
const offeredPriority = (core: Core): number => low(core, Word.OFFER) >>> 24;

const binaryPoint0 = (core: Core): number => clamp(low(core, BPR[0]), BPR0_MIN);
const binaryPoint1 = (core: Core): number => clamp(low(core, BPR[1]), BPR1_MIN);
const commonBinaryPoint = (core: Core): boolean => (low(core, CTLR) & CTLR_CBPR) !== 0;
const physicalGroupPriority = (core: Core, priority: number, group: Group): number =>
  groupPriority(priority, group, binaryPoint0(core), binaryPoint1(core), commonBinaryPoint(core));

/** The offered interrupt passes the priority mask and preempts what runs. */
function offerPreempts(core: Core): boolean {
  if (!offered(core) || offeredPriority(core) >= low(core, PMR)) return false;
  const running = runningPriority(core, ACTIVE);
  if (running === IDLE_PRIORITY) return true;
  const group = offeredGroup(core);
  return physicalGroupPriority(core, offeredPriority(core), group) < physicalGroupPriority(core, running, group);
}

/**
 * The physical interrupt signalled to this PE, before PSTATE masks it. Where L0 owns EL2 there is no physical GIC: its
 * interrupts are the requests in Word.HOST_INTERRUPTS and the timer lines that it has not forwarded to the guest.
 */
export function physicalInterruptPending(core: Core): 'irq' | 'fiq' | undefined {
  if (core.board.el2 === 'kvm') {
    const lines = low(core, Word.TIMER_LINES) & ~low(core, Word.FORWARDED);
    return lines !== 0 || core.words[Word.HOST_INTERRUPTS] !== 0n ? 'irq' : undefined;
  }
  const group = signalledGroup(core);
  return group === undefined ? undefined : signalOf(core, group, (low(core, CTLR) & CTLR_FIQEN) !== 0);
}

/** The group of the interrupt that is signalled. */
export const signalledGroup = (core: Core): Group | undefined => (offerPreempts(core) ? offeredGroup(core) : undefined);

/** Group 0 is a FIQ, with GICv2 only where FIQEn says so. */
const signalOf = (core: Core, group: Group, fiqEnabled: boolean): 'irq' | 'fiq' => (group === 0 && (core.board.features.gic !== 2 || fiqEnabled) ? 'fiq' : 'irq');

/** ICC_IAR<group>_EL1: takes the signalled interrupt when it is of this group. */
function acknowledge(core: Core, group: Group): bigint {
  if (!offerPreempts(core) || offeredGroup(core) !== group) return SPURIOUS;
  const intid = offeredIntid(core);
  const source = offeredSource(core);
  const name = offeredName(core);
  activatePriority(core, ACTIVE[group], physicalGroupPriority(core, offeredPriority(core), group));
  // What else pends is in the next offer, which the acknowledgement brings.
  core.words[Word.OFFER] = 0n;
  core.words[OFFER_OF[0]] = 0n;
  core.words[OFFER_OF[1]] = 0n;
  tellGic(core, 'acknowledge', intid, source);
  return name;
}

/** ICC_EOIR<group>_EL1, or GICC_EOIR, which ends either group. A group that is not the running one's is ignored whole: UNPREDICTABLE, and our choice. */
export function endOfInterrupt(core: Core, group: Group | 'either', value: bigint): void {
  const intid = Number(value & 0xff_ffffn);
  const running = runningGroup(core, ACTIVE);
  if ((intid > LAST_INTID && intid < FIRST_LPI) || running === undefined || (group !== 'either' && group !== running)) return;
  dropPriority(core, ACTIVE[running]);
  core.attention = true;
  // An LPI is not active: its priority is all that ends.
  if (intid < FIRST_LPI && (low(core, CTLR) & CTLR_EOIMODE) === 0) tellGic(core, 'deactivate', intid);
}

/** ICC_DIR_EL1. Ignored while EOImode is 0: UNPREDICTABLE, and our choice. */
function deactivate(core: Core, value: bigint): void {
  const intid = Number(value & 0xff_ffffn);
  if (intid <= LAST_INTID && (low(core, CTLR) & CTLR_EOIMODE) !== 0) tellGic(core, 'deactivate', intid);
}

function tellGic(core: Core, type: 'acknowledge' | 'deactivate', intid: number, source = 0): void {
  if (intid < 32 || intid >= FIRST_LPI) say(core, `gicr:${core.index}`, { type, intid, ...(source !== 0 && { source }) });
  else say(core, 'gicd', { type, intid, vcpu: core.index });
}

/**
 * ICC_SGI<n>R_EL1. Range selector 0 only (RSS is 0) and the affinities that machines/gic gives: Aff0 = index % 16,
 * Aff1 = index / 16. A name that no PE has is left out. With one Security state ICC_SGI1R_EL1 reaches SGIs of either
 * group and the other two only Group 0, which `group` tells the redistributor.
 */
function generateSgi(core: Core, value: bigint, group: Group): void {
  const targets = sgiTargets(value, core.index, core.board.cores.length);
  if (targets.length > 0) say(core, 'gicd', { type: 'sgi', intid: Number((value >> 24n) & 0xfn), group, targets });
}

/** The vCPUs, in ascending order, that ICC_SGI<n>R_EL1 = `value` written by vCPU `from` of `count` names. */
export function sgiTargets(value: bigint, from: number, count: number): number[] {
  const targets: number[] = [];
  if ((value & (1n << 40n)) !== 0n) {
    for (let index = 0; index < count; index++) if (index !== from) targets.push(index);
  } else if (((value >> 32n) & 0xffn) === 0n && ((value >> 44n) & 0xfn) === 0n && ((value >> 48n) & 0xffn) === 0n) {
    const first = 16 * Number((value >> 16n) & 0xffn);
    const list = Number(value & 0xffffn);
    for (let bit = 0; bit < 16; bit++) if ((list & (1 << bit)) !== 0 && first + bit < count) targets.push(first + bit);
  }
  return targets;
}

// ---------------------------------------------------------------- the virtual interface

const VENG = [1 << 0, 1 << 1] as const;
const VCBPR = 1 << 4;
/** VFIQEn reads as one, and VAckCtl as zero: virtual Group 0 interrupts are FIQs when system registers are used. */
const VFIQEN = 1 << 3;
const VACKCTL = 1 << 2;
const VEOIM = 1 << 9;

const LR_PENDING = 1;
const LR_ACTIVE = 2;
/** Positions in the high half of a list register. */
const lrState = (half: number): number => half >>> 30;
const lrHardware = (half: number): boolean => (half & (1 << 29)) !== 0;
const lrGroup = (half: number): Group => ((half >>> 28) & 1) as Group;
const lrPriority = (half: number): number => (half >>> 16) & PRIORITY_MASK;
const lrEoi = (half: number): boolean => (half & (1 << 9)) !== 0;
const lrPhysical = (half: number): number => half & 0x1fff;

/** The list registers that this implementation has. */
const listRegisters = (core: Core): number => core.board.features.listRegisters;

const virtualBpr0 = (core: Core): number => clamp(low(core, ICH_VMCR) >>> 21, BPR0_MIN);
const virtualBpr1 = (core: Core): number => clamp(low(core, ICH_VMCR) >>> 18, BPR1_MIN);
const virtualMask = (core: Core): number => (low(core, ICH_VMCR) >>> 24) & PRIORITY_MASK;
const virtualCommon = (core: Core): boolean => (low(core, ICH_VMCR) & VCBPR) !== 0;
const virtualGroupPriority = (core: Core, priority: number, group: Group): number =>
  groupPriority(priority, group, virtualBpr0(core), virtualBpr1(core), virtualCommon(core));

/** The list register of the highest-priority virtual interrupt that is pending (state 0b01 only) in an enabled group; the lowest register wins a tie. -1: none. */
function highestPendingListRegister(core: Core): number {
  const vmcr = low(core, ICH_VMCR);
  if ((low(core, ICH_HCR) & 1) === 0 || (vmcr & (VENG[0] | VENG[1])) === 0) return -1;
  let best = -1;
  let bestPriority = IDLE_PRIORITY;
  for (let index = 0; index < listRegisters(core); index++) {
    const half = high(core, LIST_REGISTERS[index]!);
    if (lrState(half) !== LR_PENDING || (vmcr & VENG[lrGroup(half)]) === 0 || lrPriority(half) >= bestPriority) continue;
    best = index;
    bestPriority = lrPriority(half);
  }
  return best;
}

/** A pending list register passes VPMR and preempts the running virtual priority. */
function listRegisterPreempts(core: Core, index: number): boolean {
  const half = high(core, LIST_REGISTERS[index]!);
  const priority = lrPriority(half);
  if (priority >= virtualMask(core)) return false;
  const running = runningPriority(core, VIRTUAL_ACTIVE);
  if (running === IDLE_PRIORITY) return true;
  const group = lrGroup(half);
  return virtualGroupPriority(core, priority, group) < virtualGroupPriority(core, running, group);
}

/** The virtual interrupt that the list registers signal, before PSTATE masks it. Whether it may be taken (EL, HCR_EL2.{IMO,FMO}) is exception.ts's. */
export function virtualInterruptPending(core: Core): 'irq' | 'fiq' | undefined {
  const group = signalledVirtualGroup(core);
  return group === undefined ? undefined : signalOf(core, group, (low(core, ICH_VMCR) & VFIQEN) !== 0);
}

/** Its group. */
export function signalledVirtualGroup(core: Core): Group | undefined {
  const index = highestPendingListRegister(core);
  return index < 0 || !listRegisterPreempts(core, index) ? undefined : lrGroup(high(core, LIST_REGISTERS[index]!));
}

function setListRegisterState(core: Core, index: number, state: number): void {
  const word = LIST_REGISTERS[index]!;
  core.words[word] = (core.words[word]! & ~(3n << 62n)) | (BigInt(state) << 62n);
}

/** ICV_IAR<group>_EL1: pending to active, unless the list register holds one of the special INTIDs, which goes to invalid. */
function acknowledgeVirtual(core: Core, group: Group): bigint {
  const index = highestPendingListRegister(core);
  if (index < 0) return SPURIOUS;
  const word = LIST_REGISTERS[index]!;
  const half = high(core, word);
  if (lrGroup(half) !== group || !listRegisterPreempts(core, index)) return SPURIOUS;
  const intid = low(core, word);
  if (isSpecial(intid)) setListRegisterState(core, index, 0);
  else {
    activatePriority(core, VIRTUAL_ACTIVE[group], virtualGroupPriority(core, lrPriority(half), group));
    setListRegisterState(core, index, LR_ACTIVE);
  }
  virtualChanged(core);
  return BigInt(intid);
}

const isSpecial = (intid: number): boolean => intid >= 1020 && intid <= 1023;

/**
 * ICV_EOIR<group>_EL1, or GICV_EOIR, which ends either group. The priority is dropped first; with no active priority nothing else happens (CONSTRAINED
 * UNPREDICTABLE, and our choice). With EOImode 0 the list register is deactivated when its group and priority are those
 * dropped, an LPI's whatever EOImode is; an interrupt that no list register holds active counts in ICH_HCR_EL2.EOIcount.
 */
export function endOfVirtualInterrupt(core: Core, group: Group | 'either', value: bigint): void {
  const intid = Number(value & 0xff_ffffn);
  const running = runningGroup(core, VIRTUAL_ACTIVE);
  if (isSpecial(intid) || running === undefined) return;
  const dropped = dropPriority(core, VIRTUAL_ACTIVE[running]);
  if ((low(core, ICH_VMCR) & VEOIM) === 0 || intid >= FIRST_LPI) {
    const index = activeListRegister(core, intid);
    if (index < 0) countEoi(core, intid);
    else {
      const half = high(core, LIST_REGISTERS[index]!);
      const own = lrGroup(half);
      if ((group === 'either' || group === own) && virtualGroupPriority(core, lrPriority(half), own) === dropped) deactivateListRegister(core, index);
    }
  }
  virtualChanged(core);
}

/** ICV_DIR_EL1. Ignored while VEOIM is 0: UNPREDICTABLE, and our choice. */
function deactivateVirtual(core: Core, value: bigint): void {
  const intid = Number(value & 0xff_ffffn);
  if (isSpecial(intid) || (low(core, ICH_VMCR) & VEOIM) === 0) return;
  const index = activeListRegister(core, intid);
  if (index < 0) countEoi(core, intid);
  else deactivateListRegister(core, index);
  virtualChanged(core);
}

/** The list register that holds `intid` active, pending as well or not; -1: none. */
function activeListRegister(core: Core, intid: number): number {
  for (let index = 0; index < listRegisters(core); index++) {
    const word = LIST_REGISTERS[index]!;
    if ((lrState(high(core, word)) & LR_ACTIVE) !== 0 && low(core, word) === intid) return index;
  }
  return -1;
}

function deactivateListRegister(core: Core, index: number): void {
  const half = high(core, LIST_REGISTERS[index]!);
  setListRegisterState(core, index, lrState(half) & ~LR_ACTIVE);
  if (lrHardware(half)) deactivatePhysical(core, lrPhysical(half));
}

/** HW = 1: the physical interrupt ends with the virtual one. Under L0 the only physical interrupts behind a list register are the timers'. */
function deactivatePhysical(core: Core, intid: number): void {
  if (core.board.el2 !== 'kvm') {
    if (intid <= LAST_INTID) tellGic(core, 'deactivate', intid);
    return;
  }
  const line = FORWARDED_LINES[intid] ?? 0;
  setLow(core, Word.FORWARDED, low(core, Word.FORWARDED) & ~line);
  core.attention = true;
}

/** The timers' PPIs and their bits in Word.FORWARDED (generic-timer.ts). */
const FORWARDED_LINES: Readonly<Record<number, number>> = { 30: 1 << 0, 27: 1 << 1, 26: 1 << 2, 28: 1 << 3 };

/** EOIcount is 5 bits and wraps; LPIs have no active state and do not count. */
function countEoi(core: Core, intid: number): void {
  if (intid < FIRST_LPI) setLow(core, ICH_HCR, low(core, ICH_HCR) + (1 << 27));
}

/** ICH_EISR_EL2: list registers whose EOI asked for maintenance and came. One bit a register. */
function eoiStatus(core: Core): number {
  let status = 0;
  for (let index = 0; index < listRegisters(core); index++) {
    const half = high(core, LIST_REGISTERS[index]!);
    if (lrState(half) === 0 && !lrHardware(half) && lrEoi(half)) status |= 1 << index;
  }
  return status;
}

/** ICH_ELRSR_EL2: list registers that are free to be used. */
function emptyStatus(core: Core): number {
  let status = 0;
  for (let index = 0; index < listRegisters(core); index++) {
    const half = high(core, LIST_REGISTERS[index]!);
    if (lrState(half) === 0 && (lrHardware(half) || !lrEoi(half))) status |= 1 << index;
  }
  return status;
}

/** ICH_MISR_EL2: the maintenance conditions that hold, each with its enable in ICH_HCR_EL2 (EOI has its enable in the list register). */
function maintenanceStatus(core: Core): number {
  const hcr = low(core, ICH_HCR);
  const vmcr = low(core, ICH_VMCR);
  let used = 0;
  let pending = 0;
  for (let index = 0; index < listRegisters(core); index++) {
    const state = lrState(high(core, LIST_REGISTERS[index]!));
    if (state !== 0) used++;
    // NP: "no List register is in the pending state", and active-and-pending is not that state.
    if (state === LR_PENDING) pending++;
  }
  const conditions = [
    eoiStatus(core) !== 0,
    (hcr & (1 << 1)) !== 0 && used <= 1,
    (hcr & (1 << 2)) !== 0 && hcr >>> 27 !== 0,
    (hcr & (1 << 3)) !== 0 && pending === 0,
    (hcr & (1 << 4)) !== 0 && (vmcr & VENG[0]) !== 0,
    (hcr & (1 << 5)) !== 0 && (vmcr & VENG[0]) === 0,
    (hcr & (1 << 6)) !== 0 && (vmcr & VENG[1]) !== 0,
    (hcr & (1 << 7)) !== 0 && (vmcr & VENG[1]) === 0,
  ];
  return conditions.reduce((status, holds, position) => (holds ? status | (1 << position) : status), 0);
}

/** The maintenance interrupt's level: ICH_HCR_EL2.En and some condition of ICH_MISR_EL2. */
export const maintenanceLine = (core: Core): boolean => (low(core, ICH_HCR) & 1) !== 0 && maintenanceStatus(core) !== 0;

/**
 * Brings the maintenance interrupt up to date: PPI 25 on a bare board, bit 1 of Word.HOST_INTERRUPTS under L0. The
 * registers' own writes do it; whoever else writes list registers (L0, a restore of part of a block) calls it.
 */
export function pollMaintenance(core: Core): void {
  const level = maintenanceLine(core);
  if (core.board.el2 === 'kvm') {
    const requests = core.words[Word.HOST_INTERRUPTS]!;
    const next = level ? requests | HOST_MAINTENANCE : requests & ~HOST_MAINTENANCE;
    if (next === requests) return;
    core.words[Word.HOST_INTERRUPTS] = next;
    core.attention = true;
    return;
  }
  if (level === (low(core, MAINTENANCE_TOLD) !== 0)) return;
  setLow(core, MAINTENANCE_TOLD, level ? 1 : 0);
  say(core, `gicr:${core.index}`, { type: 'irq-line', intid: MAINTENANCE_INTID, level });
}

function virtualChanged(core: Core): void {
  core.attention = true;
  pollMaintenance(core);
}

/** Replaces bits of ICH_VMCR_EL2, of which the ICV registers are views. */
export function setVmcr(core: Core, clear: number, set: number): void {
  setLow(core, ICH_VMCR, (low(core, ICH_VMCR) & ~clear) | set);
  virtualChanged(core);
}

// ---------------------------------------------------------------- the registers

/** The value and effect of one register. Traps and the check of the exception level are done before. */
export interface InterfaceRegister {
  readonly read?: (core: Core) => bigint;
  readonly write?: (core: Core, value: bigint) => void;
}


/** HCR_EL2.{FMO,IMO}: which group's registers are the virtual ones at EL1. Those of both groups are when either is set. */
const FMO = 1 << 3;
const IMO = 1 << 4;
const ROUTING: Readonly<Record<CommonRegister, number>> = {
  IAR0: FMO, IAR1: IMO, EOIR0: FMO, EOIR1: IMO, HPPIR0: FMO, HPPIR1: IMO, IGRPEN0: FMO, IGRPEN1: IMO, AP0R0: FMO, AP1R0: IMO,
  PMR: FMO | IMO, BPR0: FMO, BPR1: IMO, CTLR: FMO | IMO, RPR: FMO | IMO, DIR: FMO | IMO,
};

/** ICC at EL2, and at EL1 where HCR_EL2 does not route the group to EL2; ICV otherwise. */
function either(routing: number, physical: InterfaceRegister, virtual: InterfaceRegister): InterfaceRegister {
  const chosen = (core: Core): InterfaceRegister => (elOf(core) === 1 && (low(core, HCR_EL2) & routing) !== 0 ? virtual : physical);
  return {
    ...(physical.read && { read: (core: Core) => chosen(core).read!(core) }),
    ...(physical.write && { write: (core: Core, value: bigint) => chosen(core).write!(core, value) }),
  };
}

const constant = (value: bigint): InterfaceRegister => ({ read: () => value, write: () => {} });

/** A register that holds `writable` bits; writing it may change which interrupt is signalled. */
const plain = (word: number, writable: bigint, changed: (core: Core) => void): InterfaceRegister => ({
  read: (core) => core.words[word]!,
  write: (core, value) => { core.words[word] = value & writable; changed(core); },
});
const attend = (core: Core): void => { core.attention = true; };

/** The registers that ICC and ICV have in common, by their names there without prefix and level. */
type CommonRegister = 'IAR0' | 'IAR1' | 'EOIR0' | 'EOIR1' | 'HPPIR0' | 'HPPIR1' | 'IGRPEN0' | 'IGRPEN1' | 'AP0R0' | 'AP1R0' | 'PMR' | 'BPR0' | 'BPR1' | 'CTLR' | 'RPR' | 'DIR';

/** ICC: the physical interface. */
export const PHYSICAL: Readonly<Record<CommonRegister, InterfaceRegister>> = {
  IAR0: { read: (core) => acknowledge(core, 0) },
  IAR1: { read: (core) => acknowledge(core, 1) },
  EOIR0: { write: (core, value) => endOfInterrupt(core, 0, value) },
  EOIR1: { write: (core, value) => endOfInterrupt(core, 1, value) },
  HPPIR0: { read: (core) => highestPending(core, 0) },
  HPPIR1: { read: (core) => highestPending(core, 1) },
  IGRPEN0: plain(GROUP_ENABLE[0], 1n, chooseOffer),
  IGRPEN1: plain(GROUP_ENABLE[1], 1n, chooseOffer),
  AP0R0: plain(ACTIVE[0], 0xffff_ffffn, attend),
  AP1R0: plain(ACTIVE[1], 0xffff_ffffn, attend),
  PMR: plain(PMR, BigInt(PRIORITY_MASK), attend),
  BPR0: {
    read: (core) => BigInt(binaryPoint0(core)),
    write: (core, value) => { setLow(core, BPR[0], clamp(Number(value & 7n), BPR0_MIN)); attend(core); },
  },
  // With the common binary point it reads as BPR0 plus one, saturated, and ignores writes.
  BPR1: {
    read: (core) => BigInt(commonBinaryPoint(core) ? Math.min(binaryPoint0(core) + 1, 7) : binaryPoint1(core)),
    write: (core, value) => {
      if (commonBinaryPoint(core)) return;
      setLow(core, BPR[1], clamp(Number(value & 7n), BPR1_MIN));
      attend(core);
    },
  },
  CTLR: {
    read: (core) => BigInt(CTLR_CONSTANT | (low(core, CTLR) & (CTLR_CBPR | CTLR_EOIMODE))),
    write: (core, value) => { core.words[CTLR] = value & BigInt(CTLR_CBPR | CTLR_EOIMODE); attend(core); },
  },
  RPR: { read: (core) => BigInt(runningPriority(core, ACTIVE)) },
  DIR: { write: deactivate },
};

/** ICV: the virtual interface, most of it views of ICH_VMCR_EL2. */
export const VIRTUAL: Readonly<Record<CommonRegister, InterfaceRegister>> = {
  IAR0: { read: (core) => acknowledgeVirtual(core, 0) },
  IAR1: { read: (core) => acknowledgeVirtual(core, 1) },
  EOIR0: { write: (core, value) => endOfVirtualInterrupt(core, 0, value) },
  EOIR1: { write: (core, value) => endOfVirtualInterrupt(core, 1, value) },
  HPPIR0: { read: (core) => highestPendingVirtual(core, 0) },
  HPPIR1: { read: (core) => highestPendingVirtual(core, 1) },
  IGRPEN0: virtualGroupEnable(0),
  IGRPEN1: virtualGroupEnable(1),
  AP0R0: plain(VIRTUAL_ACTIVE[0], 0xffff_ffffn, virtualChanged),
  AP1R0: plain(VIRTUAL_ACTIVE[1], 0xffff_ffffn, virtualChanged),
  PMR: {
    read: (core) => BigInt(virtualMask(core)),
    write: (core, value) => setVmcr(core, 0xff << 24, (Number(value & 0xffn) & PRIORITY_MASK) << 24),
  },
  BPR0: {
    read: (core) => BigInt(virtualBpr0(core)),
    write: (core, value) => setVmcr(core, 7 << 21, clamp(Number(value & 7n), BPR0_MIN) << 21),
  },
  BPR1: {
    read: (core) => BigInt(virtualCommon(core) ? Math.min(virtualBpr0(core) + 1, 7) : virtualBpr1(core)),
    write: (core, value) => { if (!virtualCommon(core)) setVmcr(core, 7 << 18, clamp(Number(value & 7n), BPR1_MIN) << 18); },
  },
  CTLR: {
    read: (core) => BigInt(CTLR_CONSTANT | (virtualCommon(core) ? CTLR_CBPR : 0) | ((low(core, ICH_VMCR) & VEOIM) === 0 ? 0 : CTLR_EOIMODE)),
    write: (core, value) => setVmcr(core, VCBPR | VEOIM, ((value & 1n) === 0n ? 0 : VCBPR) | ((value & 2n) === 0n ? 0 : VEOIM)),
  },
  RPR: { read: (core) => BigInt(runningPriority(core, VIRTUAL_ACTIVE)) },
  DIR: { write: deactivateVirtual },
};

function virtualGroupEnable(group: Group): InterfaceRegister {
  return {
    read: (core) => ((low(core, ICH_VMCR) & VENG[group]) === 0 ? 0n : 1n),
    write: (core, value) => setVmcr(core, VENG[group], (value & 1n) === 0n ? 0 : VENG[group]),
  };
}

/** ICC_HPPIR<group>_EL1. Neither the priority mask nor preemption matters to it. */
const highestPending = (core: Core, group: Group): bigint => (offered(core) && offeredGroup(core) === group ? offeredName(core) : SPURIOUS);

function highestPendingVirtual(core: Core, group: Group): bigint {
  const word = LIST_REGISTERS[highestPendingListRegister(core)];
  return word !== undefined && lrGroup(high(core, word)) === group ? BigInt(low(core, word)) : SPURIOUS;
}

function listRegisterRow(word: number): InterfaceRegister {
  return {
    read: (core) => core.words[word]!,
    // RES0: INTID bits above 16, priority bits below the implemented, NMI; of the pINTID field only EOI without HW.
    write: (core, value) => {
      const physical = (value & (1n << 61n)) === 0n ? 1n << 41n : 0x1fffn << 32n;
      core.words[word] = value & ((0xfn << 60n) | (BigInt(PRIORITY_MASK) << 48n) | physical | 0xffffn);
      virtualChanged(core);
    },
  };
}

/** Every ICC and ICH register of this implementation, by name. Those of ICC that EL1 may see as ICV choose by themselves. */
export const CPU_INTERFACE: Readonly<Record<string, InterfaceRegister>> = {
  ...Object.fromEntries((Object.keys(ROUTING) as CommonRegister[]).map((name) => [`ICC_${name}_EL1`, either(ROUTING[name], PHYSICAL[name], VIRTUAL[name])])),
  ICH_AP0R0_EL2: VIRTUAL.AP0R0,
  ICH_AP1R0_EL2: VIRTUAL.AP1R0,
  ICC_SRE_EL1: constant(0x7n),
  ICC_SRE_EL2: constant(0xfn),
  ICC_SGI0R_EL1: { write: (core, value) => generateSgi(core, value, 0) },
  ICC_SGI1R_EL1: { write: (core, value) => generateSgi(core, value, 1) },
  ICC_ASGI1R_EL1: { write: (core, value) => generateSgi(core, value, 0) },
  // EOIcount, TDIR, TSEI, TALL1, TALL0, TC, and the maintenance enables; no GICv4.1 and no direct injection.
  ICH_HCR_EL2: plain(ICH_HCR, 0xf800_7cffn, virtualChanged),
  // PRIbits, PREbits, IDbits 16, A3V, nV4, TDS.
  ICH_VTR_EL2: {
    read: (core) => BigInt(((((PRIORITY_BITS - 1) << 29) | ((PRIORITY_BITS - 1) << 26)) >>> 0) + (1 << 21) + (1 << 20) + (1 << 19) + listRegisters(core) - 1),
  },
  ICH_MISR_EL2: { read: (core) => BigInt(maintenanceStatus(core)) },
  ICH_EISR_EL2: { read: (core) => BigInt(eoiStatus(core)) },
  ICH_ELRSR_EL2: { read: (core) => BigInt(emptyStatus(core)) },
  ICH_VMCR_EL2: {
    read: (core) => BigInt(virtualControl(core, low(core, ICH_VMCR))),
    write: (core, value) => { setLow(core, ICH_VMCR, virtualControl(core, Number(value & 0xffff_ffffn))); virtualChanged(core); },
  },
  ...Object.fromEntries(LIST_REGISTERS.map((word, index) => [`ICH_LR${index}_EL2`, listRegisterRow(word)])),
};

/** Registers that exist with more priority bits than we have: accesses are UNDEFINED. List registers from `features.listRegisters` up are UNDEFINED as well. */
export const UNIMPLEMENTED_ACTIVE_PRIORITIES: readonly string[] = [0, 1].flatMap((group) =>
  [1, 2, 3].flatMap((index) => [`ICC_AP${group}R${index}_EL1`, `ICH_AP${group}R${index}_EL2`]));

/** A value of ICH_VMCR_EL2 as the implementation holds it: binary points at least the least; VFIQEn one and VAckCtl zero, but with GICv2 as they are written. */
function virtualControl(core: Core, value: number): number {
  const kept = value & ((PRIORITY_MASK << 24) | VEOIM | VCBPR | VENG[1] | VENG[0]);
  const chosen = core.board.features.gic === 2 ? value & (VFIQEN | VACKCTL) : VFIQEN;
  return (kept | (clamp(value >>> 21, BPR0_MIN) << 21) | (clamp(value >>> 18, BPR1_MIN) << 18) | chosen) >>> 0;
}
