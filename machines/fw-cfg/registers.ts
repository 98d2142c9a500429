/** The firmware configuration device's registers as rows. All are big-endian, so that the bytes of an item lie in memory as they come. QEMU: docs/specs/fw_cfg.rst. */

export interface FirmwareConfigurationRegister {
  readonly name: 'data' | 'selector' | 'dma';
  readonly offset: number;
  readonly bytes: number;
}

export const FIRMWARE_CONFIGURATION_REGISTERS: readonly FirmwareConfigurationRegister[] = [
  { name: 'data', offset: 0x00, bytes: 8 },
  { name: 'selector', offset: 0x08, bytes: 2 },
  // Writing the lower half starts the transfer; reading gives the signature "QEMU CFG".
  { name: 'dma', offset: 0x10, bytes: 8 },
];

/** Bits of the control word of a transfer. With SELECT the key is in its upper half. */
export const Control = { ERROR: 1, READ: 2, SKIP: 4, SELECT: 8, WRITE: 16 } as const;
