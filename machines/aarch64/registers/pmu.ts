/** The Performance Monitors: what they count is in pmu.ts. */

import { sysreg } from './row.ts';
import type { Fields, SystemRegister } from './row.ts';
import { hasFeature, type Hardware } from './features.ts';

/** PMCR_EL0.N: event counters. The architecture has room for 31. */
export const EVENT_COUNTERS = 6;
/** Bit 31: the cycle counter. */
const ALL = 0x8000_0000n | ((1n << BigInt(EVENT_COUNTERS)) - 1n);
/** Common events that are counted, from 0x00: SW_INCR 0x00, INST_RETIRED 0x08, CPU_CYCLES 0x11, CHAIN 0x1e. */
const EVENTS = (1n << 0x00n) | (1n << 0x08n) | (1n << 0x11n) | (1n << 0x1en);
/** From 0x20: STALL_FRONTEND 0x23, STALL_BACKEND 0x24, STALL 0x3c, whose count is 0 by right: a cycle in which no instruction is attempted does not exist. */
const MORE_EVENTS = (1n << (0x23n - 0x20n)) | (1n << (0x24n - 0x20n)) | (1n << (0x3cn - 0x20n));

const needs = 'FEAT_PMUv3' as const;

const PMCR: Fields = { IMP: [24, 8], IDCODE: [16, 8], N: [11, 5], LP: 7, LC: 6, DP: 5, X: 4, D: 3, C: 2, P: 1, E: 0 };
const FILTER: Fields = { P: 31, U: 30, NSH: 27 };
const USER: Fields = { ER: 3, CR: 2, SW: 1, EN: 0 };
/** LC is RES1 and D RES0 where nothing is AArch32; X is RAZ/WI, since nothing listens. */
const pmcrFixed = (hardware: Hardware): bigint => (hasFeature(hardware, needs) ? (BigInt(EVENT_COUNTERS) << 11n) | (1n << 6n) : 0n);

/** P and U; NSH with EL2. NSK, NSU, M and SH are EL3's and Secure EL2's, MT multithreading's. */
const filterBits = (hardware: Hardware): bigint => (3n << 30n) | (hardware.el2 === 'none' ? 0n : 1n << 27n);

const set = { needs, writable: ALL };

export const PMU: readonly SystemRegister[] = [
  // P and C act and read as 0 (pmu.ts).
  sysreg('PMCR_EL0', [3, 3, 9, 12, 0], { needs, fields: PMCR, writable: 0xa7n, res1: pmcrFixed, reset: pmcrFixed }),
  sysreg('PMCNTENSET_EL0', [3, 3, 9, 12, 1], set),
  sysreg('PMCNTENCLR_EL0', [3, 3, 9, 12, 2], set),
  sysreg('PMOVSCLR_EL0', [3, 3, 9, 12, 3], set),
  sysreg('PMSWINC_EL0', [3, 3, 9, 12, 4], { needs, access: 'W', writable: ALL & 0x7fff_ffffn }),
  sysreg('PMSELR_EL0', [3, 3, 9, 12, 5], { needs, writable: 0x1fn, fields: { SEL: [0, 5] } }),
  sysreg('PMCEID0_EL0', [3, 3, 9, 12, 6], { needs, access: 'R', reset: (hardware) => (hasFeature(hardware, needs) ? EVENTS : 0n) }),
  sysreg('PMCEID1_EL0', [3, 3, 9, 12, 7], { needs, access: 'R', reset: (hardware) => (hasFeature(hardware, needs) ? MORE_EVENTS : 0n) }),
  sysreg('PMCCNTR_EL0', [3, 3, 9, 13, 0], { needs }),
  sysreg('PMXEVTYPER_EL0', [3, 3, 9, 13, 1], { needs, writable: (hardware) => filterBits(hardware) | 0xffffn }),
  sysreg('PMXEVCNTR_EL0', [3, 3, 9, 13, 2], { needs }),
  sysreg('PMUSERENR_EL0', [3, 3, 9, 14, 0], { needs, writeEl: 1, writable: 0xfn, fields: USER }),
  sysreg('PMINTENSET_EL1', [3, 0, 9, 14, 1], set),
  sysreg('PMINTENCLR_EL1', [3, 0, 9, 14, 2], set),
  sysreg('PMOVSSET_EL0', [3, 3, 9, 14, 3], set),
  // SLOTS 0: STALL_SLOT is not counted.
  sysreg('PMMIR_EL1', [3, 0, 9, 14, 6], { needs, access: 'R', fields: { SLOTS: [0, 8] } }),
  ...Array.from({ length: EVENT_COUNTERS }, (_, n) => [
    sysreg(`PMEVCNTR${n}_EL0`, [3, 3, 14, 8 + (n >> 3), n & 7], { needs }),
    sysreg(`PMEVTYPER${n}_EL0`, [3, 3, 14, 12 + (n >> 3), n & 7], { needs, fields: { ...FILTER, evtCount: [0, 16] }, writable: (hardware) => filterBits(hardware) | 0xffffn }),
  ]).flat(),
  sysreg('PMCCFILTR_EL0', [3, 3, 14, 15, 7], { needs, fields: FILTER, writable: filterBits }),
];

/** MDCR_EL2.HPMN out of reset: all counters are EL1's. */
export const hpmnReset = (hardware: Hardware): bigint => (hasFeature(hardware, needs) ? BigInt(EVENT_COUNTERS) : 0n);
