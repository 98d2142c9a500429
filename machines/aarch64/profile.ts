/** Where an engine's time goes, when somebody asks: counts, and milliseconds by a clock that the asker brings. Wiring, not state: it changes nothing that a guest can see. */

/** What is counted. An engine adds to what it has; the rest stays 0. */
export const PROFILE_COUNTS = {
  /** Instructions attempted one by one, and in translated code. */
  interpreted: 0, translated: 0,
  /** Regions of code translated (runs fused, for the interpreter), modules compiled of them, and regions dropped because their bytes, their mapping or their context changed. */
  regions: 0, modules: 0, dropped: 0,
  /** Addresses that the fast arrays did not have; those of them for which the tables were walked. */
  misses: 0, walks: 0,
  /** Runs of a vCPU, those that ended before their budget, and messages delivered between actors. */
  runs: 0, exits: 0, messages: 0,
};

/** What is timed, in milliseconds. Each is a part of `running`, but for `messages`, which is beside it. */
export const PROFILE_MS = {
  /** In `run`, all of it. */
  running: 0,
  /** In translated code; reading decoded instructions and writing code for them; finding what the fast arrays did not have. */
  translated: 0, translating: 0, misses: 0,
  /** Delivering messages. */
  messages: 0,
};

export interface Profile {
  /** Milliseconds since some instant. */
  readonly clock: () => number;
  readonly counts: Record<keyof typeof PROFILE_COUNTS, number>;
  readonly ms: Record<keyof typeof PROFILE_MS, number>;
}

/** A profile with everything at 0: put it on a board, run, read it. */
export const createProfile = (clock: () => number): Profile => ({ clock, counts: { ...PROFILE_COUNTS }, ms: { ...PROFILE_MS } });
