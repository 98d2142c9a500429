/** Machines of one World: who hears a frame, whose turn it is, and that they are kept, forked, replayed and explored as one. */

import { describe, expect, test } from 'vitest';
import { choices, next, type Choice } from '../../actors/choices.ts';
import { endedOf } from '../../actors/machines.ts';
import { applyPatch } from '../../actors/patch.ts';
import { step } from '../../actors/step.ts';
import { actorOf, keep, machinesOf, type World, type WorldEvent } from '../../actors/world.ts';
import { ENGINES } from '../../machines/aarch64/board.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { readBytes } from '../../machines/memory/memory.ts';
import { PEER_IP, PEER_MAC } from '../../machines/virtio/echo-peer.ts';
import type { NetState, VirtioState } from '../../machines/virtio/state.ts';
import { diffPlaces } from '../../snapshots/diff.ts';
import { explore } from '../../snapshots/explore.ts';
import { fork, framesOf, goTo, openHistory, patch, stepForward, worldOf } from '../../snapshots/history.ts';
import { memoryLines } from '../../snapshots/lines.ts';
import { fingerprint, stateKey, systemOf } from '../../snapshots/machine.ts';
import { goToPosition } from '../../snapshots/timeline.ts';
import { verify } from '../../snapshots/verify.ts';
import { arpRequest } from '../support/frames.ts';
import { CODE, finish, machine, type ProgramOptions } from '../support/guest-program.ts';
import { frameTo, macOf, network, received, type Deed } from '../support/net-guest.ts';

const BROADCAST = [255, 255, 255, 255, 255, 255];
const GROUP = [0x33, 0x33, 0, 0, 0, 1];
const NOBODY = [0x52, 0x54, 0, 0, 0, 1];
const system = systemOf();
const lost = (events: readonly WorldEvent[]): WorldEvent[] => events.filter(({ event }) => event === 'virtio_net_lost');

describe('a frame', () => {
  const listener: Deed[] = [{ post: 8 }, { spin: 1000 }];
  test.each([
    ['to a machine reaches it alone', macOf(2), [0, 0, 1]], ['to all reaches all others', BROADCAST, [0, 1, 1]], ['to a group reaches all others', GROUP, [0, 1, 1]],
    ['to an address that nobody has reaches all others', NOBODY, [0, 1, 1]], ['to oneself reaches nobody', macOf(0), [0, 0, 0]], ['to the peer reaches no machine', PEER_MAC, [0, 0, 0]],
  ])('%s', (_, to, heard) => {
    const sent = frameTo(to, 0);
    const { world, events } = finish(network([[{ spin: 300 }, { post: 8 }, { send: 0 }], listener, listener], [sent]));
    expect(heard.map((__, index) => received(world, index))).toEqual(heard.map((count) => Array.from({ length: count }, () => sent)));
    const receptions = events.filter(({ event }) => event === 'virtio_net_receive');
    expect(receptions.map(({ machine: index }) => index)).toEqual(heard.flatMap((count, index) => (count === 1 ? [index] : [])));
    // There is no way between: it is there when it was sent.
    for (const { timeNs } of receptions) expect(timeNs).toBe(events.find(({ event }) => event === 'virtio_net_transmit')!.timeNs);
  });

  test('for all is answered by the peer as well, and the answer is the sender\'s', () => {
    const { world } = finish(network([[{ post: 8 }, { spin: 200 }, { send: 0 }, { await: 1 }], listener], [arpRequest(PEER_IP)]));
    expect([received(world, 0).map((frame) => frame.slice(0, 12)), received(world, 1).map((frame) => frame.slice(0, 12))]).toEqual([[[...macOf(0), ...PEER_MAC]], [[...BROADCAST, ...macOf(0)]]]);
  });

  test('waits for buffers, the oldest first, until too many wait', () => {
    const sends = Array.from({ length: 70 }, (_, number): Deed => ({ send: number }));
    const frames = sends.map((_, number) => frameTo(macOf(1), 0, number));
    const { world, events } = finish(network([[{ spin: 300 }, ...sends], [{ spin: 8000 }, { post: 128 }, { await: 64 }]], frames), 60_000);
    expect(lost(events)).toHaveLength(6);
    expect(lost(events)[0]).toMatchObject({ machine: 1, device: 0, bytes: frames[0]!.length, why: 'nobody takes what waits already' });
    expect(received(world, 1)).toEqual(frames.slice(0, 64));
  });

  test('for a machine that is off is lost, and the other goes on', () => {
    const { world, events } = finish(network([[{ spin: 5000 }, { send: 0 }, { spin: 10 }], []], [frameTo(macOf(1), 0)]));
    expect(events.filter(({ event }) => event.startsWith('virtio_net')).map(({ event }) => event)).toEqual(['virtio_net_transmit']);
    expect((actorOf<VirtioState>(machinesOf(world)[1]!.state, 'virtio:0').device as NetState).backlog).toEqual([]);
    expect(endedOf(world)).toEqual({ by: 'off', reason: 'the guests powered all machines off' });
  });

  test.each(ENGINES)('goes back and forth, on boards of two vCPUs, under L0 too (%s)', (engine) => {
    const plans: Deed[][] = [[{ post: 8 }, { spin: 300 }, { send: 0 }, { await: 1 }, { send: 0 }], [{ post: 8 }, { await: 1 }, { send: 1 }, { await: 2 }]];
    const frames = [frameTo(macOf(1), 0), frameTo(macOf(0), 1)];
    for (const options of [{}, { vcpus: 2 }, { el2: 'kvm', nested: 'none', l1: 'vhe' }] satisfies ProgramOptions[]) {
      const { world } = finish(network(plans, frames, { engine, ...options }));
      expect([received(world, 0), received(world, 1)]).toEqual([[frames[1]], [frames[0], frames[0]]]);
    }
  });
});

