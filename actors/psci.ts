/** The board's firmware and power controller: PSCI on a board without EL3, and the requests that end a run or restart the machine. Arm DEN0022. */

import type { Board } from '../machines/aarch64/board.ts';
import { Power, setRegister, Word } from '../machines/aarch64/state.ts';
import { ALREADY_ON, drawRandom, firmwareCall, initialEntropy, PSCI_SUCCESS } from '../machines/kvm/psci.ts';
import type { Out, PsciMessage } from '../machines/messages.ts';

export interface PsciState {
  /** What the guest asked for last. `reset` lasts until the end of the step, unless the machine is to stop then. */
  power: 'on' | 'off' | 'reset';
  /** The generator behind TRNG_RND. */
  entropy: bigint;
}

export const initialPsci = (seed: number): PsciState => ({ power: 'on', entropy: initialEntropy(seed, 0) });

export function receive(state: PsciState, message: PsciMessage, out: Out, board: Board): void {
  if (message.type === 'power') {
    state.power = message.request;
    out.event(message.request === 'off' ? 'system_off' : 'system_reset');
    return;
  }
  const caller = message.from;
  const request = firmwareCall(message.arguments, board.cores.length);
  const core = board.cores[Number(caller.slice(5))]!;
  out.event('psci_call', { vcpu: core.index, function: message.arguments[0], request: request.type });
  const answer = (value: bigint, more: readonly bigint[] = []): void => out.send(caller, { type: 'firmware-reply', value, more });
  switch (request.type) {
    case 'answer': return answer(request.value, request.more);
    case 'cpu-on': {
      const target = board.cores[request.target]!;
      if (target.words[Word.POWER] !== BigInt(Power.OFF)) return answer(ALREADY_ON);
      out.send(`vcpu:${request.target}`, { type: 'start', entry: request.entry, context: request.context });
      return answer(PSCI_SUCCESS);
    }
    case 'affinity-info': return answer(board.cores[request.target]!.words[Word.POWER] === BigInt(Power.OFF) ? 1n : 0n);
    case 'cpu-suspend':
      setRegister(core, Word.POWER, BigInt(Power.WFI));
      return answer(PSCI_SUCCESS);
    case 'cpu-off': return out.send(caller, { type: 'stop' });
    case 'random': {
      const drawn = drawRandom(state.entropy, request);
      state.entropy = drawn.entropy;
      return answer(PSCI_SUCCESS, drawn.values);
    }
    case 'power':
      state.power = request.request;
      out.event(request.request === 'off' ? 'system_off' : 'system_reset');
      return;
  }
}
