/** Does a vCPU that sleeps always hear the one interrupt sent to it? */

import type { Scenario } from './scenario.ts';

/** HYPERCALL_MARKER of guests/abi.h. */
const MARKER = 0xc600_0002n;

/** Nothing here spins or reads a counter, so that the search may leave the clock out of its states. */
const scenario: Scenario = {
  name: 'two-vcpus-ipi', payload: 'two-vcpus-ipi', vcpus: 2, vcpusMin: 2, question: 'Does a vCPU that sleeps always hear the one interrupt sent to it?',
  explorePlace: (event) => (event.event === 'kvm_hvc_arm64' && event.r0 === MARKER ? (event.vcpu as number) : undefined),
};
export default scenario;