describe('machines take turns', () => {
  test('a quantum each, on one clock, which each instruction of any of them moves by a nanosecond', () => {
    let world = machine('spin: b {spin}', { el2: 'none', l1: 'both', quantum: 100, machines: 3 });
    const runs: [number, number][] = [];
    for (let each = 0; each < 60; each++) {
      const choice = next(world)!;
      const done = step(world, choice);
      expect(new Set(machinesOf(done.world).map(({ state }) => state.clock))).toEqual(new Set([world.state.clock + done.frame.insns]));
      world = done.world;
      if (choice.type === 'run') runs.push([choice.vcpu, choice.insns]);
    }
    expect(runs).toEqual(runs.map((_, place) => [place % 3, 100]));
  });

  test('vCPUs count over the machines, and consoles have the machine before their names', () => {
    const world = keep(network([[], []], [], { vcpus: 2 }));
    expect(step(world, { type: 'run', vcpu: 2, insns: 5 }).frame).toMatchObject({ choice: { type: 'run', vcpu: 2, insns: 5 }, insns: 5 });
    expect(() => step(world, { type: 'run', vcpu: 4, insns: 5 })).toThrow('there is no machine 2');
    const typed = step(world, { type: 'input', bytes: [65], machine: 1 });
    expect(machinesOf(typed.world).map(({ state }) => state.inputBytes)).toEqual([0, 1]);
    expect(typed.frame.choice).toEqual({ type: 'input', bytes: [65], machine: 1 });
  });

  test.each([[100], [10_000]])('what is due at one of them happens on time, while another runs (quantum %d)', (quantum) => {
    const { events } = finish(network([[{ spin: 20_000 }], [{ timer: 800 }, { spin: 5 }, { sleep: 1 }]], [], { quantum }));
    expect(events.filter(({ irq }) => irq === 27)).toEqual([{ timeNs: 800 * 16, event: 'vgic_update_irq_pending', vcpu: 1, irq: 27, level: true, machine: 1 }]);
  });

  test('one that is reset starts again alone, as it was booted', () => {
    const { world, events } = finish(network([[{ spin: 300 }, { send: 0 }, { spin: 2000 }], [{ post: 8 }, { await: 1 }, { reset: 1 }]], [frameTo(macOf(1), 0)]));
    expect(events.filter(({ event }) => /^system|^virtio_net/.test(event)).map(({ event, machine: index }) => [event, index])).toEqual([
      ['virtio_net_transmit', undefined], ['virtio_net_receive', 1], ['system_reset', 1], ['system_off', 1], ['system_off', undefined],
    ]);
    expect([received(world, 1), endedOf(world)?.by]).toEqual([[], 'off']);
  });

  test('when all sleep and nothing is armed, nothing can happen; when the last goes off, all has ended', () => {
    const sleepers = finish(network([[{ sleep: 1 }], []], []));
    expect([endedOf(sleepers.world), machinesOf(sleepers.world).map(({ state }) => state.ended?.by)]).toEqual([null, [undefined, 'off']]);
    expect([next(sleepers.world), choices(sleepers.world)]).toEqual([undefined, []]);
  });

  test('a hole of one ends all', () => {
    const spinning = machine('spin: b {spin}', { el2: 'none', l1: 'both', machines: 2 });
    // STG, of an extension that is not there.
    let now = applyPatch(spinning, [{ type: 'memory', address: CODE, bytes: Uint8Array.of(0, 0, 0x20, 0xd9), machine: 1 }]);
    for (let steps = 0; steps < 200 && endedOf(now) === null; steps++) ({ world: now } = step(now, next(now)!));
    expect(endedOf(now)).toMatchObject({ by: 'hole', reason: expect.stringMatching(/^machine 1: vcpu1 reached/) });
    expect(next(now)).toBeUndefined();
  });
});

