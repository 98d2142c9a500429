/** Exits to L0 gathered from the timeline: what each was for, how long it took, and which of them belong to one nested exit. */

import { describeSystemAccess } from '../machines/aarch64/describe.ts';
import { decodePv } from '../machines/kvm/pv.ts';
import { framesOf } from '../snapshots/history.ts';
import { eachEntry, type TimelineEntry } from './entries.ts';
import { progress } from './output.ts';
import type { ZenoHistory } from './session.ts';

/** One exit to L0, until its vCPU was entered again. */
export interface Exit {
  readonly exit: number;
  /** The nested exit that this is, or is part of; 0: none. */
  readonly nested: number;
  readonly frame: number;
  readonly timeNs: number;
  readonly vcpu: number;
  readonly level: 'L1' | 'L2';
  readonly reason: string;
  /** ESR_EL2.EC; null for an interrupt. */
  readonly ec: number | null;
  readonly pc: bigint;
  /** Virtual time until the entry; undefined: there was none. */
  durationNs: number | undefined;
  /** What L0 did about it, the exit itself left out. */
  readonly events: TimelineEntry[];
}

/** A nested exit: an exit of L2, and all that its vCPU did until L2 was entered again. */
export interface NestedExit {
  readonly nested: number;
  readonly exits: readonly Exit[];
  /** Undefined: L2 was not entered again. */
  readonly durationNs: number | undefined;
}

/** The exits in frames `from` to before `to` of the cursor's branch, in order. */
export function exitsOf(history: ZenoHistory, from = 0, to = framesOf(history)): Exit[] {
  const exits: Exit[] = [];
  const open = new Map<number, Exit>();
  const bar = progress('reading', 'frames');
  eachEntry(history, from, to, (entry) => {
    const { event, vcpu, fields } = entry;
    if (vcpu === undefined) return;
    if (event === 'kvm_exit') {
      const exit: Exit = {
        exit: entry.exit, nested: entry.nested, frame: entry.frame, timeNs: entry.timeNs, vcpu, level: entry.level as 'L1' | 'L2',
        reason: String(fields.reason), ec: (fields.esr_ec as number | undefined) ?? null, pc: fields.pc as bigint, durationNs: undefined, events: [entry],
      };
      open.set(vcpu, exit);
      exits.push(exit);
      return;
    }
    const exit = open.get(vcpu);
    if (exit === undefined) return;
    exit.events.push(entry);
    if (event !== 'kvm_entry') return;
    exit.durationNs = entry.timeNs - exit.timeNs;
    open.delete(vcpu);
  }, (frame, frames) => { bar.update(frame, frames); });
  bar.end();
  return exits;
}

/** The nested exits among `exits`, in order. */
export function nestedExitsOf(exits: readonly Exit[]): NestedExit[] {
  const byNumber = new Map<number, Exit[]>();
  for (const exit of exits) {
    if (exit.nested === 0) continue;
    const own = byNumber.get(exit.nested);
    if (own) own.push(exit); else byNumber.set(exit.nested, [exit]);
  }
  return [...byNumber].map(([nested, own]) => {
    const last = own.at(-1)!.events.at(-1)!;
    return { nested, exits: own, durationNs: last.event === 'kvm_entry' && last.level === 'L2' ? last.timeNs - own[0]!.timeNs : undefined };
  });
}

/** What an exit was for, whatever it came through: `MSR ICH_HCR_EL2`, `ERET`, `TLBI VMALLS12E1IS`, `hypercall`. Under `pv` every one of them is an HVC. */
export function purposeOf(exit: Exit): string {
  for (const { event, fields } of exit.events) {
    switch (event) {
      case 'kvm_sys_access': return `${fields.is_write ? 'MSR' : 'MRS'} ${String(fields.name)}`;
      case 'kvm_nested_eret': return 'ERET';
      case 'kvm_wfx_arm64': return fields.is_wfe ? 'WFE' : 'WFI';
      case 'kvm_mmio': return `device ${String(fields.type)}`;
      case 'kvm_psci': return 'PSCI';
      case 'kvm_hvc_arm64': return 'hypercall';
      case 'kvm_smc_arm64': return 'SMC';
      case 'shadow_mmu_map': return 'stage-2 fault';
      default: break;
    }
  }
  const esr = exit.events[0]?.fields.esr as bigint | undefined;
  if (exit.reason === 'HVC64' && exit.level === 'L1' && esr !== undefined) return paravirtual(Number(esr & 0xffffn));
  if (exit.reason === 'SYS64' && esr !== undefined) return describeSystemAccess(Number(esr & 0x1ff_ffffn)).replace(/X\w+, |, X\w+/, '');
  return exit.reason;
}

/** An HVC of virtual EL2 that is no hypercall stands for another instruction. */
function paravirtual(immediate: number): string {
  const operation = decodePv(immediate);
  switch (operation.kind) {
    case 'mrs': return `MRS ${operation.register}`;
    case 'msr': case 'msr-immediate': return `MSR ${operation.register}`;
    case 'tlbi': case 'at': return operation.operation;
    case 'eret': return 'ERET';
    case 'psci': return 'PSCI';
    default: return 'hypercall';
  }
}

/** The register behind an exit, where it was for one. */
export function registerOf(purpose: string): { readonly register: string; readonly access: 'read' | 'write' } | undefined {
  const [, access, register] = /^(MRS|MSR) (\w+)$/.exec(purpose) ?? [];
  return register === undefined ? undefined : { register, access: access === 'MSR' ? 'write' : 'read' };
}

/** How often each key occurs, in order of first sight. */
export function countBy<Item>(items: readonly Item[], key: (item: Item) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
