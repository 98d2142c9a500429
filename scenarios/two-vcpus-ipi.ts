/** Does a vCPU that sleeps always hear the one interrupt sent to it? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'two-vcpus-ipi', payload: 'two-vcpus-ipi', vcpus: 2, question: "Does a vCPU that sleeps always hear the one interrupt sent to it?" };
export default scenario;
