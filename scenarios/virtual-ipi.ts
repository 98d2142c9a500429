/** Do interrupts that L2's vCPUs send each other arrive, asleep or awake? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'virtual-ipi', payload: 'virtual-ipi', vcpus: 2, question: "Do interrupts that L2's vCPUs send each other arrive, asleep or awake?" };
export default scenario;
