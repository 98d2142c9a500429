/** The few file operations that recordings need, as an interface, and an implementation in memory. */

/** Paths are joined with `/`. Every operation throws when it fails. */
export interface Files {
  /** Names in a directory, sorted; empty when there is no such directory. */
  list(directory: string): readonly string[];
  /** Bytes in a file, or undefined when there is none. */
  size(path: string): number | undefined;
  /** Up to `length` bytes at `offset`. */
  read(path: string, offset: number, length: number): Uint8Array;
  /** Adds all of `bytes` at the end, making the file if need be. When it throws, some of them may have been added. */
  append(path: string, bytes: Uint8Array): void;
  truncate(path: string, size: number): void;
  /** Returns when the file's bytes are on disk. */
  sync(path: string): void;
  /** Makes `bytes` the whole file, on disk: a crash leaves the old file or the new one. */
  replace(path: string, bytes: Uint8Array): void;
  remove(path: string): void;
  makeDirectory(path: string): void;
}

/** Files of a page or a test. */
export function memoryFiles(files: Map<string, Uint8Array> = new Map()): Files & { readonly files: Map<string, Uint8Array> } {
  const held = (path: string): Uint8Array => {
    const bytes = files.get(path);
    if (bytes === undefined) throw new Error(`${path}: there is no such file`);
    return bytes;
  };
  return {
    files,
    list: (directory) => [...files.keys()].filter((path) => path.startsWith(`${directory}/`)).map((path) => path.slice(directory.length + 1)).sort(),
    size: (path) => files.get(path)?.length,
    read: (path, offset, length) => held(path).slice(offset, offset + length),
    append(path, bytes) {
      const old = files.get(path) ?? new Uint8Array(0);
      const all = new Uint8Array(old.length + bytes.length);
      all.set(old);
      all.set(bytes, old.length);
      files.set(path, all);
    },
    truncate(path, size) { files.set(path, held(path).slice(0, size)); },
    sync() {},
    replace(path, bytes) { files.set(path, bytes.slice()); },
    remove(path) { files.delete(path); },
    makeDirectory() {},
  };
}
