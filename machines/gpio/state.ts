/** The state of the PL061 GPIO: eight lines, their registers, reset values, and what always holds. Arm DDI 0190. */

export interface GpioState {
  /** What is driven on the lines from outside. */
  inputs: number;
  /** GPIODATA's output latch. */
  data: number;
  /** GPIODIR: 1 is an output. */
  direction: number;
  /** GPIOIS: 1 is level-sensitive. */
  sense: number;
  /** GPIOIBE. */
  bothEdges: number;
  /** GPIOIEV: 1 is rising edge or high. */
  event: number;
  /** GPIOIE. */
  mask: number;
  /** Edges that were seen and not cleared. */
  edges: number;
  /** GPIOAFSEL. */
  alternate: number;
  /** The interrupt line as the distributor was last told. */
  line: boolean;
}

export const initialGpio = (): GpioState => ({ inputs: 0, data: 0, direction: 0, sense: 0, bothEdges: 0, event: 0, mask: 0, edges: 0, alternate: 0, line: false });

/** The level of the lines: what is driven out where they are outputs, what comes in elsewhere. */
export const levelsOf = (state: GpioState): number => (state.data & state.direction) | (state.inputs & ~state.direction & 0xff);

/** GPIORIS: edges that are remembered, and levels of inputs as they are. */
export const rawOf = (state: GpioState): number => (state.edges & ~state.sense) | (state.sense & ~state.direction & ~(levelsOf(state) ^ state.event) & 0xff);

/** Sentences about what does not hold, none when all is well. */
export function gpioFaults(state: GpioState): string[] {
  const faults: string[] = [];
  for (const [name, value] of Object.entries(state)) if (name !== 'line' && ((value as number) & ~0xff) !== 0) faults.push(`${name} is ${String(value)}, more than eight lines`);
  if (state.line !== ((rawOf(state) & state.mask) !== 0)) faults.push(`the line is ${state.line ? 'high' : 'low'} with RIS ${rawOf(state)} and IE ${state.mask}`);
  return faults;
}
