/** The interrupt translation service: devices' message-signalled interrupts become LPIs of a PE, by tables that commands in the guest's memory set up. Arm IHI 0069, chapter 5. */

import type { DirectMemory, ItsMessage, Out } from '../messages.ts';
import { carryOut, signal, type Command } from './commands.ts';
import { answerRead, GITS_TRANSLATER, ITS_REGISTERS, rowOf, writeRegister } from './registers.ts';
import { queueBytes, type ItsState } from './state.ts';

/** Changes `state` in place; the command queue and the tables are in `memory`. */
export function receive(state: ItsState, message: ItsMessage, out: Out, memory: DirectMemory): void {
  switch (message.type) {
    case 'read':
      answerRead(ITS_REGISTERS, 'GITS', state, message, out);
      return;
    case 'write': {
      const row = rowOf(ITS_REGISTERS, 'GITS', message, out);
      if (row === undefined) return;
      // A PE that writes it has no DeviceID of its own: it is device 0, as on QEMU's board.
      if (row.offset === GITS_TRANSLATER) translate(state, memory, out, 0, Number(message.value));
      else {
        writeRegister(row, state, message.offset, message.bytes, message.value);
        carryOutQueue(state, memory, out);
      }
      return;
    }
    case 'msi':
      translate(state, memory, out, message.deviceId, message.eventId);
      return;
  }
}

/** An interrupt that nothing is mapped for is lost, and so is every one while the ITS is disabled. */
function translate(state: ItsState, memory: DirectMemory, out: Out, deviceId: number, eventId: number): void {
  const result = state.enabled ? signal(state, memory, out, deviceId, eventId) : 'disabled';
  if (result !== 'done') out.event('its_lost_interrupt', { device: deviceId, event: eventId, why: result });
}

const COMMAND_BYTES = 32;

/**
 * Carries out the commands from GITS_CREADR to GITS_CWRITER, at once. A command in error is ignored, and told as an event; one that lies outside RAM,
 * or whose tables do, stalls the queue until the guest writes GITS_CWRITER.Retry: the architecture leaves the choice.
 */
function carryOutQueue(state: ItsState, memory: DirectMemory, out: Out): void {
  const bytes = queueBytes(state.cbaser);
  if (!state.enabled || state.cwriter >= bytes || state.creadr >= bytes) return;
  const base = Number(state.cbaser & 0x000f_ffff_ffff_f000n);
  while (state.creadr !== state.cwriter && !state.stalled) {
    const command = readCommand(memory, base + state.creadr);
    const { name, result } = command === undefined ? { name: 'command', result: 'unreachable' as const } : carryOut(state, memory, out, command);
    if (result !== 'done') out.event('its_command_error', { command: name, error: result, offset: state.creadr });
    if (result === 'unreachable') state.stalled = true;
    else state.creadr = (state.creadr + COMMAND_BYTES) % bytes;
  }
}

function readCommand(memory: DirectMemory, place: number): Command | undefined {
  const bytes = memory.read(place, COMMAND_BYTES);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true), view.getBigUint64(16, true), view.getBigUint64(24, true)];
}
