/** CRC-32 and CRC-32C as the CRC32 instructions compute them: bits reflected, no inversion before or after. */

/** The checksum of `accumulator` extended by the low `bytes` of `data`, least significant byte first. */
export function crc32Of(accumulator: number, data: bigint, bytes: number, castagnoli: boolean): number {
  const table = castagnoli ? CASTAGNOLI : IEEE;
  let crc = accumulator >>> 0;
  for (let at = 0; at < bytes; at += 1) {
    const byte = Number((data >> BigInt(8 * at)) & 0xffn);
    crc = (crc >>> 8) ^ table[(crc ^ byte) & 255]!;
  }
  return crc >>> 0;
}

/** The table of a reflected polynomial. */
function tableOf(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, index) => {
    let crc = index;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : polynomial);
    return crc >>> 0;
  });
}

const IEEE = tableOf(0xedb8_8320);
const CASTAGNOLI = tableOf(0x82f6_3b78);
