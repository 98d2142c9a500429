/** Condition codes as tables. */

/** For each condition code, bit nzcv is set when it holds. Arm ARM: ConditionHolds. */
export const CONDITIONS: readonly number[] = Array.from({ length: 16 }, (_, code) => {
  let set = 0;
  for (let nzcv = 0; nzcv < 16; nzcv += 1) if (holds(code, nzcv)) set |= 1 << nzcv;
  return set;
});

function holds(code: number, nzcv: number): boolean {
  const n = (nzcv & 8) !== 0, z = (nzcv & 4) !== 0, c = (nzcv & 2) !== 0, v = (nzcv & 1) !== 0;
  const base = [z, c, n, v, c && !z, n === v, n === v && !z, true][code >> 1]!;
  return (code & 1) === 1 && code !== 15 ? !base : base;
}
