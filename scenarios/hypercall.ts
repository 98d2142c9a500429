/** What does an L2 hypercall cost? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'hypercall', payload: 'hypercall', vcpus: 1, question: "What does an L2 hypercall cost?" };
export default scenario;
