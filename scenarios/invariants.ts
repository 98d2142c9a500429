/** What must hold of every World, whatever runs on it: for runs, exploration and tests to ask after each frame. */

import { kindOf } from '../actors/actor.ts';
import type { Choice } from '../actors/choices.ts';
import { enter, type World, type WorldEvent } from '../actors/world.ts';
import { Lr } from '../machines/aarch64/list-registers.ts';
import { bits, hex } from '../machines/bits.ts';
import { distributorFaults, itsFaults, redistributorFaults, type DistributorState, type ItsState, type RedistributorState } from '../machines/gic/state.ts';
import { checkKvm, type KvmState } from '../machines/kvm/state.ts';
import type { Address } from '../machines/messages.ts';
import { violations } from '../machines/mmu/invariants.ts';
import { CANONICAL, checkMmu, NOT_LOADED, type MmuState } from '../machines/mmu/state.ts';
import { checkTimer, type TimerState } from '../machines/timer/state.ts';
import { wrongLevels } from '../machines/timer/timer.ts';
import { hardwareListRegister, l1ListRegister } from '../machines/vgic/interface.ts';
import { rank } from '../machines/vgic/nested.ts';
import { checkVgic, type VgicState } from '../machines/vgic/state.ts';
import type { Property } from '../snapshots/property.ts';

export type Invariant = Property<World, Choice, WorldEvent>;

/** Each reads only the World it is given and the frame that led to it, so that a search may ask in any order. */
export const INVARIANTS: readonly Invariant[] = [
  {
    name: 'no machine contradicts itself',
    check: (world) => firstOf(world, (address, actor) => {
      if (sound.has(actor as object)) return undefined;
      const wrong = contradiction(address, actor);
      if (wrong === undefined) sound.add(actor as object);
      return wrong;
    }),
  },
  {
    name: 'all that was said is delivered',
    check({ state, engine }) {
      if (engine.board.outbox.length > 0) return `${engine.board.outbox[0]!.message.type} for ${engine.board.outbox[0]!.to} is still in the outbox`;
      if (state.mailbox.length > 0) return `${state.mailbox[0]!.message.type} for ${state.mailbox[0]!.to} is still in the mailbox`;
      return undefined;
    },
  },
  {
    // B29: a cached level that disagrees with its comparator stays wrong, since lines are told by their edges.
    name: 'at every entry each timer line is what its comparator says',
    check: (world, frame) => atEntries(world, frame.events, (vcpu) => wrongLevels(world.state.actors[`timer:${vcpu}`] as TimerState, world.engine.board, world.state.clock)[0]),
  },
  {
    // B1: the hardware's list registers are packed, L1's need not be.
    name: 'at every entry to L2 the hardware holds exactly the list registers that L1 uses, packed in their order',
    check: (world, frame) => atEntries(world, frame.events, (vcpu) => misplaced(world, vcpu)),
  },
  {
    // B15, B16. Between taking a right away and the TLBI an entry may be out of date, and L1 invalidates before it enters its guest: our
    // guests never take rights away while another vCPU is below, or that one's entry would be blamed for it.
    name: 'at every entry to L2 no shadow stage 2 grants what L1 and L0 do not, and nobody runs on one that is to be unmapped',
    check: (world, frame) => atEntries(world, frame.events, (vcpu) =>
      ((world.state.actors[`kvm:${vcpu}`] as KvmState).hyp ? undefined : violations(world.state.actors.mmu as MmuState, world.engine.board)[0])),
  },
  {
    name: 'virtual EL2 runs on the canonical stage 2, and a vCPU in the guest has one loaded',
    check: (world) => firstOf(world, (address, actor) => {
      if (!address.startsWith('kvm:')) return undefined;
      const kvm = actor as KvmState;
      if (kvm.mode !== 'guest') return undefined;
      const current = (world.state.actors.mmu as MmuState).current[kvm.index]!;
      if (current === NOT_LOADED) return `${address} is in the guest and has no stage 2 loaded`;
      return kvm.hyp && current !== CANONICAL ? `${address} is in virtual EL2 on shadow ${current}` : undefined;
    }),
  },
];

