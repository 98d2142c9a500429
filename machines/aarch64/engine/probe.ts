/** The addresses that an instruction is about to access, found by running its semantics without effects. */

import type { AtomicOperation, PointerOperation } from '../builder.ts';
import type { Decoded } from '../decode.ts';
import { ZERO_BYTES, type Bytes } from '../memory-access.ts';
import type { Core } from '../state.ts';
import { DC_ZVA } from './permitted.ts';
import { ReferenceEngine } from './reference.ts';

export interface ProbedAccess {
  readonly address: bigint;
  readonly bytes: number;
  /** A read-modify-write counts as a write. */
  readonly kind: 'read' | 'write';
}

/** The data accesses that `decoded` would make in the present state, in order. No A64 instruction computes an address from what it loads, so that they are exact. */
export function probe(core: Core, decoded: Decoded): readonly ProbedAccess[] {
  const engine = new ProbeEngine(core);
  decoded.semantics(engine, decoded.fields);
  return engine.accesses;
}

class ProbeEngine extends ReferenceEngine {
  readonly accesses: ProbedAccess[] = [];

  note(address: bigint, bytes: number, kind: 'read' | 'write'): void {
    this.accesses.push({ address: BigInt.asUintN(64, address), bytes, kind });
  }

  override setX(): void {}
  override setStackPointer(): void {}
  override alignedStackPointer(): bigint { return this.stackPointer(); }
  override setFlags(): void {}
  override load(address: bigint, bytes: Bytes): bigint {
    this.note(address, bytes, 'read');
    return 0n;
  }
  override store(address: bigint, bytes: Bytes): void { this.note(address, bytes, 'write'); }
  override storePair(address: bigint, bytes: 4 | 8, _first: bigint, _second: bigint): void { this.note(address, 2 * bytes, 'write'); }
  override loadExclusive(address: bigint, bytes: Bytes): bigint { return this.load(address, bytes); }
  override loadExclusivePair(address: bigint): readonly [bigint, bigint] {
    this.note(address, 16, 'read');
    return [0n, 0n];
  }
  override storeExclusive(address: bigint, bytes: Bytes): bigint {
    this.note(address, bytes, 'write');
    return 0n;
  }
  override storeExclusivePair(address: bigint, _low: bigint, _high: bigint): bigint {
    this.note(address, 16, 'write');
    return 0n;
  }
  override clearExclusive(): void {}
  override atomic(_operation: AtomicOperation, address: bigint, bytes: Bytes, _operand: bigint): bigint {
    this.note(address, bytes, 'write');
    return 0n;
  }
  override compareAndSwap(address: bigint, bytes: Bytes, _expected: bigint, _replacement: bigint): bigint {
    this.note(address, bytes, 'write');
    return 0n;
  }
  override compareAndSwapPair(address: bigint, _expected: readonly [bigint, bigint], _replacement: readonly [bigint, bigint]): readonly [bigint, bigint] {
    this.note(address, 16, 'write');
    return [0n, 0n];
  }
  override jump(): void {}
  override barrier(): void {}
  override branchType(): void {}
  override authenticatePointer(_operation: PointerOperation, pointer: bigint): bigint { return pointer; }
  override jumpBy(): void {}
  override readSystemRegister(): bigint { return 0n; }
  override writeSystemRegister(): void {}
  override systemInstruction(encoding: number, value: bigint): bigint {
    if (encoding === DC_ZVA) this.note(value & ~BigInt(ZERO_BYTES - 1), ZERO_BYTES, 'write');
    return 0n;
  }
  override setPstateField(): void {}
  override waitForInterrupt(): void {}
  override waitForEvent(): void {}
  override sendEvent(): void {}
  override except(): void {}
  override exceptionReturn(): void {}
  override undefinedInstruction(): void {}
  override hole(): void {}
  override checkFloatingPoint(): void {}
  override setVector(): void {}
  override setVectorLow(): void {}
  override saturation(): void {}
  override accumulate(): void {}
  override loadVector(address: bigint): bigint {
    this.note(address, 16, 'read');
    return 0n;
  }
  override storeVector(address: bigint): void { this.note(address, 16, 'write'); }
}
