/** What vCPUs do in whole runs, step by step, is what the chart of their lifecycle allows, and no less. */

import { expect, test } from 'vitest';
import type { KvmState } from '../../../machines/kvm/state.ts';
import { vcpuChart, vcpuMode, type VcpuMode } from '../../../machines/kvm/vcpu.machine.ts';
import { compile } from '../../../machines/statechart.ts';
import { actorOf } from '../../../actors/world.ts';
import { systemOf } from '../../../snapshots/machine.ts';
import { runToEnd, scenarioNamed, type Setting } from '../../support/scenario.ts';

const TABLE = compile<VcpuMode>(vcpuChart);
const allowed = (from: VcpuMode): VcpuMode[] => [...new Set(TABLE.events.flatMap((event) => TABLE.next(from, event) ?? []))];

/** Every change of a vCPU's mode between two frames of a run in which L0 does one step a frame. */
function observe(setting: Setting): Set<string> {
  const seen = new Set<string>();
  const modes: VcpuMode[] = Array.from({ length: setting.vcpus }, () => 'off');
  const { outcome } = runToEnd(setting, {
    system: systemOf({ stepwise: true }),
    each: (_, { state, engine }) => {
      for (const [index, before] of modes.entries()) {
        const kvm = actorOf<KvmState>(state, `kvm:${index}`);
        const now = vcpuMode(kvm, engine.board);
        if (now !== before) seen.add(`${before} → ${now}`);
        modes[index] = now;
      }
    },
  });
  expect(outcome).toBe('passed');
  return seen;
}

/** tiny-hypervisor never leaves virtual EL2 for an EL1 of its own. */
const UNSEEN = ['runnable → inL1', 'inL1 → exiting'];

test('the vCPUs of a run go only where the chart leads, and together everywhere it leads', () => {
  const seen = new Set(['off → runnable']);
  for (const [name, nested, l1] of [['two-vcpus-ipi', 'nv2', 'vhe'], ['timer-interrupt', 'nv2', 'nvhe'], ['two-vcpus-ipi', 'nv', 'nvhe']] as const) {
    for (const change of observe({ scenario: scenarioNamed(name), nested, l1, vcpus: 2 })) seen.add(change);
  }
  const drawn = TABLE.states.flatMap((from) => allowed(from).map((to) => `${from} → ${to}`));
  expect([...seen].filter((change) => !drawn.includes(change))).toEqual([]);
  expect(drawn.filter((change) => !seen.has(change)).toSorted()).toEqual([...UNSEEN].toSorted());
});
