/** A benchmark's rows: one line each for people, one object each for programs. */

export interface Row {
  readonly bench: string;
  readonly workload: string;
  /** Null where it could not be measured: `skipped` says why. */
  readonly ours: number | null;
  readonly peer: number | null;
  readonly peerName: string;
  /** Above 1 when ours is better. */
  readonly ratio: number | null;
  readonly unit: string;
  readonly runs: number;
  readonly skipped?: string;
  /** Which of our engines it was. */
  readonly engine?: string;
}

/** One object a row, or a table with a title above its columns. */
export function printRows(rows: readonly Row[], json: boolean): void {
  if (json) {
    for (const row of rows) console.log(JSON.stringify(row));
    return;
  }
  const lines = [
    ['bench', 'workload', 'engine', 'ours', 'peer', '', 'ratio', 'unit', ''],
    ...rows.map(({ bench, workload, engine, ours, peer, peerName, ratio, unit, skipped }) => [bench, workload, engine ?? '', figure(ours), figure(peer), peerName, figure(ratio), unit, skipped ?? '']),
  ];
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const toTheRight = [false, false, false, true, true, false, true, false, false];
  for (const line of lines) console.log(line.map((cell, column) => (toTheRight[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join('  ').trimEnd());
}

const figure = (value: number | null): string => (value === null ? '-' : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** The middle one; of an even number the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