/** Actor states that were looked at and are well: they are immutable, and most stay as they are from frame to frame. */
const sound = new WeakSet<object>();

function contradiction(address: string, actor: unknown): string | undefined {
  switch (kindOf(address as Address)) {
    case 'kvm': return thrown(() => checkKvm(actor as KvmState));
    case 'vgic': return thrown(() => checkVgic(actor as VgicState));
    case 'timer': return thrown(() => checkTimer(actor as TimerState));
    case 'mmu': return thrown(() => checkMmu(actor as MmuState));
    case 'gicd': return distributorFaults(actor as DistributorState)[0];
    case 'its': return itsFaults(actor as ItsState)[0];
    case 'gicr': return redistributorFaults(actor as RedistributorState)[0];
    default: return undefined;
  }
}

/**
 * The other half of B1, for one run from its start: what L2's exit leaves in hardware list register rank(i) is what L1 finds in its
 * register i. It remembers the last exit, so it is not for a search.
 */
export function listRegistersFold(): Invariant {
  const left = new Map<number, { readonly index: number; readonly state: bigint }[]>();
  return {
    name: 'after an exit from L2 each of L1\'s list registers has the state that the hardware left',
    check(world, { choice, events }) {
      const { board } = world.engine;
      if (choice.type === 'l0') {
        const expected = left.get(choice.vcpu) ?? [];
        left.delete(choice.vcpu);
        for (const { index, state } of expected) {
          const found = l1ListRegister(board, choice.vcpu, index) & Lr.STATE;
          if (found !== state) return `vCPU ${choice.vcpu}: ICH_LR${index}_EL2 has state ${bits(found, 63, 62)}, the hardware left ${bits(state, 63, 62)}`;
        }
      }
      for (const event of events) {
        if (event.event !== 'kvm_exit') continue;
        const vcpu = event.vcpu as number;
        const { loaded, live, lrMap } = world.state.actors[`vgic:${vcpu}`] as VgicState;
        if (loaded !== 'nested' || !live) continue;
        const used = [...Array(16).keys()].filter((index) => (lrMap & (1 << index)) !== 0);
        left.set(vcpu, used.map((index) => ({ index, state: hardwareListRegister(board.cores[vcpu]!, rank(lrMap, index)) & Lr.STATE })));
      }
      return undefined;
    },
  };
}

const SAME = Lr.STATE | 0x10ff_0000_ffff_ffffn;

function misplaced(world: World, vcpu: number): string | undefined {
  const { board } = world.engine;
  const vgic = world.state.actors[`vgic:${vcpu}`] as VgicState;
  if (vgic.loaded !== 'nested' || !vgic.live) return undefined;
  const hardware = Array.from({ length: board.features.listRegisters }, (_, index) => hardwareListRegister(board.cores[vcpu]!, index));
  const own = Array.from({ length: board.features.listRegisters }, (_, index) => l1ListRegister(board, vcpu, index)).filter((lr) => (lr & Lr.STATE) !== 0n);
  const wrong = hardware.findIndex((lr, index) => (lr & SAME) !== ((own[index] ?? 0n) & SAME));
  return wrong < 0 ? undefined : `vCPU ${vcpu}: hardware list register ${wrong} is ${hex(hardware[wrong]!)}, of those that L1 uses it should be ${hex(own[wrong] ?? 0n)}`;
}

/** What `check` finds wrong for the first vCPU that the frame left in the guest after an entry. */
function atEntries(world: World, events: readonly WorldEvent[], check: (vcpu: number) => string | undefined): string | undefined {
  for (const { event, vcpu } of events) {
    if (event !== 'kvm_entry') continue;
    enter(world);
    const wrong = check(vcpu as number);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function firstOf(world: World, check: (address: string, actor: unknown) => string | undefined): string | undefined {
  for (const [address, actor] of Object.entries(world.state.actors)) {
    const wrong = check(address, actor);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function thrown(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
