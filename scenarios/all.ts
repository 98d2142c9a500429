/** The built-in scenarios, in the order in which `zeno scenarios` lists them. */

import deviceAccess from './device-access.ts';
import eoi from './eoi.ts';
import forwardException from './forward-exception.ts';
import hypercall from './hypercall.ts';
import type { Scenario } from './scenario.ts';
import stage2Fault from './stage2-fault.ts';
import timerInterrupt from './timer-interrupt.ts';
import twoVcpusIpi from './two-vcpus-ipi.ts';
import virtualIpi from './virtual-ipi.ts';

export const SCENARIOS: readonly Scenario[] = [hypercall, deviceAccess, timerInterrupt, virtualIpi, stage2Fault, eoi, forwardException, twoVcpusIpi];
