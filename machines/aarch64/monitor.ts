/** What other cores notice of a store: their exclusive monitors open, which is an event for their WFE. Arm ARM B2.12, D1.6.1. */

import { type Core, Power, Word, setRegister } from './state.ts';

/** Exclusives reservation granule: 64 bytes (CTR_EL0.ERG = 4). IMPLEMENTATION DEFINED between 16 and 2048. */
export const GRANULE_BYTES = 64;

/** Sets one core's event register (SEVL, a cleared global monitor, an exception return). */
export function setEvent(core: Core): void {
  setRegister(core, Word.EVENT, 1n);
  if (core.words[Word.POWER] === BigInt(Power.WFE)) setRegister(core, Word.POWER, BigInt(Power.ON));
}

/** A store to a marked granule opens the monitor of the core that marked it. */
export function breakMonitor(other: Core, pa: number, bytes: number): void {
  const marked = Number(other.words[Word.MONITOR]!) - 1;
  if (pa + bytes <= marked || pa >= marked + GRANULE_BYTES) return;
  setRegister(other, Word.MONITOR, 0n);
  setEvent(other);
}
