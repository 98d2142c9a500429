/** The firmware configuration device's state as one line of text. */

import { hex } from '../bits.ts';
import type { FirmwareConfigurationState } from './state.ts';

export const describeFirmwareConfiguration = (state: FirmwareConfigurationState): string => `fw_cfg: item ${hex(state.key, 4)} is selected, ${state.offset} bytes of it read`;
