/** Are faults at L1's stage 2 L1's, and its upgrades seen by L2? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'stage2-fault', payload: 'stage2-fault', vcpus: 1, question: "Are faults at L1's stage 2 L1's, and its upgrades seen by L2?" };
export default scenario;
