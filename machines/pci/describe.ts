/** The host bridge and its functions as text, a line each. */

import { hex } from '../bits.ts';
import { barBase, DEVICE_BAR } from './registers.ts';
import type { PcieState } from './state.ts';

export const describePcie = ({ functions }: PcieState): string => functions.map((found) => {
  const { device, vendorId, deviceId, behind, command, msix, asserted } = found;
  const what = behind === null ? 'host bridge' : `${behind} at ${hex(barBase(found, DEVICE_BAR))}, MSI-X ${msix.enabled ? 'on' : 'off'}, INTA ${asserted ? 'asserted' : 'quiet'}`;
  return `00:${device.toString(16).padStart(2, '0')}.0 ${vendorId.toString(16)}:${deviceId.toString(16).padStart(4, '0')} ${what}, command ${hex(command)}`;
}).join('\n');
