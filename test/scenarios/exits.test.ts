/** What an L2 hypercall costs in exits to L0, by mechanism, and which registers make the difference. */

import { describe, expect, test } from 'vitest';
import type { WorldEvent } from '../../actors/world.ts';
import { decodePv } from '../../machines/kvm/pv.ts';
import type { Flavour, Mechanism } from '../../machines/kvm/state.ts';
import { FLAVOURS, runToEnd, scenarioNamed } from '../support/scenario.ts';

const memo = new Map<string, readonly WorldEvent[][]>();

/** The events from each of vCPU 0's L2 hypercalls to the next, in the run of `hypercall`. */
function roundTrips(nested: Mechanism, l1: Flavour): readonly WorldEvent[][] {
  const key = `${nested} ${l1}`;
  const known = memo.get(key);
  if (known !== undefined) return known;
  const trips: WorldEvent[][] = [];
  runToEnd({ scenario: scenarioNamed('hypercall'), nested, l1, vcpus: 1 }, {
    each: ({ events }) => {
      for (const event of events) {
        if (event.event === 'kvm_exit' && event.level === 'L2' && event.reason === 'HVC64' && event.vcpu === 0) trips.push([]);
        trips.at(-1)?.push(event);
      }
    },
  });
  // Before the first there is no trip, and after the last L2 ends.
  trips.pop();
  memo.set(key, trips);
  return trips;
}

const exitsIn = (trip: readonly WorldEvent[]): WorldEvent[] => trip.filter((event) => event.event === 'kvm_exit');

/** Exits of one steady round trip. */
const exitsPerCall = (nested: Mechanism, l1: Flavour): number => exitsIn(roundTrips(nested, l1)[8]!).length;

