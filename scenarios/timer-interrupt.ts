/** Does L2's virtual timer reach it through the list register that L1 programmed? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'timer-interrupt', payload: 'timer-interrupt', vcpus: 1, question: "Does L2's virtual timer reach it through the list register that L1 programmed?" };
export default scenario;
