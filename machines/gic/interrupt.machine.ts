/** The lifecycle of one interrupt in the GIC, as a chart: what people read, draw and test. bank.ts runs it, for 32 interrupts at once. Arm IHI 0069, 4.1.2. */

import { assign, setup } from 'xstate';

export type InterruptEvent =
  | { type: 'raise' } | { type: 'lower' }
  /** Writes to ISPENDR, ICPENDR, ISACTIVER and ICACTIVER; an SGI is a `set-pending`. */
  | { type: 'set-pending' } | { type: 'clear-pending' } | { type: 'set-active' } | { type: 'clear-active' }
  | { type: 'acknowledge' } | { type: 'release' } | { type: 'deactivate' };

export interface InterruptContext {
  readonly trigger: 'edge' | 'level';
  /** The input line is high. */
  readonly line: boolean;
  /** It pends for another reason than its level. */
  readonly latched: boolean;
}

export const interruptChart = setup({
  types: { context: {} as InterruptContext, events: {} as InterruptEvent, input: {} as { trigger: 'edge' | 'level' } },
  guards: {
    rises: ({ context }) => context.trigger === 'level' || !context.line,
    /** Only its level keeps it pending. */
    byLevelAlone: ({ context }) => context.trigger === 'level' && !context.latched,
    levelHigh: ({ context }) => context.trigger === 'level' && context.line,
  },
  actions: {
    raise: assign(({ context }) => ({ line: true, latched: context.latched || (context.trigger === 'edge' && !context.line) })),
    lower: assign({ line: false }),
    latch: assign({ latched: true }),
    unlatch: assign({ latched: false }),
  },
}).createMachine({
  id: 'interrupt',
  context: ({ input }) => ({ trigger: input.trigger, line: false, latched: false }),
  initial: 'inactive',
  states: {
    inactive: {
      on: {
        raise: [{ guard: 'rises', target: 'pending', actions: 'raise' }, { actions: 'raise' }],
        lower: { actions: 'lower' },
        'set-pending': { target: 'pending', actions: 'latch' },
        'set-active': 'active',
        acknowledge: 'active',
        release: { target: 'pending', actions: 'latch' },
      },
    },
    pending: {
      on: {
        raise: { actions: 'raise' },
        lower: [{ guard: 'byLevelAlone', target: 'inactive', actions: 'lower' }, { actions: 'lower' }],
        'set-pending': { actions: 'latch' },
        'clear-pending': [{ guard: 'levelHigh', actions: 'unlatch' }, { target: 'inactive', actions: 'unlatch' }],
        'set-active': 'activeAndPending',
        release: { actions: 'latch' },
        acknowledge: [{ guard: 'levelHigh', target: 'activeAndPending', actions: 'unlatch' }, { target: 'active', actions: 'unlatch' }],
      },
    },
    active: {
      on: {
        raise: [{ guard: 'rises', target: 'activeAndPending', actions: 'raise' }, { actions: 'raise' }],
        lower: { actions: 'lower' },
        'set-pending': { target: 'activeAndPending', actions: 'latch' },
        'clear-active': 'inactive',
        deactivate: 'inactive',
        release: { target: 'pending', actions: 'latch' },
      },
    },
    activeAndPending: {
      on: {
        raise: { actions: 'raise' },
        lower: [{ guard: 'byLevelAlone', target: 'active', actions: 'lower' }, { actions: 'lower' }],
        'set-pending': { actions: 'latch' },
        'clear-pending': [{ guard: 'levelHigh', actions: 'unlatch' }, { target: 'active', actions: 'unlatch' }],
        'clear-active': 'pending',
        deactivate: 'pending',
        release: { target: 'pending', actions: 'latch' },
        // No CPU interface does it, but what was taken is active: the same as from pending.
        acknowledge: [{ guard: 'levelHigh', actions: 'unlatch' }, { target: 'active', actions: 'unlatch' }],
      },
    },
  },
});
