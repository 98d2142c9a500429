/** The GPIO's state as one line of text. */

import { hex } from '../bits.ts';
import { levelsOf, rawOf, type GpioState } from './state.ts';

export function describeGpio(state: GpioState): string {
  return `GPIO: lines ${hex(levelsOf(state), 2)}, outputs ${hex(state.direction, 2)}, raised ${hex(rawOf(state), 2)}, unmasked ${hex(state.mask, 2)}, line ${state.line ? 'high' : 'low'}`;
}
