/** `zeno show DIR --at POS`: the state of the machine at an instant, as text or as an object. */

import { Option, type Command } from 'commander';
import { addressOf, type Image } from '../actors/images.ts';
import { InputError } from '../actors/input-error.ts';
import { endedOf } from '../actors/machines.ts';
import { actorOf, machinesOf, type World, type WorldState } from '../actors/world.ts';
import { hex } from '../machines/bits.ts';
import { vncrPage } from '../machines/aarch64/board.ts';
import { describeCore, describeRegister } from '../machines/aarch64/describe.ts';
import { Word } from '../machines/aarch64/state.ts';
import { IMPLEMENTED_REGISTERS, hasSlot, slot, SYSTEM_REGISTERS } from '../machines/aarch64/sysregs.ts';
import { describeFlash } from '../machines/flash/describe.ts';
import type { FlashState } from '../machines/flash/state.ts';
import { describeFirmwareConfiguration } from '../machines/fw-cfg/describe.ts';
import type { FirmwareConfigurationState } from '../machines/fw-cfg/state.ts';
import { describeDistributor, describeIts, describeMessageFrame, describeRedistributor } from '../machines/gic/describe.ts';
import type { DistributorState, ItsState, MessageFrameState, RedistributorState } from '../machines/gic/state.ts';
import { describeGpio } from '../machines/gpio/describe.ts';
import type { GpioState } from '../machines/gpio/state.ts';
import { describeKvm, guestNow, virtualRegisters } from '../machines/kvm/describe.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import { readBytes, readWord } from '../machines/memory/memory.ts';
import { describeMmu } from '../machines/mmu/describe.ts';
import { walkL1 } from '../machines/mmu/fault.ts';
import { lookupCanonical } from '../machines/mmu/stage2.ts';
import { CANONICAL, type MmuState, type ShadowSlot } from '../machines/mmu/state.ts';
import { describeRtc } from '../machines/rtc/describe.ts';
import type { RtcState } from '../machines/rtc/state.ts';
import { describeTimer } from '../machines/timer/describe.ts';
import type { TimerState } from '../machines/timer/state.ts';
import { describePcie } from '../machines/pci/describe.ts';
import type { PcieState } from '../machines/pci/state.ts';
import { describeUart } from '../machines/uart/describe.ts';
import { describeVirtio } from '../machines/virtio/describe.ts';
import type { VirtioState } from '../machines/virtio/state.ts';
import type { UartState } from '../machines/uart/state.ts';
import { describeVgic } from '../machines/vgic/describe.ts';
import type { VgicState } from '../machines/vgic/state.ts';
import { worldOf } from '../snapshots/history.ts';
import { placeText } from '../snapshots/timeline.ts';
import { asInput } from './errors.ts';
import { codeAt, codeText, levelOfVcpu, pcOf, physicalSpace, spaceOf } from './code.ts';
import type { Opened } from './open.ts';
import { jsonOption, wholeNumber } from './options.ts';
import { grouped, paint, print, printJson, table, timeText } from './output.ts';
import { goToOrCursor, liveWorld, withSession, type ZenoHistory } from './session.ts';
import { placeText as symbolText } from './timeline.ts';

const WHATS = 'world, vcpu:N, vgic, timer, mmu, vncr:N, mem:ADDR,LEN, code:ADDR,N or stage2';

export function addShow(program: Command): void {
  program.command('show').argument('<dir>', 'a recording').description('the state at a position')
    .option('--at <position>', 'when; else where rewind left the cursor, else the end')
    .addOption(new Option('--machine <n>', 'of this machine, where there are several').argParser(wholeNumber('--machine')))
    .addOption(new Option('--what <what>', `${WHATS}; ADDR is a number, a symbol, or vcpu:N for its PC`).default('world'))
    .addOption(jsonOption('one object'))
    .action((directory: string, flags: { at?: string; machine?: number; what: string; json?: boolean }) => withSession(directory, {}, (session) => {
      goToOrCursor(session, flags.at);
      const view = look(session.history, session.opened, flags.what, flags.machine);
      if (flags.json) printJson({ at: placeText({ branch: session.history.branch, frame: session.history.cursor, insns: session.history.insns }), what: flags.what, ...view.json });
      else for (const line of view.lines) print(line);
    }));
}

/** What is shown: lines for people, or an object. */
export interface View { readonly lines: readonly string[]; readonly json: Readonly<Record<string, unknown>> }

