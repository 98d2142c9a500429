/** A kernel's modules: which are needed for given drivers, in the order in which they can be loaded. */

/** A module's own name for itself: `virtio-rng.ko.xz` is virtio_rng. */
export const moduleName = (path: string): string => path.slice(path.lastIndexOf('/') + 1).replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_');

/** The modules that a module says it depends on, in its section `.modinfo`: strings NAME=VALUE, each with a zero behind it. */
export function dependsOf(module: Uint8Array): string[] {
  const depends = modinfo(module).find((line) => line.startsWith('depends='));
  return (depends ?? 'depends=').slice('depends='.length).split(',').filter((name) => name !== '').map((name) => name.replaceAll('-', '_'));
}

/**
 * The files to load for the drivers `wanted`, each after those it depends on. `paths` are all modules of the kernel, `builtin` the
 * names of those that it has built in. A driver that is neither is an error.
 */
export function loadOrder(wanted: readonly string[], paths: readonly string[], builtin: ReadonlySet<string>, read: (path: string) => Uint8Array): string[] {
  const byName = new Map(paths.map((path) => [moduleName(path), path]));
  const order: string[] = [];
  const visit = (name: string): void => {
    const path = byName.get(name);
    if (path === undefined) {
      if (!builtin.has(name)) throw new Error(`this kernel has no ${name}, neither as a module nor built in`);
      return;
    }
    if (order.includes(path)) return;
    for (const each of dependsOf(read(path))) visit(each);
    order.push(path);
  };
  for (const name of wanted) visit(name);
  return order;
}

/** ELF64, little-endian: the header has the offset of the section headers at 0x28, their size, number and names' index from 0x3a on. */
function modinfo(module: Uint8Array): string[] {
  const view = new DataView(module.buffer, module.byteOffset, module.byteLength);
  if (view.getUint32(0) !== 0x7f45_4c46) throw new Error('a module that is no ELF file');
  const headers = Number(view.getBigUint64(0x28, true));
  const size = view.getUint16(0x3a, true);
  const section = (index: number): { name: number; offset: number; length: number } => {
    const at = headers + index * size;
    return { name: view.getUint32(at, true), offset: Number(view.getBigUint64(at + 0x18, true)), length: Number(view.getBigUint64(at + 0x20, true)) };
  };
  const text = (from: number, to: number): string => Buffer.from(module.subarray(from, to)).toString('latin1');
  const names = section(view.getUint16(0x3e, true));
  for (let index = 0; index < view.getUint16(0x3c, true); index++) {
    const { name, offset, length } = section(index);
    if (text(names.offset + name, names.offset + name + 9) === '.modinfo\0') return text(offset, offset + length).split('\0');
  }
  return [];
}
