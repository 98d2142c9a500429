/** The state of QEMU's firmware configuration device: which item is selected and how far it was read, with its reset value. QEMU: docs/specs/fw_cfg.rst. */

export interface FirmwareConfigurationState {
  /** The key written to the selector last. */
  key: number;
  /** Bytes of the item that were read or skipped. */
  offset: number;
  /** The upper half of the DMA address, until the lower one is written. */
  dmaAddressHigh: number;
}

export const initialFirmwareConfiguration = (): FirmwareConfigurationState => ({ key: 0, offset: 0, dmaAddressHigh: 0 });

/** Sentences about what does not hold, none when all is well. */
export function firmwareConfigurationFaults(state: FirmwareConfigurationState): string[] {
  const faults: string[] = [];
  if (!(Number.isInteger(state.key) && state.key >= 0 && state.key <= 0xffff)) faults.push(`the selector is ${state.key}, no 16-bit number`);
  if (!(Number.isSafeInteger(state.offset) && state.offset >= 0)) faults.push(`the offset is ${state.offset}`);
  return faults;
}