/**
 * The state at the cursor, of machine `number`; where that is not said, of the machine whose vCPU is asked for, else of machine 0, and of the
 * World as a whole all machines. Throws InputError for a machine or a `what` that is not there.
 */
export function look(history: ZenoHistory, opened: Opened, what: string, number?: number): View {
  const whole = liveWorld(history);
  const machines = machinesOf(whole);
  const { vcpus } = whole.engine.options;
  if (number !== undefined && number >= machines.length) throw new InputError(`--machine ${number}: there ${machines.length === 1 ? 'is machine 0' : `are machines 0 to ${machines.length - 1}`}`);
  const [, vcpu] = /\b(?:vcpu|vncr):(\d+)/.exec(what) ?? [];
  const index = number ?? (vcpu === undefined || whole.several === undefined ? 0 : Math.floor(Number(vcpu) / vcpus));
  if (index >= machines.length) throw new InputError(`--what ${what}: there are vCPUs 0 to ${machines.length * vcpus - 1}`);
  if (what === 'world') return worldView(history, number === undefined ? machines : [machines[index]!], opened);
  const { lines, json } = lookAt(machines[index]!, opened, what);
  return whole.several === undefined ? { lines, json } : { lines: [paint('bold', `machine ${index}`), ...lines], json: { machine: index, ...json } };
}

function lookAt(world: World, opened: Opened, what: string): View {
  const [, kind, rest] = /^(\w+)(?::(.*))?$/.exec(what) ?? [];
  const l0 = (): void => { if (world.engine.options.el2 !== 'kvm') throw new InputError(`--what ${what}: there is no L0 in this recording: L1 runs on bare EL2`); };
  switch (kind) {
    case 'vcpu': return vcpuView(world, vcpuNumber(world, what, rest));
    case 'vgic': return gicView(world);
    case 'timer': return timerView(world);
    case 'mmu': l0(); return mmuView(world);
    case 'vncr': l0(); return vncrView(world, vcpuNumber(world, what, rest));
    case 'mem': return memoryView(world, opened, what, rest);
    case 'code': return codeView(world, opened, what, rest);
    case 'stage2': l0(); return stage2View(world);
    default: throw new InputError(`--what ${what}: it must be ${WHATS}`);
  }
}

function vcpuNumber(world: World, what: string, text: string | undefined): number {
  const { vcpus } = world.engine.options;
  const first = firstOf(world);
  if (text === undefined || !/^\d+$/.test(text) || Number(text) < first || Number(text) >= first + vcpus) throw new InputError(`--what ${what}: the machine has vCPUs ${first} to ${first + vcpus - 1}`);
  return Number(text) - first;
}

/** The number of a machine's vCPU 0: they count over the machines. */
const firstOf = ({ engine: { options: { machine, vcpus } } }: World): number => machine * vcpus;

const indices = (world: World): number[] => Array.from({ length: world.engine.options.vcpus }, (_, index) => index);

/** One line for each vCPU of a machine: what it is at, for the overview. */
export function vcpuLines(world: World, opened: Opened): string[][] {
  return indices(world).map((index) => {
    const images = levelOfVcpu(world, index) === 'L2' ? opened.images.l2 : opened.images.l1;
    const core = world.engine.board.cores[index]!;
    const mode = world.engine.options.el2 === 'kvm' ? kvmMode(actorOf<KvmState>(world.state, `kvm:${index}`)) : POWER[Number(core.words[Word.POWER]!)]!;
    return [`vcpu${firstOf(world) + index}`, mode === 'off' ? '' : levelOfVcpu(world, index), mode, mode === 'off' ? '' : symbolText(pcOf(world, index), images), `${grouped(core.words[Word.ATTEMPTED]!)} instructions`];
  });
}
const POWER = ['off', 'runs', 'waits for an interrupt', 'waits for an event', 'stopped at a hole'] as const;
const kvmMode = (state: KvmState): string => (state.mode === 'host' ? `L0 works: ${state.work.map((step) => step.step).join(', ')}` : state.mode === 'guest' ? 'runs' : state.mode);

