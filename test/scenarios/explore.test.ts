/** Exploring two vCPUs, one of which sleeps: the right L0 loses no wake-up, a wrong one is caught, and its path replays. */

import { describe, expect, test } from 'vitest';
import { step } from '../../actors/step.ts';
import { exploreScenario } from '../../scenarios/explore.ts';
import { builtGuests, sha256 } from '../../scenarios/node.ts';
import { judge, prepare, type Prepared } from '../../scenarios/scenario.ts';
import scenario from '../../scenarios/two-vcpus-ipi.ts';
import { fingerprint } from '../../snapshots/machine.ts';

const prepared = (variants: readonly string[] = []): Prepared => prepare(scenario, { nested: 'nv2', l1: 'vhe', variants }, builtGuests, sha256);

describe('two vCPUs, one of which sleeps', () => {
  test('a bounded search of the right L0 finds nothing wrong, says that it is not complete, and is the same twice', () => {
    const search = () => exploreScenario(prepared(), { strategy: 'exhaustive', transitionsMax: 4_000 });
    const found = search();
    expect(found).toMatchObject({ violations: [], complete: false, transitions: 4_000 });
    expect(found.schedules).toBeGreaterThan(1_000);
    expect(found.choicePoints.classes).toEqual(['exclusive', 'atomic', 'barrier']);
    expect(found.choicePoints.sharedPages.length).toBeGreaterThan(0);
    expect(search()).toEqual(found);
  });

  test('with lost-doorbell the wake-up is lost after a preemption of L0, and the path replays to a machine where nothing can happen', () => {
    const found = exploreScenario(prepared(['lost-doorbell']), { strategy: 'exhaustive', minimiseStepsMax: 10_000 });
    expect(found.violations).toHaveLength(1);
    const [violation] = found.violations;
    expect(violation!.message).toContain('every vCPU waits');
    expect(violation!.choices.some((choice) => choice.type === 'preempt')).toBe(true);

    const fresh = prepared(['lost-doorbell']);
    let world = fresh.world;
    for (const choice of [...found.prefix, ...violation!.choices]) ({ world } = step(world, choice));
    expect(judge(scenario, world)).toEqual({ outcome: 'failed', reason: violation!.message });
    expect(world.state.actors['kvm:1']).toMatchObject({ mode: 'blocked', wakeRequested: false });
    expect(fingerprint(world)).toMatch(/^[0-9a-f]{32}$/);
  });

  test('with the wake-up taken out of L0 the search fails at its first schedules', () => {
    const broken = prepared();
    Object.assign(broken.world.engine.behaviour, { wake: () => false });
    const found = exploreScenario(broken, { strategy: 'exhaustive', transitionsMax: 4_000, minimiseStepsMax: 2_000 });
    expect(found.violations.map(({ message }) => message)).toEqual(['nothing can happen any more: every vCPU waits and no alarm is armed']);
  });
});
