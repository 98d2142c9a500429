/** Do an L2's accesses to a device that L1 emulates arrive whole? */

import type { Scenario } from './scenario.ts';

const scenario: Scenario = { name: 'device-access', payload: 'device-access', vcpus: 1, question: "Do an L2's accesses to a device that L1 emulates arrive whole?" };
export default scenario;
