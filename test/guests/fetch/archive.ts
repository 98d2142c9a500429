/** An archive in cpio's format "newc", which kernels unpack as their first file system. Equal files give equal bytes. */

export interface Entry {
  /** Without a slash in front. */
  readonly path: string;
  readonly type: 'folder' | 'file' | 'link';
  /** Of a file its bytes, of a link where it leads. */
  readonly data?: Uint8Array | string;
  readonly executable?: boolean;
}

const TYPES = { folder: 0o040_000, file: 0o100_000, link: 0o120_000 };

/** Entries are sorted, which puts folders before what is in them; owner is root, and the time is 0. */
export function archive(entries: readonly Entry[]): Uint8Array {
  const sorted = entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const parts = sorted.flatMap(({ path, type, data = '', executable }, index) => {
    const mode = TYPES[type] | (type === 'file' && executable !== true ? 0o644 : type === 'link' ? 0o777 : 0o755);
    return record(index + 1, path, mode, type === 'folder' ? 2 : 1, Buffer.from(data));
  });
  return Buffer.concat([...parts, ...record(0, 'TRAILER!!!', 0, 1, Buffer.alloc(0))]);
}

/** The header has thirteen numbers of eight digits behind its magic: inode, mode, owner, group, links, time, size, four of devices, length of the name, check. */
function record(inode: number, path: string, mode: number, links: number, data: Buffer): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  const numbers = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const head = Buffer.concat([Buffer.from(`070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`), name]);
  return [head, padding(head.length), data, padding(data.length)];
}

const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);
