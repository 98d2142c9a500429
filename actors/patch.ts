/** Edits made by hand: `--set PATH=VALUE` of a fork, as a plain value that is logged and replayed. */

import { setRegister, Word } from '../machines/aarch64/state.ts';
import { hasSlot, registerByName, slot } from '../machines/aarch64/sysregs.ts';
import { regionAt, writeBytes, type Memory } from '../machines/memory/memory.ts';
import { VARIANTS } from '../machines/kvm/variants/variants.ts';
import { InputError } from './input-error.ts';
import { seedOf } from './machines.ts';
import { assertLive, enter, together, type Several, type World } from './world.ts';

/** One edit. Registers by the name that `zeno show` prints, of a vCPU counted over the machines; memory by guest physical address, little-endian. */
export type Edit =
  | { readonly type: 'register'; readonly vcpu: number; readonly name: string; readonly value: bigint }
  /** `machine`: absent where it is 0. */
  | { readonly type: 'memory'; readonly address: number; readonly bytes: Uint8Array; readonly machine?: number }
  /** Every machine's L0 has these known bugs from here on, and no others. */
  | { readonly type: 'variants'; readonly names: readonly string[] }
  /** Every machine's. */
  | { readonly type: 'seed'; readonly seed: number };
export type Patch = readonly Edit[];

/**
 * Reads `PATH=VALUE`: `vcpu:0.X3=0x10`, `vcpu:1.PC=…`, `vcpu:0.SCTLR_EL1=…`, `mem:0x40001000=0x1` (8 bytes, or `mem:ADDR,LEN`), or
 * `sym:NAME=…` where `addressOf` knows the name; of machine 1 `1:mem:…` and `1:sym:…`. `vcpus` are those of all `machines`. Throws InputError
 * that says what would be right.
 */
export function parseEdit(text: string, vcpus: number, addressOf: (name: string) => number | undefined = () => undefined, machines = 1): Edit {
  const equals = text.indexOf('=');
  if (equals < 0) throw new InputError(`--set ${text}: it must be PATH=VALUE, such as vcpu:0.X3=0x10 or mem:0x40001000=1`);
  const path = text.slice(0, equals);
  const value = parseValue(text.slice(equals + 1), text);
  const register = /^vcpu:(\d+)\.(\w+)$/.exec(path);
  if (register) {
    const vcpu = Number(register[1]);
    if (vcpu >= vcpus) throw new InputError(`--set ${text}: there is no vcpu:${vcpu}, the machine has vcpu:0 to vcpu:${vcpus - 1}`);
    const name = canonicalName(register[2]!);
    if (name === undefined) throw new InputError(`--set ${text}: there is no register ${register[2]}; X0 to X30, PC, PSTATE, NZCV and system registers by the Arm ARM's name are known`);
    // Engines write its low half only, as nothing else can be there.
    if (name === 'NZCV' && value > 15n) throw new InputError(`--set ${text}: NZCV has four bits, N the highest: 0 to 15`);
    return { type: 'register', vcpu, name, value };
  }
  const memory = /^(?:(\d+):)?(mem|sym):([^,]+)(?:,([1248]))?$/.exec(path);
  if (memory) {
    const [, number, kind, place, digits] = memory;
    const machine = Number(number ?? 0);
    if (machine >= machines) throw new InputError(`--set ${text}: there is no machine ${machine}, ${machines === 1 ? 'the machine is 0' : `the machines are 0 to ${machines - 1}`}`);
    const length = Number(digits ?? 8);
    const address = kind === 'mem' ? Number(place) : addressOf(place!);
    if (address === undefined) throw new InputError(`--set ${text}: no image of this recording has a symbol ${place}`);
    if (!Number.isSafeInteger(address) || address < 0) throw new InputError(`--set ${text}: ${place} is not a physical address`);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return { type: 'memory', address, bytes: bytes.slice(0, length), ...(machine > 0 && { machine }) };
  }
  throw new InputError(`--set ${text}: ${path} is neither vcpu:N.REGISTER, mem:ADDRESS[,LENGTH] nor sym:NAME`);
}

