/** Every scenario in every setting: it passes, nothing that must hold is ever broken, and it is the same run each time. */

import { describe, expect, test } from 'vitest';
import { SCENARIOS } from '../../scenarios/all.ts';
import { INVARIANTS, listRegistersFold } from '../../scenarios/invariants.ts';
import { runToEnd, settingsOf, textOf, THOROUGH, type Ran, type Setting } from '../support/scenario.ts';

const named = (settings: readonly Setting[]) => settings.map((setting) => [textOf(setting), setting] as const);
/** Those that are run a second time: each scenario under each mechanism and flavour on its own number of vCPUs, all on request. */
const repeated = (settings: readonly Setting[]): Setting[] => settings.filter(({ scenario, vcpus }) => THOROUGH || vcpus === scenario.vcpus);

describe.each(SCENARIOS)('$name', (scenario) => {
  const runs = new Map<string, Ran>();
  const watched = (setting: Setting): Ran => {
    const key = textOf(setting);
    if (!runs.has(key)) runs.set(key, runToEnd(setting, { properties: [...INVARIANTS, listRegistersFold()] }));
    return runs.get(key)!;
  };

  test.each(named(settingsOf(scenario)))('%s passes, and no invariant is broken in any frame', (_, setting) => {
    expect(watched(setting)).toMatchObject({ outcome: 'passed', reason: `RESULT ${scenario.payload} PASS` });
  });

  test.each(named(repeated(settingsOf(scenario))))('%s is the same run, frame by frame, when it is run again', (_, setting) => {
    expect(runToEnd(setting)).toEqual(watched(setting));
  });

  test('prints the same under every mechanism', () => {
    for (const setting of settingsOf(scenario, ['nv2', 'nv', 'pv'])) expect(watched(setting).console).toBe(watched({ ...setting, nested: 'none' }).console);
  });
});
