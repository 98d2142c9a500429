/** Writes and reads flattened device trees (DTB, version 17). Source: Devicetree Specification 0.4, chapter 5. */

import { hex } from '../machines/bits.ts';
import { badByte, InputError } from './input-error.ts';

export interface DeviceTreeProperty { readonly name: string; readonly value: Uint8Array }
/** A node; the root's name is ''. */
export interface DeviceTreeNode { readonly name: string; readonly properties: readonly DeviceTreeProperty[]; readonly children: readonly DeviceTreeNode[] }

export interface DeviceTree {
  readonly root: DeviceTreeNode;
  /** Physical ranges that the boot program must leave alone. */
  readonly reservations: readonly { readonly address: bigint; readonly bytes: bigint }[];
  readonly bootCpu: number;
}

const MAGIC = 0xd00d_feed;
const HEADER_BYTES = 40;
const BEGIN_NODE = 1, END_NODE = 2, PROPERTY = 3, NOP = 4, END = 9;
/** Deeper than any real tree, shallow enough that readers may recurse. */
const DEPTH_MAX = 64;

/** The blob of `root`, without reservations unless given. The strings block holds each property name once, in order of first use. */
export function flatten(root: DeviceTreeNode, reservations: DeviceTree['reservations'] = [], bootCpu = 0): Uint8Array {
  const structure: number[] = [];
  const strings: number[] = [];
  const offsets = new Map<string, number>();
  const encoder = new TextEncoder();
  const word = (value: number): void => { structure.push(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255); };
  const padded = (bytes: Uint8Array): void => {
    for (const byte of bytes) structure.push(byte);
    while (structure.length % 4 !== 0) structure.push(0);
  };
  const stringOffset = (name: string): number => {
    let offset = offsets.get(name);
    if (offset === undefined) {
      offset = strings.length;
      offsets.set(name, offset);
      strings.push(...encoder.encode(name), 0);
    }
    return offset;
  };
  const write = (node: DeviceTreeNode): void => {
    word(BEGIN_NODE);
    padded(encoder.encode(`${node.name}\0`));
    for (const property of node.properties) {
      word(PROPERTY);
      word(property.value.length);
      word(stringOffset(property.name));
      padded(property.value);
    }
    for (const child of node.children) write(child);
    word(END_NODE);
  };
  write(root);
  word(END);

  const reservationOffset = HEADER_BYTES; // a multiple of 8, as it must be
  const structureOffset = reservationOffset + 16 * (reservations.length + 1);
  const stringsOffset = structureOffset + structure.length;
  const blob = new Uint8Array(Math.ceil((stringsOffset + strings.length) / 8) * 8);
  const view = new DataView(blob.buffer);
  for (const [index, value] of [MAGIC, blob.length, structureOffset, stringsOffset, reservationOffset, 17, 16, bootCpu, strings.length, structure.length].entries()) view.setUint32(index * 4, value);
  for (const [index, { address, bytes }] of reservations.entries()) {
    view.setBigUint64(reservationOffset + index * 16, address);
    view.setBigUint64(reservationOffset + index * 16 + 8, bytes);
  }
  blob.set(structure, structureOffset);
  blob.set(strings, stringsOffset);
  return blob;
}