function worldView(history: ZenoHistory, machines: readonly World[], opened: Opened): View {
  const whole = worldOf(history);
  const ended = endedOf(whole);
  const next = history.cursor < history.lines.line(history.branch).frames ? nextText(history) : ended ? `nothing: ${ended.reason}` : 'the end of what is recorded';
  const [first, ...others] = machines.map(({ state: { clock, turn, mailbox, alarms, console, ended: end, seed, actors } }) => ({ clock, turn, mailbox, alarms, console, ended: end, seed, actors }));
  return {
    lines: [
      `${paint('bold', placeText({ branch: history.branch, frame: history.cursor, insns: history.insns }))}, ${timeText(whole.state.clock)} of virtual time; next: ${next}`,
      ...machines.flatMap((machine) => [...(whole.several ? ['', paint('bold', `machine ${machine.engine.options.machine}${machine.state.ended === null ? '' : `: ${machine.state.ended.reason}`}`)] : []), ...machineLines(machine, opened)]),
    ],
    json: { ...first, ...(others.length > 0 && { machines: others, machineTurn: whole.several!.turn }), fingerprint: history.system.fingerprint(whole) },
  };
}

function machineLines(world: World, opened: Opened): string[] {
  const { state, engine } = world;
  const { mechanism, flavour, el2, vcpus, quantum } = engine.options;
  return [
    `${vcpus} vCPU${vcpus === 1 ? '' : 's'}, ${el2 === 'kvm' ? `virtual EL2 by ${mechanism}, ${flavour}` : el2 === 'guest' ? `bare EL2, ${flavour}` : 'no EL2'}; quantum ${grouped(quantum)}, vcpu${firstOf(world) + state.turn.vcpu} has ${grouped(state.turn.left)} left`,
    '', table(['', '', '', '', '>'], vcpuLines(world, opened)),
    ...(state.mailbox.length === 0 ? [] : ['', `messages: ${state.mailbox.map(({ to, message }) => `${message.type} for ${to}`).join(', ')}`]),
    ...(state.alarms.length === 0 ? [] : ['', `alarms: ${state.alarms.map(({ to, name, deadlineNs }) => `${to} ${name} at ${timeText(deadlineNs)}`).join(', ')}`]),
    '', ...deviceLines(state),
    ...(state.console === '' ? [] : ['', 'the console so far:', ...state.console.trimEnd().split('\n').map((line) => `  ${line}`)]),
  ];
}

/** The board's devices, a line or so each. */
const deviceLines = (state: WorldState): string[] => [
  describeUart(actorOf<UartState>(state, 'uart')),
  describeRtc(actorOf<RtcState>(state, 'rtc'), state.clock),
  describeGpio(actorOf<GpioState>(state, 'gpio')),
  describeFirmwareConfiguration(actorOf<FirmwareConfigurationState>(state, 'fw-cfg')),
  ...([0, 1] as const).map((bank) => describeFlash(actorOf<FlashState>(state, `flash:${bank}`))),
  ...Object.entries(state.actors).filter(([address]) => address.startsWith('virtio:')).map(([, device]) => describeVirtio(device as VirtioState)),
  ...describePcie(actorOf<PcieState>(state, 'pcie')).split('\n'),
];

/** What happens in the next recorded frame. */
export function nextText(history: ZenoHistory): string {
  const move = nextMove(history);
  return move.type === 'patch' ? 'a patch' : history.system.describeChoice(move.choice);
}

function nextMove(history: ZenoHistory) {
  let line = history.lines.line(history.branch);
  while (line.parent !== undefined && history.cursor < line.first) line = history.lines.line(line.parent.branch);
  return line.move(history.cursor);
}

function vcpuView(world: World, index: number): View {
  const core = world.engine.board.cores[index]!;
  const registers: Record<string, bigint> = {};
  for (let register = 0; register < 31; register++) registers[`X${register}`] = core.words[Word.X + register]!;
  for (const name of ['PC', 'NZCV', 'PSTATE'] as const) registers[name] = core.words[Word[name]]!;
  for (const { name, alias } of IMPLEMENTED_REGISTERS) if (alias === undefined && hasSlot(name)) registers[name] = core.words[slot(name)]!;
  const lines = describeCore(core);
  if (world.engine.options.el2 !== 'kvm') return { lines, json: { vcpu: firstOf(world) + index, registers } };
  const kvm = actorOf<KvmState>(world.state, `kvm:${index}`);
  const { el1, el2 } = virtualRegisters(kvm, world.engine.board);
  const named = (list: typeof el1): Record<string, bigint> => Object.fromEntries(list.map(({ name, value }) => [name, value]));
  return {
    lines: [paint('bold', 'As the guest sees it'), ...describeKvm(kvm, world.engine.board), '', paint('bold', 'The hardware'), ...lines],
    json: { vcpu: firstOf(world) + index, level: levelOfVcpu(world, index), mode: kvm.mode, guest: { ...guestNow(kvm, world.engine.board), el1: named(el1), el2: named(el2) }, registers },
  };
}