function parseValue(text: string, whole: string): bigint {
  if (!/^(0x[0-9a-fA-F_]+|\d+)$/.test(text)) throw new InputError(`--set ${whole}: ${text} is not a number; write 123 or 0x7b`);
  const value = BigInt(text.replaceAll('_', ''));
  if (value >> 64n !== 0n) throw new InputError(`--set ${whole}: ${text} has more than 64 bits`);
  return value;
}

function canonicalName(name: string): string | undefined {
  const upper = name.toUpperCase();
  if (/^X([0-9]|[12][0-9]|30)$/.test(upper) || upper === 'PC' || upper === 'PSTATE' || upper === 'NZCV') return upper;
  const row = registerByName(name) ?? registerByName(upper);
  return row !== undefined && hasSlot(row.name) ? row.name : undefined;
}

function wordOf(name: string): number {
  if (name.startsWith('X')) return Word.X + Number(name.slice(1));
  return name === 'PC' ? Word.PC : name === 'PSTATE' ? Word.PSTATE : name === 'NZCV' ? Word.NZCV : slot(name);
}

/** Makes the edits. Consumes `world`, unless it was kept. Throws InputError where an address is not in memory. */
export function applyPatch(world: World, patch: Patch): World {
  enter(world);
  assertLive(world);
  if (world.several !== undefined) return applyAmong(world.several, patch);
  const { engine } = world;
  const { memory, cores } = engine.board;
  let { state } = world;
  for (const edit of patch) assertPossible(memory, edit);
  for (const edit of patch) {
    if (edit.type === 'register') setRegister(cores[edit.vcpu]!, wordOf(edit.name), edit.value);
    else if (edit.type === 'memory') writeBytes(memory, edit.address, edit.bytes);
    else if (edit.type === 'variants') state = { ...state, variants: [...edit.names] };
    else state = { ...state, seed: edit.seed };
  }
  for (const core of cores) {
    core.translation = undefined;
    core.attention = true;
  }
  const after: World = { engine, state, tree: undefined };
  engine.live = after;
  return after;
}

/** Each machine with its own edits made. */
function applyAmong({ machines, turn }: Several, patch: Patch): World {
  // All or nothing: the machines are alike, and what one can take, each can.
  for (const edit of patch) assertPossible(machines[0]!.engine.board.memory, edit);
  return together(machines.map((machine) => applyPatch(machine, patch.flatMap((edit) => ownEdit(machine, edit)))), turn);
}

function ownEdit({ engine: { options: { machine, vcpus } } }: World, edit: Edit): Edit[] {
  switch (edit.type) {
    case 'register': return Math.floor(edit.vcpu / vcpus) === machine ? [{ ...edit, vcpu: edit.vcpu % vcpus }] : [];
    case 'memory': return (edit.machine ?? 0) === machine ? [edit] : [];
    case 'variants': return [edit];
    case 'seed': return [{ ...edit, seed: seedOf(edit.seed, machine) }];
  }
}

/** Throws InputError for an edit that this machine cannot take: an address without memory, a variant that is none. */
export function assertPossible(memory: Memory, edit: Edit): void {
  if (edit.type === 'variants') return assertVariants(edit.names);
  if (edit.type !== 'memory') return;
  const region = regionAt(memory, edit.address);
  if (region === undefined || edit.address + edit.bytes.length > region.base + region.bytes) throw new InputError(`0x${edit.address.toString(16)}, ${edit.bytes.length} bytes: this is not in the guest's memory`);
}

/** Throws InputError unless each is a variant of L0 that there is. */
export function assertVariants(names: readonly string[]): void {
  for (const name of names) if (!Object.hasOwn(VARIANTS, name)) throw new InputError(`--variant ${name}: there is no such variant; there is ${Object.keys(VARIANTS).join(', ')}`);
}