/** How often each operation exits in a steady round trip, by name: what SYS64 trapped on, or what a rewritten HVC stands for. */
function operations(nested: Mechanism, l1: Flavour): Map<string, number> {
  const counts = new Map<string, number>();
  const trip = roundTrips(nested, l1)[8]!;
  trip.forEach((event, at) => {
    if (event.event !== 'kvm_exit') return;
    const name = operationOf(event, trip.slice(at + 1));
    counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  return counts;
}

function operationOf(exit: WorldEvent, after: readonly WorldEvent[]): string {
  if (exit.level === 'L2') return `L2 ${String(exit.reason)}`;
  if (exit.reason === 'SYS64') {
    const access = after.find((event) => event.event === 'kvm_sys_access')!;
    return `${access.is_write === true ? 'MSR' : 'MRS'} ${String(access.name)}`;
  }
  if (exit.reason !== 'HVC64') return String(exit.reason);
  const operation = decodePv(Number((exit.esr as bigint) & 0xffffn));
  switch (operation.kind) {
    case 'mrs': case 'msr': return `${operation.kind.toUpperCase()} ${operation.register}`;
    case 'eret': return 'ERET';
    default: return `HVC ${operation.kind}`;
  }
}

/** [operation, exits with nv, exits with pv, why]. */
type Difference = readonly [name: string, nv: number, pv: number, why: string];

const SPSR = 'an exception within virtual EL2 writes M: FEAT_NV has it report EL2, Armv8.0 reports EL1, so that L0 must answer';

/** Every operation of a round trip that does not exit equally often under `nv` and `pv`. */
const DIFFERENCES: Readonly<Record<Flavour, readonly Difference[]>> = {
  vhe: [['MRS SPSR_EL1', 0, 1, SPSR], ['MSR SPSR_EL1', 0, 1, SPSR]],
  // With NV1 the EL1 names are L2's, and trap; rewritten, they are the same ones.
  nvhe: [],
};

/** [operation, exits, why FEAT_NV2 does not make it a memory access]. */
type Left = readonly [name: string, exits: number, why: string];

const TIMERS = (suffix: string): Left[] => [
  [`MRS CNTP_CTL_${suffix}`, 1, 'EL1NVPCT or EL1TVT: ISTATUS is computed'],
  [`MRS CNTP_CVAL_${suffix}`, 1, 'as CNTP_CTL'],
  [`MRS CNTV_CTL_${suffix}`, 1, 'EL1NVVCT or EL1TVT: ISTATUS is computed'],
  [`MRS CNTV_CVAL_${suffix}`, 1, 'as CNTV_CTL'],
  [`MSR CNTP_CTL_${suffix}`, 2, 'once to save and stop, once to restore: L0 must arm an alarm'],
  [`MSR CNTP_CVAL_${suffix}`, 1, 'as CNTP_CTL'],
  [`MSR CNTV_CTL_${suffix}`, 2, 'as CNTP_CTL'],
  [`MSR CNTV_CVAL_${suffix}`, 1, 'as CNTP_CTL'],
];
const COMMON: Left[] = [
  ['ERET', 1, 'the world switch itself'],
  ['L2 HVC64', 1, 'the hypercall itself'],
  ['MSR CNTHCTL_EL2', 2, 'no place in the VNCR page, and the hardware\'s own must change at once'],
  ['MSR MDCR_EL2', 2, 'no place in the VNCR page'],
];
const LEFT: Readonly<Record<Flavour, readonly Left[]>> = {
  vhe: [
    ...COMMON, ...TIMERS('EL02'),
    ['MRS CNTKCTL_EL12', 1, 'no place in the VNCR page'],
    ['MSR CNTKCTL_EL12', 1, 'no place in the VNCR page'],
  ],
  nvhe: [...COMMON, ...TIMERS('EL0'), ['MSR CPTR_EL2', 2, 'no place in the VNCR page; a VHE hypervisor has CPACR_EL1 for it']],
};

/** Exits of L1 in a steady round trip by exception class. */
const CLASSES: Readonly<Record<Flavour, Readonly<Record<string, Readonly<Record<string, number>>>>>> = {
  // ACTLR_EL1, twice, is L2's under every mechanism, and is trapped by TACR where it is not memory.
  vhe: { nv2: { SYS64: 16, ERET: 1 }, nv: { SYS64: 71, ERET: 1 }, pv: { SYS64: 2, HVC64: 72 } },
  nvhe: { nv2: { SYS64: 16, ERET: 1 }, nv: { SYS64: 77, ERET: 1 }, pv: { SYS64: 2, HVC64: 76 } },
};

describe.each(FLAVOURS)('an L2 hypercall with a %s hypervisor', (l1) => {
  test.each(['nv2', 'nv', 'pv'] as const)('costs the same each time, after the first, with %s', (nested) => {
    const counts = roundTrips(nested, l1).map((trip) => exitsIn(trip).length);
    expect(counts.length).toBeGreaterThanOrEqual(16);
    expect(new Set(counts.slice(1, 16))).toEqual(new Set([exitsPerCall(nested, l1)]));
  });

  test('exits at least four times as often with nv as with nv2', () => {
    expect(exitsPerCall('nv', l1)).toBeGreaterThanOrEqual(4 * exitsPerCall('nv2', l1));
  });

  test('exits as often with pv as with nv, to a tenth', () => {
    const [nv, pv] = [exitsPerCall('nv', l1), exitsPerCall('pv', l1)];
    expect(Math.abs(pv - nv)).toBeLessThanOrEqual(nv / 10);
  });

  test('differs between pv and nv in exactly the operations that are known, each for its reason', () => {
    const [nv, pv] = [operations('nv', l1), operations('pv', l1)];
    const found = [...new Set([...nv.keys(), ...pv.keys()])].sort().flatMap((name) => {
      const [a, b] = [nv.get(name) ?? 0, pv.get(name) ?? 0];
      return a === b ? [] : [[name, a, b]];
    });
    expect(found).toEqual(DIFFERENCES[l1].map(([name, a, b]) => [name, a, b]));
  });

  test('leaves, with nv2, only what FEAT_NV2 does not make memory', () => {
    expect(Object.fromEntries(operations('nv2', l1))).toEqual(Object.fromEntries(LEFT[l1].map(([name, exits]) => [name, exits])));
  });

  test.each(['nv2', 'nv', 'pv'] as const)('exits by trap with nv, by HVC with pv, and seldom with nv2: %s', (nested) => {
    const counts: Record<string, number> = {};
    for (const { level, reason } of exitsIn(roundTrips(nested, l1)[8]!)) if (level === 'L1') counts[String(reason)] = (counts[String(reason)] ?? 0) + 1;
    expect(counts).toEqual(CLASSES[l1][nested]);
  });
});