function gicView(world: World): View {
  const { state } = world;
  const own = indices(world);
  const lines = own.flatMap((index) => [
    ...(world.engine.options.el2 === 'kvm' ? [paint('bold', `vgic:${index}`), ...describeVgic(actorOf<VgicState>(state, `vgic:${index}`)).map((line) => `  ${line}`)] : []),
    ...describeRedistributor(actorOf<RedistributorState>(state, `gicr:${index}`)).split('\n'),
  ]);
  return {
    lines: [
      ...lines, ...describeDistributor(actorOf<DistributorState>(state, 'gicd')).split('\n'),
      ...('its' in state.actors ? describeIts(actorOf<ItsState>(state, 'its')).split('\n') : [describeMessageFrame(actorOf<MessageFrameState>(state, 'v2m'))]),
    ],
    json: Object.fromEntries(Object.entries(state.actors).filter(([address]) => /^(vgic:|gicr:|gicd$|its$|v2m$)/.test(address))),
  };
}

function timerView(world: World): View {
  const { state, engine } = world;
  if (engine.options.el2 !== 'kvm') {
    const names = ['CNTP_CTL_EL0', 'CNTP_CVAL_EL0', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0', 'CNTHP_CTL_EL2', 'CNTHP_CVAL_EL2', 'CNTHV_CTL_EL2', 'CNTHV_CVAL_EL2', 'CNTVOFF_EL2', 'CNTPOFF_EL2'];
    return {
      lines: engine.board.cores.flatMap((core) => [paint('bold', `vcpu:${core.index}`), ...names.map((name) => `  ${describeRegister(name, core.words[slot(name)]!)}`)]),
      json: { vcpus: engine.board.cores.map((core) => Object.fromEntries(names.map((name) => [name, core.words[slot(name)]!]))) },
    };
  }
  return {
    lines: [`the clock is at ${grouped(state.clock)} ns`, ...indices(world).flatMap((index) => [paint('bold', `timer:${index}`), ...describeTimer(actorOf<TimerState>(state, `timer:${index}`), engine.board, state.clock).map((line) => `  ${line}`)])],
    json: { clock: state.clock, ...Object.fromEntries(indices(world).map((index) => [`timer:${index}`, state.actors[`timer:${index}`]])) },
  };
}

function mmuView(world: World): View {
  const mmu = actorOf<MmuState>(world.state, 'mmu');
  const entries = mmu.slots.flatMap((slotState, index) => slotState.entries.map((entry) => [`shadow ${index}`, hex(entry.ipa, 12), hex(entry.pa, 12), bytesText(entry.bytes), rights(entry), `level ${entry.level}`]));
  return {
    lines: [
      ...describeMmu(mmu), '', paint('bold', "The canonical map (L1's physical memory)"),
      table(['IPA', 'PA', '>bytes', 'rights'], mmu.canonical.map((range) => [hex(range.ipa, 12), hex(range.pa, 12), bytesText(range.bytes), rights({ ...range, read: true })])),
      ...(entries.length === 0 ? [] : ['', paint('bold', 'Shadow entries'), table(['slot', 'L2 IPA', 'PA', '>bytes', 'rights', "L1's level"], entries)]),
    ],
    json: { ...mmu },
  };
}

const rights = ({ read, write, execute }: { readonly read: boolean; readonly write: boolean; readonly execute: boolean }): string => `${read ? 'r' : '-'}${write ? 'w' : '-'}${execute ? 'x' : '-'}`;
const bytesText = (bytes: number): string => (bytes % (1 << 20) === 0 ? `${bytes / (1 << 20)} MiB` : `${bytes / 1024} KiB`);

function vncrView(world: World, index: number): View {
  const { board } = world.engine;
  const page = vncrPage(index);
  const rows = SYSTEM_REGISTERS.filter((row) => row.vncr !== undefined && row.alias === undefined).sort((a, b) => a.vncr! - b.vncr!);
  // A register that two names share its place with is shown once.
  const seen = new Set<number>();
  const registers = rows.filter((row) => !seen.has(row.vncr!) && seen.add(row.vncr!)).map((row) => ({ name: row.name, offset: row.vncr!, value: readWord(board.memory, page + row.vncr!) }));
  return {
    lines: [`L0's VNCR page of vcpu${firstOf(world) + index}, at ${hex(page)}; registers that are 0 are left out`, ...registers.filter(({ value }) => value !== 0n).map(({ name, offset, value }) => `  ${hex(offset, 3)}  ${describeRegister(name, value)}`)],
    json: { vcpu: firstOf(world) + index, page, registers: Object.fromEntries(registers.map(({ name, value }) => [name, value])) },
  };
}

/** A number, a symbol of L1's image, or of L2's. */
function addressIn(opened: Opened, what: string, text: string): bigint {
  if (/^(0x[0-9a-fA-F]+|\d+)$/.test(text)) return BigInt(text);
  const images: readonly Image[] = [...opened.images.l1, ...opened.images.l2];
  const image = images.find((candidate) => candidate.symbols.some((symbol) => symbol.name === text));
  if (image === undefined) throw new InputError(`--what ${what}: ${text} is neither a number such as 0x40200000 nor a symbol of ${images.length === 0 ? 'an image: none of this recording has symbols' : images.map((candidate) => candidate.name).join(' or ')}`);
  return addressOf(image, text);
}

const BYTES_MAX = 1 << 20;

function memoryView(world: World, opened: Opened, what: string, rest: string | undefined): View {
  const [, where, length = '64'] = /^([^,]+)(?:,(.+))?$/.exec(rest ?? '') ?? [];
  if (where === undefined || !/^(0x[0-9a-fA-F]+|\d+)$/.test(length) || Number(length) === 0 || Number(length) > BYTES_MAX) throw new InputError(`--what ${what}: write mem:ADDR,LEN with a length from 1 to ${BYTES_MAX}, such as mem:0x40200000,64`);
  const address = addressIn(opened, what, where);
  const bytes = asInput(() => readBytes(world.engine.board.memory, Number(address), Number(length)));
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    lines.push(`${(address + BigInt(at)).toString(16).padStart(8, '0')}  ${row.map((byte, place) => byte.toString(16).padStart(2, '0') + (place === 7 ? ' ' : '')).join(' ').padEnd(48)}  ${row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')}`);
  }
  return { lines, json: { address, bytes: [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('') } };
}

const INSTRUCTIONS_MAX = 65_536;

function codeView(world: World, opened: Opened, what: string, rest: string | undefined): View {
  const [, where, count = '8'] = /^([^,]+)(?:,(\d+))?$/.exec(rest ?? '') ?? [];
  if (where === undefined || Number(count) === 0 || Number(count) > INSTRUCTIONS_MAX) throw new InputError(`--what ${what}: write code:ADDR,N with N from 1 to ${INSTRUCTIONS_MAX}, such as code:handle_exit,8 or code:vcpu:0,8`);
  const [, vcpu] = /^vcpu:(.*)$/.exec(where) ?? [];
  if (vcpu !== undefined) {
    const index = vcpuNumber(world, what, vcpu);
    const pc = pcOf(world, index);
    const lines = codeAt(world, spaceOf(world, opened, index), pc, Number(count));
    return { lines: codeText(lines, pc), json: { instructions: lines } };
  }
  const address = addressIn(opened, what, where);
  if (address % 4n !== 0n) throw new InputError(`--what ${what}: instructions lie at multiples of 4`);
  // L2's symbols are linked for L2's own addresses: they are found through the vCPU that is in L2.
  const inL2 = opened.images.l2.some((image) => image.symbols.some((symbol) => symbol.name === where)) && !opened.images.l1.some((image) => image.symbols.some((symbol) => symbol.name === where));
  const through = inL2 ? indices(world).find((index) => levelOfVcpu(world, index) === 'L2') : undefined;
  const lines = codeAt(world, through === undefined ? physicalSpace(opened) : spaceOf(world, opened, through), address, Number(count));
  return { lines: codeText(lines), json: { instructions: lines } };
}

/** L1's stage 2, L0's shadow of it and the canonical map, side by side, for the L2 context of each vCPU. */
function stage2View(world: World): View {
  const mmu = actorOf<MmuState>(world.state, 'mmu');
  const loaded = mmu.current.map((slotIndex, vcpu) => ({ slotIndex, vcpu })).filter(({ slotIndex }) => slotIndex >= 0);
  // With no vCPU in L2, every shadow that is valid.
  const shown = loaded.length > 0 ? [...new Set(loaded.map(({ slotIndex }) => slotIndex))] : mmu.slots.flatMap((slotState, index) => (slotState.valid ? [index] : []));
  if (shown.length === 0) return { lines: ['no vCPU has been in L2 yet: there is no shadow stage 2'], json: { contexts: [] } };
  const contexts = shown.map((index) => {
    const slotState = mmu.slots[index]!;
    const rows = stage2Rows(world, mmu, slotState);
    return { slot: index, vcpus: loaded.filter(({ slotIndex }) => slotIndex === index).map(({ vcpu }) => firstOf(world) + vcpu), vttbr: slotState.vttbr, vtcr: slotState.vtcr, enabled: slotState.enabled, rows };
  });
  return {
    lines: contexts.flatMap(({ slot: index, vcpus, vttbr, vtcr, enabled, rows }, place) => [
      ...(place > 0 ? [''] : []),
      `${paint('bold', `shadow ${index}`)}, ${vcpus.length === 0 ? 'loaded by no vCPU' : `of ${vcpus.map((vcpu) => `vcpu${vcpu}`).join(', ')}`}: ${enabled ? `L1's VTTBR_EL2 ${hex(vttbr)}, VTCR_EL2 ${hex(vtcr)}` : 'L1 has its stage 2 off'}`,
      ...(rows.length === 0 ? ['  nothing is mapped'] : [table(['L2 IPA', '>bytes', "L1's stage 2", 'L0\'s shadow', 'canonical map'], rows.map((row) => [
        hex(row.ipa, 12), bytesText(row.bytes), row.l1 === null ? 'no mapping' : `${hex(row.l1.pa, 12)} ${rights(row.l1)} level ${row.l1.level}`,
        row.shadow === null ? paint('dim', 'not filled yet') : `${hex(row.shadow.pa, 12)} ${rights(row.shadow)}`,
        row.canonical === null ? paint('dim', row.l1 === null ? '' : 'a device, or nothing') : `${hex(row.canonical.pa, 12)} ${rights(row.canonical)}`,
      ]))]),
    ]),
    json: { contexts, currentIsCanonical: mmu.current.map((slotIndex) => slotIndex === CANONICAL) },
  };
}

interface Mapping { readonly pa: number; readonly read: boolean; readonly write: boolean; readonly execute: boolean; readonly level: number }
interface Stage2Row { readonly ipa: number; readonly bytes: number; readonly l1: Mapping | null; readonly shadow: Omit<Mapping, 'level'> | null; readonly canonical: Omit<Mapping, 'level'> | null }

const ROWS_MAX = 512;
const GRANULE = 4096;

/** Every leaf of L1's tables, and every shadow entry, by IPA. */
function stage2Rows(world: World, mmu: MmuState, slotState: ShadowSlot): Stage2Row[] {
  const { board } = world.engine;
  if (!slotState.enabled) return [];
  const inputBytes = 2 ** (64 - Number(slotState.vtcr & 0x3fn));
  const rows: Stage2Row[] = [];
  for (let ipa = 0; ipa < inputBytes && rows.length < ROWS_MAX;) {
    const walk = walkL1(board, slotState, ipa);
    const shadow = slotState.entries.find((entry) => ipa >= entry.ipa && ipa < entry.ipa + entry.bytes);
    const step = walk.ok ? walk.bytes : holeBytes(walk.level);
    const bytes = Math.min(step, shadow?.bytes ?? step);
    if (walk.ok || shadow) {
      const host = walk.ok ? lookupCanonical(mmu, walk.pa) : undefined;
      rows.push({
        ipa, bytes, l1: walk.ok ? { pa: walk.pa, read: walk.read, write: walk.write, execute: walk.execute, level: walk.level } : null,
        shadow: shadow ? { pa: shadow.pa + (ipa - shadow.ipa), read: shadow.read, write: shadow.write, execute: shadow.execute } : null,
        canonical: host?.ok ? { pa: host.pa, read: host.read, write: host.write, execute: host.execute } : null,
      });
    }
    ipa += ipa % bytes === 0 ? bytes : bytes - (ipa % bytes);
  }
  return rows;
}

/** What a descriptor of this level would map, with a 4 KiB granule: what can be passed over where there is none. Larger granules take more, smaller steps. */
const holeBytes = (level: number): number => (level >= 3 ? GRANULE : GRANULE * 512 ** (3 - Math.max(level, 0)));
