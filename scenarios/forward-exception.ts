/** Does an exception that L1 forwards reach L2's vector, on every vCPU? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'forward-exception', payload: 'forward-exception', vcpus: 2, question: "Does an exception that L1 forwards reach L2's vector, on every vCPU?" };
export default scenario;
