/** U-Boot run to the end of what is typed at it: its console, every system register it touches, and what it reads of each at the prompt. */

import { existsSync, readFileSync } from 'node:fs';
import { boot, type BootOptions } from '../../actors/boot.ts';
import type { Choice } from '../../actors/choices.ts';
import { hasRead } from '../../actors/console.ts';
import { readFirmware } from '../../actors/images.ts';
import type { Patch } from '../../actors/patch.ts';
import { actorOf, type World, type WorldEvent } from '../../actors/world.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { encodingName, SYSTEM_REGISTERS } from '../../machines/aarch64/sysregs.ts';
import { locate } from '../../machines/memory/memory.ts';
import { fifoDepth, RECEIVING, type UartState } from '../../machines/uart/state.ts';
import { systemOf } from '../../snapshots/machine.ts';

/** Debian's package u-boot-qemu. */
export const IMAGE = '/usr/lib/u-boot/qemu_arm64/u-boot.bin';
export const installed = existsSync(IMAGE);

export type Configuration = Pick<BootOptions, 'el2' | 'nested' | 'l1'>;

export interface GuestRun {
  readonly console: string;
  /** Every MRS, MSR, SYS and ERET but counter reads: PC, direction, name, value. */
  readonly accesses: readonly string[];
  readonly currentEls: ReadonlySet<bigint>;
  /** The world at the prompt. */
  readonly world: World;
  readonly insns: number;
  readonly exits: Readonly<Record<string, number>>;
}

const PROMPT = '=> ';
const INSNS_MAX = 100_000_000;

/** Counters, and what is computed from them: they tell the time, which L0's work takes too. */
const TELLS_TIME = /^CNT(PCT|VCT|PCTSS|VCTSS)_EL0$|_TVAL_/;

/** Runs until all of `input` is read and the prompt stands there again. */
export function runUBoot(configuration: Configuration, input: string): GuestRun {
  const typed = Buffer.from(input, 'latin1');
  const firmware = readFirmware(new Uint8Array(readFileSync(IMAGE)), 'u-boot.bin');
  let { world } = boot({ vcpus: 1, memoryBytes: 512 << 20, firmware, ...configuration });
  const exits: Record<string, number> = {};
  let console = '';
  let answers = '';
  let insns = 0;
  const { accesses, currentEls } = observed(world, (eachEvent) => {
    while (!(hasRead(world, typed.length) && answers.endsWith(PROMPT))) {
      const choice = inputAtOnce(world, typed) ?? system.next(world);
      if (choice === undefined || insns > INSNS_MAX) throw new Error(`no prompt after ${insns} instructions; the console shows:\n${console}`);
      const moved = system.step(world, choice);
      world = moved.world;
      insns += moved.frame.insns;
      for (const event of moved.frame.events) {
        eachEvent(event);
        if (event.event === 'console') {
          console += String(event.text);
          if (hasRead(world, typed.length)) answers += String(event.text);
        } else if (event.event === 'kvm_exit') {
          const reason = `${String(event.level)} ${String(event.reason)}`;
          exits[reason] = (exits[reason] ?? 0) + 1;
        }
      }
    }
  });
  return { console, accesses, currentEls, world: system.keep(world), insns, exits };
}

/** The next byte as soon as the FIFO has been set up and is empty: U-Boot never waits for a key, and how long it waits would depend on the time that L0 takes. */
function inputAtOnce(world: World, typed: Uint8Array): Choice | undefined {
  const { inputBytes, mailbox, console } = world.state;
  const uart = actorOf<UartState>(world.state, 'uart');
  const isReady = (uart.control & RECEIVING) === RECEIVING && inputBytes < typed.length && mailbox.length === 0 && uart.receiveFifo.length === 0 && (console !== '' || fifoDepth(uart) > 1);
  return isReady ? { type: 'input', bytes: [typed[inputBytes]!] } : undefined;
}

/** Instructions by the address that they go to. */
export type Program = Readonly<Record<number, readonly string[]>>;

