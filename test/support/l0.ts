/** L0's hardware for unit tests of its actors: a board under `kvm` with VNCR pages, and an Out that writes down what it hears. */

import { produce } from 'immer';
import { vncrPage, type Board, type Features, type Stage2Answer } from '../../machines/aarch64/board.ts';
import type { Core } from '../../machines/aarch64/state.ts';
import { readWord, writeWord, type Memory } from '../../machines/memory/memory.ts';
import type { Out } from '../../machines/messages.ts';
import { bareCore } from './core.ts';

export interface Sent { readonly to: string; readonly message: { readonly type: string; readonly [field: string]: unknown } }

/** One actor on a board: `tell` gives it a message as the world does (an Immer draft of its state), and `sent` collects what it says. */
export interface Bench<State, Message> {
  readonly board: Board;
  readonly memory: Memory;
  readonly core: Core;
  state: State;
  readonly sent: Sent[];
  readonly events: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[];
  readonly alarms: Record<string, number | undefined>;
  tell(...messages: readonly Message[]): Bench<State, Message>;
  /** Moves the clock to `ns`. */
  at(ns: number): Bench<State, Message>;
  /** What was sent to `to` since the last time this was asked. */
  take(to: string): Sent['message'][];
  page(offset: number, vcpu?: number): bigint;
  setPage(offset: number, value: bigint, vcpu?: number): void;
}

export interface BenchOptions { readonly vcpus?: number; readonly features?: Partial<Features>; readonly stage2?: (vttbr: bigint, ipa: number) => Stage2Answer }

export function bench<State, Message>(receive: (state: State, message: Message, out: Out, board: Board) => void, initial: State, options: BenchOptions = {}): Bench<State, Message> {
  const vcpus = options.vcpus ?? 1;
  const { board, memory, core } = bareCore({
    el2: 'kvm', cores: vcpus, ...(options.features && { features: options.features }), ...(options.stage2 && { stage2: options.stage2 }),
  });
  const self: Bench<State, Message> = {
    board, memory, core, state: initial, sent: [], events: [], alarms: {},
    tell(...messages) {
      for (const message of messages) {
        const out: Out = {
          now: board.now,
          send: (to, said) => { self.sent.push({ to, message: said as Sent['message'] }); },
          alarm: (name, deadlineNs) => { self.alarms[name] = deadlineNs; },
          event: (event, fields = {}) => { self.events.push({ event, fields }); },
        };
        self.state = produce(self.state, (draft) => receive(draft as State, message, out, board)) as State;
      }
      return self;
    },
    at(ns) {
      board.now = ns;
      return self;
    },
    take(to) {
      const taken = self.sent.filter((said) => said.to === to).map(({ message }) => message);
      self.sent.splice(0, self.sent.length, ...self.sent.filter((said) => said.to !== to));
      return taken;
    },
    page: (offset, vcpu = 0) => readWord(memory, vncrPage(vcpu) + offset),
    setPage: (offset, value, vcpu = 0) => writeWord(memory, vncrPage(vcpu) + offset, value),
  };
  return self;
}
