/** Arm's own table of A64 encodings (shared/reference/data), where the checkout has it beside it. */

import { existsSync, readFileSync } from 'node:fs';

const PATH = new URL('../../../shared/reference/data/a64-encodings.json', import.meta.url);

export interface Encoding {
  readonly name: string;
  readonly group: string;
  /** Fixed bits without those that merely should have their value. */
  readonly mask: number;
  readonly value: number;
}

/** The encodings, or undefined where the data is absent. */
export function armEncodings(): readonly Encoding[] | undefined {
  if (!existsSync(PATH)) return undefined;
  const { instructions } = JSON.parse(readFileSync(PATH, 'utf8')) as { instructions: { name: string; group: string; mask: string; value: string; shouldBeMask: string }[] };
  return instructions.map(({ name, group, mask, value, shouldBeMask }) => {
    const fixed = (Number(mask) & ~Number(shouldBeMask)) >>> 0;
    return { name, group, mask: fixed, value: (Number(value) & fixed) >>> 0 };
  });
}
