/** Does L2 get its interrupts by priority, and do its EOIs reach L1? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'eoi', payload: 'eoi', vcpus: 1, question: "Does L2 get its interrupts by priority, and do its EOIs reach L1?" };
export default scenario;