test('machines are alike but for their addresses and what comes from the seed', () => {
  const world = machine('b {here}; here: b {here}', { el2: 'none', l1: 'both', devices: { net: 'mmio', rng: 'mmio' }, machines: 3, seed: 5 });
  const machines = machinesOf(world);
  const macs = machines.map(({ state }) => (Object.values(state.actors).find((actor) => (actor as VirtioState).device?.kind === 'net') as VirtioState).device);
  expect(macs.map((device) => (device as NetState).mac)).toEqual([macOf(0), macOf(1), macOf(2)]);
  expect(new Set(machines.map(({ state }) => state.seed)).size).toBe(3);
  expect(new Set(machines.map(({ state }) => actorOf<{ entropy: bigint }>(state, 'psci').entropy)).size).toBe(3);
  expect(machines[0]!.state.seed).toBe(5);
  const text = (index: number): string => Buffer.from(readBytes(machines[index]!.engine.board.memory, 0x4000_0000, 4 << 20)).toString('latin1');
  expect(text(0) === text(1)).toBe(false);
  expect(fingerprint(machine('b {here}; here: b {here}', { el2: 'none', l1: 'both', devices: { net: 'mmio', rng: 'mmio' }, machines: 3, seed: 5 }))).toBe(fingerprint(world));
});

test.each([[-1], [9], [1.5]])('%d machines are refused', (machines) => {
  expect(() => machine('nop', { el2: 'none', l1: 'both', machines })).toThrow(`--machines ${machines}: a world has 1 to 8 machines`);
});

const PING: readonly Deed[][] = [[{ post: 8 }, { spin: 300 }, { send: 0 }, { await: 1 }], [{ post: 8 }, { await: 1 }, { send: 1 }]];
const PINGED = [frameTo(macOf(1), 0), frameTo(macOf(0), 1)];
const ping = (options: ProgramOptions = {}): World => network(PING, PINGED, options);
const after = (world: World, steps: number): World => {
  for (let each = 0; each < steps; each++) ({ world } = step(world, next(world)!));
  return world;
};

test.each([[77], [333], [1000]])("L0's work of two machines in one step or step by step leads to the same end (quantum %d)", (quantum) => {
  const plans: Deed[][] = [[{ post: 8 }, { spin: 3000 }, { timer: 300 }, { send: 0 }, { await: 1 }, { timer: 900 }, { send: 0 }], [{ post: 8 }, { timer: 301 }, { await: 1 }, { timer: 890 }, { send: 1 }, { await: 2 }]];
  const ends = [false, true].map((stepwise) => {
    const moves = systemOf({ stepwise });
    let world = network(plans, PINGED, { el2: 'kvm', nested: 'none', l1: 'vhe', quantum });
    for (let choice = moves.next(world); choice !== undefined; choice = moves.next(world)) ({ world } = moves.step(world, choice));
    return [endedOf(world)?.by, fingerprint(world)];
  });
  expect(ends[0]).toEqual(['off', ends[1]![1]]);
});

