/** Executables for `qemu-aarch64`, made from bytes. */

/** Bytes of the headers, which take the place of the first of the contents. */
const HEADER_BYTES = 120;

/** A static ELF executable of AArch64 with one segment, readable, writable and executable: `contents` at address `at`, zeros in the `roomBytes` behind, begun at `entry`. */
export function executable(contents: Uint8Array, { at, entry, roomBytes }: { readonly at: number; readonly entry: number; readonly roomBytes: number }): Uint8Array {
  const file = contents.slice();
  const view = new DataView(file.buffer);
  file.fill(0, 0, HEADER_BYTES);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 183, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setUint32(68, 7, true);
  view.setBigUint64(80, BigInt(at), true);
  view.setBigUint64(88, BigInt(at), true);
  view.setBigUint64(96, BigInt(file.length), true);
  view.setBigUint64(104, BigInt(file.length + roomBytes), true);
  view.setBigUint64(112, 4096n, true);
  return file;
}