/** Runs `program` in place of the prompt, from its first address to the instruction at `end`. */
export function runAtPrompt({ world: prompt }: GuestRun, program: Program, end: number): { readonly x: readonly bigint[]; readonly accesses: readonly string[] } {
  const patch: Patch = Object.entries(program).map(([address, lines]) => {
    const bytes = new Uint8Array(4 * lines.length);
    lines.forEach((line, index) => new DataView(bytes.buffer).setUint32(4 * index, assemble(line, BigInt(Number(address) + 4 * index)), true));
    return { type: 'memory', address: Number(address), bytes };
  });
  let world = system.patch!(prompt, [...patch, { type: 'register', vcpu: 0, name: 'PC', value: BigInt(Object.keys(program)[0]!) }]) as World;
  const { words } = world.engine.board.cores[0]!;
  const { accesses } = observed(world, (eachEvent) => {
    for (let frames = 0; words[Word.PC] !== BigInt(end) || system.next(world)?.type !== 'run'; frames++) {
      const choice = system.next(world);
      if (choice === undefined || frames > 10_000) throw new Error(`0x${end.toString(16)} was not reached, PC is 0x${words[Word.PC]!.toString(16)}`);
      const moved = system.step(world, choice.type === 'run' ? { ...choice, insns: 1 } : choice);
      world = moved.world;
      moved.frame.events.forEach(eachEvent);
    }
  });
  return { x: [...words.subarray(0, 31)], accesses };
}

const system = systemOf();

/** Does `work`, which tells its events, and gathers what cores and L0 did to system registers meanwhile. */
function observed(world: World, work: (eachEvent: (event: WorldEvent) => void) => void): Pick<GuestRun, 'accesses' | 'currentEls'> {
  const { board } = world.engine;
  const { words } = board.cores[0]!;
  const accesses: string[] = [];
  const currentEls = new Set<bigint>();
  const note = (pc: bigint, kind: string, encoding: number, value: bigint): void => {
    const name = kind === 'eret' ? '' : encodingName(encoding);
    if (name === 'CurrentEL') currentEls.add(value);
    if (!TELLS_TIME.test(name)) accesses.push(`${pc.toString(16)} ${kind} ${name} ${value.toString(16)}`);
  };
  board.observe = (_, kind, encoding, value) => note(words[Word.PC]!, kind, encoding, value);
  try {
    work((event) => noteTrapped(event, words, board.memory, note));
  } finally {
    board.observe = undefined;
  }
  return { accesses, currentEls };
}

/** What L0 did in the core's stead: the instruction is still at the event's PC, and the frame has ended with its answer in Rt. U-Boot maps memory to itself. */
function noteTrapped(event: WorldEvent, words: BigUint64Array, memory: World['engine']['board']['memory'], note: (pc: bigint, kind: string, encoding: number, value: bigint) => void): void {
  if (event.event === 'kvm_nested_eret') note(event.from as bigint, 'eret', 0, event.elr as bigint);
  if (event.event !== 'kvm_sys_access') return;
  const pc = event.pc as bigint;
  const word = memory.view.getUint32(locate(memory, Number(pc)), true);
  const rt = word & 31;
  note(pc, event.is_write === true ? 'write' : 'read', (word >>> 5) & 0xffff, rt === 31 ? 0n : words[rt]!);
}



/** Where the probing instruction goes: RAM that U-Boot leaves alone. */
const PROBE = 0x4900_0000;

/** What MRS of each register gives at the prompt, as the guest itself would read it; `exception` where it is UNDEFINED or has no row. */
export function registersAtPrompt({ world }: GuestRun): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const { name, encoding } of SYSTEM_REGISTERS) {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, (0xd520_0000 | (encoding << 5)) >>> 0, true);
    const patch: Patch = [{ type: 'memory', address: PROBE, bytes }, { type: 'register', vcpu: 0, name: 'PC', value: BigInt(PROBE) }];
    let probed = system.patch!(world, patch) as World;
    const { words } = probed.engine.board.cores[0]!;
    while (words[Word.PC] === BigInt(PROBE) && probed.state.ended === null) {
      const choice = system.next(probed)!;
      probed = system.step(probed, choice.type === 'run' ? { ...choice, insns: 1 } : choice).world;
    }
    // Under L0 the exit has been taken: L0's work ends with the guest entered again.
    while (probed.state.ended === null && system.next(probed)?.type === 'l0') probed = system.step(probed, system.next(probed)!).world;
    found.set(name, words[Word.PC] === BigInt(PROBE + 4) ? words[0]!.toString(16) : 'exception');
  }

  return found;
}
