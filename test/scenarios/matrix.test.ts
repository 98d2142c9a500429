/** Every scenario in every setting: it passes, nothing that must hold is ever broken, and it is the same run each time. */

import { describe, expect, test } from 'vitest';
import { SCENARIOS } from '../../scenarios/all.ts';
import { INVARIANTS, listRegistersFold } from '../../scenarios/invariants.ts';
import { plainRun, runToEnd, settingsOf, textOf, THOROUGH, type Setting } from '../support/scenario.ts';

/** The long runs of scenarios for one vCPU on two are repeated on request only. */
const isRepeated = ({ scenario, nested, vcpus }: Setting): boolean => THOROUGH || nested === 'none' || nested === 'nv2' || vcpus === scenario.vcpus;

describe.each(SCENARIOS)('$name', (scenario) => {
  test.each(settingsOf(scenario).map((setting) => [textOf(setting), setting] as const))('%s passes', (_, setting) => {
    expect(plainRun(setting)).toMatchObject({ outcome: 'passed', reason: `RESULT ${scenario.payload} PASS` });
  });

  test.each(settingsOf(scenario).filter(isRepeated).map((setting) => [textOf(setting), setting] as const))('%s is the same run when it is run again, and breaks no invariant in any frame', (_, setting) => {
    expect(runToEnd(setting, { properties: [...INVARIANTS, listRegistersFold()] })).toEqual(plainRun(setting));
  });

  test('prints the same under every mechanism', () => {
    for (const setting of settingsOf(scenario, ['nv2', 'nv', 'pv'])) expect(plainRun(setting).console).toBe(plainRun({ ...setting, nested: 'none' }).console);
  });
});
