/** The addresses that an instruction is about to access, found by running its semantics without effects. */

import type { Bytes } from '../memory-access.ts';
import type { Access } from '../memory-access.ts';
import type { AtomicOperation } from '../builder.ts';
import type { Core } from '../state.ts';
import type { Decoded } from '../decode.ts';
import { ReferenceEngine } from './reference.ts';

export interface ProbedAccess {
  readonly address: bigint;
  readonly bytes: number;
  readonly kind: 'read' | 'write';
  readonly unprivileged: boolean;
}

/** The data accesses that `decoded` would make in the present state, in order. No A64 instruction computes an address from what it loads, so that they are exact. */
export function probe(core: Core, decoded: Decoded): readonly ProbedAccess[] {
  const engine = new ProbeEngine(core);
  decoded.semantics(engine, decoded.fields);
  return engine.accesses;
}

class ProbeEngine extends ReferenceEngine {
  readonly accesses: ProbedAccess[] = [];

  note(address: bigint, bytes: number, kind: 'read' | 'write', access: Access): void {
    this.accesses.push({ address: BigInt.asUintN(64, address), bytes, kind, unprivileged: access.unprivileged === true });
  }

  override setX(): void {}
  override setStackPointer(): void {}
  override alignedStackPointer(): bigint { return this.stackPointer(); }
  override setFlags(): void {}
  override load(address: bigint, bytes: Bytes, access: Access): bigint {
    this.note(address, bytes, 'read', access);
    return 0n;
  }
  override store(address: bigint, bytes: Bytes, _value: bigint, access: Access): void { this.note(address, bytes, 'write', access); }
  override storePair(address: bigint, bytes: 4 | 8, _first: bigint, _second: bigint, access: Access): void { this.note(address, 2 * bytes, 'write', access); }
  override loadExclusive(address: bigint, bytes: Bytes, access: Access): bigint { return this.load(address, bytes, access); }
  override loadExclusivePair(address: bigint, access: Access): readonly [bigint, bigint] {
    this.note(address, 16, 'read', access);
    return [0n, 0n];
  }
  override storeExclusive(address: bigint, bytes: Bytes, _value: bigint, access: Access): bigint {
    this.note(address, bytes, 'write', access);
    return 0n;
  }
  override storeExclusivePair(address: bigint, _low: bigint, _high: bigint, access: Access): bigint {
    this.note(address, 16, 'write', access);
    return 0n;
  }
  override clearExclusive(): void {}
  override atomic(_operation: AtomicOperation, address: bigint, bytes: Bytes, _operand: bigint, access: Access): bigint {
    this.note(address, bytes, 'write', access);
    return 0n;
  }
  override compareAndSwap(address: bigint, bytes: Bytes, _expected: bigint, _replacement: bigint, access: Access): bigint {
    this.note(address, bytes, 'write', access);
    return 0n;
  }
  override compareAndSwapPair(address: bigint, _expected: readonly [bigint, bigint], _replacement: readonly [bigint, bigint], access: Access): readonly [bigint, bigint] {
    this.note(address, 16, 'write', access);
    return [0n, 0n];
  }
  override jump(): void {}
  override readSystemRegister(): bigint { return 0n; }
  override writeSystemRegister(): void {}
  override systemInstruction(): bigint { return 0n; }
  override setPstateField(): void {}
  override waitForInterrupt(): void {}
  override waitForEvent(): void {}
  override sendEvent(): void {}
  override except(): void {}
  override exceptionReturn(): void {}
  override undefinedInstruction(): void {}
  override hole(): void {}
}