describe('a World of several machines', () => {
  const SPENT = 'this world was spent: it was stepped without having been kept';

  test('is a lease until it is kept, and a value from then on', () => {
    const spent = after(ping(), 20);
    const live = after(spent, 3);
    for (const use of [() => step(spent, { type: 'run', vcpu: 0, insns: 1 }), () => keep(spent), () => fingerprint(spent), () => stateKey(spent), () => applyPatch(spent, [])]) expect(use).toThrow(SPENT);
    // The live one has not suffered.
    expect(fingerprint(keep(after(live, 5)))).toBe(fingerprint(keep(after(ping(), 28))));
    const kept = keep(after(ping(), 30));
    expect(keep(kept)).toBe(kept);
    const once = fingerprint(kept);
    const sums = [8, 20, 1, 20, 0].map((steps) => fingerprint(keep(after(kept, steps))));
    expect([sums[1], sums[4]]).toEqual([sums[3], once]);
    expect(new Set(sums).size).toBe(4);
  });

  test('whose step failed is as it was, when it was kept', () => {
    const kept = keep(after(ping(), 30));
    const sum = fingerprint(keep(after(kept, 4)));
    for (const choice of [{ type: 'deliver', machine: 1 }, { type: 'advance', timeNs: 0, machine: 1 }, { type: 'run', vcpu: 9, insns: 1 }] satisfies Choice[]) {
      expect(() => step(after(kept, 0), choice)).toThrow();
      expect(fingerprint(keep(after(kept, 4)))).toBe(sum);
    }
  });

  test.each(ENGINES)('replays identically, and from any instant to the same end (%s)', (engine) => {
    const history = openHistory(system, ping({ engine, quantum: 50 }), memoryLines(), { printFrames: 16, keepFrames: 8 });
    while (stepForward(history) !== undefined);
    const [end, frames] = [fingerprint(worldOf(history)), framesOf(history)];
    expect(verify(history)).toMatchObject({ identical: true, frames });
    for (const frame of [frames - 1, Math.floor(frames / 2), 3]) {
      goTo(history, { branch: 'main', frame, insns: 0 });
      while (stepForward(history) !== undefined);
      expect(fingerprint(worldOf(history))).toBe(end);
    }
    // Positions count the vCPUs over the machines, and lie inside frames.
    expect(goToPosition(history, 'vcpu1:insn:333').insns).toBeGreaterThan(0);
    const [zero, one] = machinesOf(worldOf(history)) as [World, World];
    expect([zero.state.clock, one.engine.board.cores[0]!.words[Word.ATTEMPTED]]).toEqual([one.state.clock, 333n]);
  });

  test('forks, and the branches differ where one was edited', () => {
    const history = openHistory(system, ping(), memoryLines());
    while (stepForward(history) !== undefined);
    const frame = 10;
    goTo(history, { branch: 'main', frame, insns: 0 });
    fork(history, 'other');
    patch(history, [{ type: 'register', vcpu: 1, name: 'X9', value: 7n }, { type: 'memory', address: 0x4030_0000, bytes: Uint8Array.of(1, 2), machine: 1 }, { type: 'seed', seed: 3 }]);
    const { values, pages } = diffPlaces(history, { branch: 'main', frame, insns: 0 }, { branch: 'other', frame: frame + 1, insns: 0 });
    expect(values.map(({ path }) => path)).toEqual(['seed', 'machines[0].seed', 'machines[0].registers[0].X9']);
    expect([pages[0], pages[1]!.length]).toEqual([[], 2]);
    while (stepForward(history) !== undefined);
    expect(endedOf(worldOf(history))?.by).toBe('off');
  });

  test('is explored in every order of its machines', () => {
    // Whose frame comes first is for the order of machines 1 and 2 to say.
    const plans: Deed[][] = [[{ post: 2 }, { await: 2 }], [{ send: 0 }], [{ send: 1 }]];
    const frames = [frameTo(macOf(0), 1, 1), frameTo(macOf(0), 2, 2)];
    const world = network(plans, frames);
    for (const { engine } of machinesOf(world)) engine.stops = { classes: new Set(), pages: new Set() };
    // Up to where each has its device, so that none resets what came.
    let start = world;
    for (const index of [0, 1, 2]) {
      for (let ready = false; !ready;) {
        ({ world: start } = step(start, choices(start).find((choice) => choice.type === 'slice' && choice.vcpu === index) ? { type: 'run', vcpu: index, insns: 1 } : next(start)!));
        ready = actorOf<VirtioState>(machinesOf(start)[index]!.state, 'virtio:0').status === 15;
      }
    }
    expect(choices(start).map((choice) => ('vcpu' in choice ? choice.vcpu : choice.type)).sort()).toEqual([0, 1, 2]);
    const orders = new Set<string>();
    const found = explore(system, start, { atEnd: [{ name: 'all off', check: (at) => { orders.add(received(at, 0).map((frame) => frame.at(-1)).join()); return endedOf(at)?.by === 'off' ? undefined : 'not off'; } }] }, { strategy: 'exhaustive', transitionsMax: 100_000 });
    expect(found).toMatchObject({ violations: [], complete: true });
    expect([...orders].sort()).toEqual(['1,2', '2,1']);
  });
});
