/** What the firmware configuration device holds, by key: numbers and images at fixed keys, files behind a directory. QEMU: docs/specs/fw_cfg.rst, include/standard-headers/linux/qemu_fw_cfg.h. */

/** Bytes by key. They are given when the machine is built and never change, so that they are no state. */
export type FirmwareItems = Readonly<Record<number, Uint8Array>>;

export interface FirmwareFile {
  /** At most 55 characters of ASCII, such as `opt/org.example/words`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What a machine tells its firmware. */
export interface FirmwareSettings {
  readonly cpus: number;
  /** The kernel's file as it is, for firmware to start. */
  readonly kernel?: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly commandLine?: string;
  readonly files: readonly FirmwareFile[];
}

export const Key = {
  SIGNATURE: 0x00, ID: 0x01, UUID: 0x02, NOGRAPHIC: 0x04, NB_CPUS: 0x05, KERNEL_SIZE: 0x08, INITRD_SIZE: 0x0b, BOOT_MENU: 0x0e, MAX_CPUS: 0x0f, KERNEL_DATA: 0x11,
  INITRD_DATA: 0x12, CMDLINE_SIZE: 0x14, CMDLINE_DATA: 0x15, FILE_DIR: 0x19, FILE_FIRST: 0x20,
} as const;

/** FW_CFG_ID: the traditional interface, and DMA. */
const FEATURES = 3;
export const NAME_BYTES = 56;

/** The items of a machine. Throws RangeError for a file's name that the directory cannot hold; whoever takes names from a user checks them. */
export function firmwareItems({ cpus, kernel, initrd, commandLine, files }: FirmwareSettings): FirmwareItems {
  const line = commandLine === undefined ? undefined : new TextEncoder().encode(`${commandLine}\0`);
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return {
    [Key.SIGNATURE]: new TextEncoder().encode('QEMU'), [Key.ID]: little(FEATURES, 4), [Key.UUID]: new Uint8Array(16), [Key.NOGRAPHIC]: little(1, 2),
    [Key.NB_CPUS]: little(cpus, 2), [Key.MAX_CPUS]: little(cpus, 2), [Key.BOOT_MENU]: little(0, 2),
    ...(kernel && { [Key.KERNEL_SIZE]: little(kernel.length, 4), [Key.KERNEL_DATA]: kernel }),
    ...(initrd && { [Key.INITRD_SIZE]: little(initrd.length, 4), [Key.INITRD_DATA]: initrd }),
    ...(line && { [Key.CMDLINE_SIZE]: little(line.length, 4), [Key.CMDLINE_DATA]: line }),
    [Key.FILE_DIR]: directory(sorted),
    ...Object.fromEntries(sorted.map((file, index) => [Key.FILE_FIRST + index, file.bytes])),
  };
}

/** The number of files, then for each its size, key and name; numbers are big-endian. */
function directory(files: readonly FirmwareFile[]): Uint8Array {
  const bytes = new Uint8Array(4 + 64 * files.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, files.length);
  for (const [index, file] of files.entries()) {
    const name = new TextEncoder().encode(file.name);
    if (name.length >= NAME_BYTES) throw new RangeError(`${file.name} has more than ${NAME_BYTES - 1} bytes`);
    view.setUint32(4 + 64 * index, file.bytes.length);
    view.setUint16(8 + 64 * index, Key.FILE_FIRST + index);
    bytes.set(name, 12 + 64 * index);
  }
  return bytes;
}

function little(value: number, bytes: 2 | 4): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => (value >>> (8 * index)) & 0xff);
}