/** Reads the blob `bytes`, called `name`. Bytes after its total size are ignored. Throws InputError with the byte at fault for anything malformed. */
export function parseDeviceTree(bytes: Uint8Array, name: string): DeviceTree {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bad = (offset: number, wrong: string, right: string): InputError => badByte(name, offset, wrong, right);

  if (bytes.length < HEADER_BYTES) throw bad(bytes.length, `the file ends within the header (${bytes.length} bytes)`, `a device tree has at least ${HEADER_BYTES} bytes: is it cut short?`);
  const field = (offset: number): number => view.getUint32(offset);
  if (field(0) !== MAGIC) throw bad(0, `the magic number is ${hex(field(0), 8)}`, `a device tree blob has ${hex(MAGIC)} (compile a source with dtc)`);
  const total = field(4);
  if (total < HEADER_BYTES || total > bytes.length) throw bad(4, `the total size is ${total} bytes and the file has ${bytes.length}`, `it must be at least ${HEADER_BYTES} and at most the file's size: is it cut short?`);
  const version = field(20), compatible = field(24);
  if (version < 16) throw bad(20, `the version is ${version}`, 'it must be 16 or later');
  if (compatible > 17) throw bad(24, `it can be read only as version ${compatible} or later`, 'it must be readable as version 17');
  const structure = { from: field(8), to: total };
  // Version 16 has no size of the structure block.
  if (version >= 17) {
    if (field(36) > total - Math.min(structure.from, total)) throw bad(36, `the structure block has ${field(36)} bytes at ${hex(structure.from)}`, `it must end within the ${total} bytes`);
    structure.to = structure.from + field(36);
  }
  const strings = { from: field(12), to: field(12) + field(32) };
  const reservationOffset = field(16);
  if (structure.from % 4 !== 0 || structure.from < HEADER_BYTES || structure.from > total) throw bad(8, `the structure block is at ${hex(structure.from)}`, `it must be at a multiple of 4 from ${HEADER_BYTES} to ${total}`);
  if (strings.from > total || strings.to > total) throw bad(12, `the strings block is at bytes ${hex(strings.from)} to ${hex(strings.to)}`, `it must lie within the ${total} bytes`);
  if (reservationOffset % 8 !== 0 || reservationOffset < HEADER_BYTES || reservationOffset > total) throw bad(16, `the reservation block is at ${hex(reservationOffset)}`, `it must be at a multiple of 8 from ${HEADER_BYTES} to ${total}`);

  const reservations: { address: bigint; bytes: bigint }[] = [];
  for (let at = reservationOffset; ; at += 16) {
    if (at + 16 > total) throw bad(at, 'the reservation block does not end', 'its last entry must be zero');
    const address = view.getBigUint64(at), size = view.getBigUint64(at + 8);
    if (address === 0n && size === 0n) break;
    reservations.push({ address, bytes: size });
  }

  /** The zero-terminated string at `at`, which must end before `limit`. */
  const stringAt = (at: number, limit: number, blame: number, what: string): { value: string; end: number } => {
    const end = bytes.indexOf(0, at);
    if (end < 0 || end >= limit) throw bad(blame, `${what} does not end`, 'it must end with a zero byte');
    if (end - at > STRING_MAX) throw bad(blame, `${what} has ${end - at} bytes`, `at most ${STRING_MAX} can be meant`);
    for (let position = at; position < end; position += 1) {
      if (bytes[position]! <= 0x20 || bytes[position]! >= 0x7f) throw bad(position, `${what} has the byte ${hex(bytes[position]!, 2)}`, 'it must be printable ASCII without spaces');
    }
    return { value: new TextDecoder().decode(bytes.subarray(at, end)), end };
  };

  interface Growing { name: string; properties: DeviceTreeProperty[]; children: Growing[] }
  const open: Growing[] = [];
  let root: Growing | undefined;
  let at = structure.from;
  const next = (what: string): number => {
    if (at + 4 > structure.to) throw bad(at, `the structure block ends before ${what}`, 'it must end with FDT_END (9)');
    at += 4;
    return view.getUint32(at - 4);
  };
  for (;;) {
    const start = at;
    const token = next('its end');
    const inside = open.at(-1);
    if (token === NOP) continue;
    if (token === BEGIN_NODE) {
      const label = stringAt(at, structure.to, at, 'the node name');
      at = Math.ceil((label.end + 1) / 4) * 4;
      const node: Growing = { name: label.value, properties: [], children: [] };
      if (inside === undefined) {
        if (root !== undefined) throw bad(start, 'a second root node begins', 'a tree has one');
        if (node.name !== '') throw bad(start + 4, `the root node is called ${node.name}`, 'its name must be empty');
        root = node;
      } else {
        if (node.name === '') throw bad(start + 4, 'a node has no name', 'only the root has none');
        inside.children.push(node);
      }
      if (open.length >= DEPTH_MAX) throw bad(start, `nodes are nested more than ${DEPTH_MAX} deep`, 'they must not be');
      open.push(node);
    } else if (token === END_NODE) {
      if (inside === undefined) throw bad(start, 'a node ends and none has begun', 'FDT_END_NODE must match FDT_BEGIN_NODE');
      open.pop();
    } else if (token === PROPERTY) {
      if (inside === undefined) throw bad(start, 'a property is outside any node', 'it must be inside one');
      const length = next("the property's length");
      const nameOffset = next("the property's name");
      if (length > structure.to - at) throw bad(start + 4, `the property has ${length} bytes and the structure block ${structure.to - at} more`, 'it must fit');
      if (nameOffset >= strings.to - strings.from) throw bad(start + 8, `the property's name is at ${hex(nameOffset)} of a strings block of ${strings.to - strings.from} bytes`, 'it must lie within it');
      const label = stringAt(strings.from + nameOffset, strings.to, start + 8, "the property's name");
      if (label.value === '') throw bad(start + 8, "the property's name is empty", 'it must have one');
      inside.properties.push({ name: label.value, value: bytes.slice(at, at + length) });
      at = Math.ceil((at + length) / 4) * 4;
    } else if (token === END) {
      if (inside !== undefined) throw bad(start, `the tree ends inside node ${inside.name === '' ? '/' : inside.name}`, 'every node must end before it');
      if (root === undefined) throw bad(start, 'there is no root node', 'a tree has one');
      return { root, reservations, bootCpu: field(28) };
    } else throw bad(start, `the token is ${hex(token)}`, 'it must be FDT_BEGIN_NODE (1), FDT_END_NODE (2), FDT_PROP (3), FDT_NOP (4) or FDT_END (9)');
  }
}

/** Bytes in the longest name that is believed; the specification says 31. */
const STRING_MAX = 1024;

/** The node at `path` (`/cpus/cpu@0`; `/` is the root), or undefined. */
export function nodeAt(root: DeviceTreeNode, path: string): DeviceTreeNode | undefined {
  let node: DeviceTreeNode | undefined = root;
  for (const part of path.split('/')) if (part !== '') node = node?.children.find((child) => child.name === part);
  return node;
}

/** The bytes of a node's property, or undefined. */
export function property(node: DeviceTreeNode, name: string): Uint8Array | undefined {
  return node.properties.find((candidate) => candidate.name === name)?.value;
}

/** A property's value as 32-bit cells; a rest shorter than a cell is left out. */
export function cellsOf(value: Uint8Array): number[] {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return Array.from({ length: Math.floor(value.length / 4) }, (_, index) => view.getUint32(index * 4));
}

/** A property's value as a list of strings. */
export function stringsOf(value: Uint8Array): string[] {
  const texts = new TextDecoder().decode(value).split('\0');
  return texts.at(-1) === '' ? texts.slice(0, -1) : texts;
}
