/** What a recording needs of the build that replays it, and a plain word when this build is another. */

/** What a recording was made of. Plain values only. */
export interface Manifest {
  /** Changes whenever the same choices could lead to another world. */
  readonly semantics: string;
  readonly scenario: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** In a stated order. `sum` is the SHA-256 of the file, in hexadecimal. */
  readonly images: readonly Image[];
  readonly seed: number;
}
export interface Image { readonly name: string; readonly sum: string; readonly bytes: number }

/** One thing that is not as recorded. A `fatal` one cannot replay; another may, up to the first frame that differs. */
export interface Mismatch { readonly what: string; readonly fatal: boolean; readonly message: string }

/** What differs between how a recording was made and what would replay it, in the order of the manifest. Empty: it replays. */
export function mismatches(recorded: Manifest, current: Manifest): readonly Mismatch[] {
  const found: Mismatch[] = [];
  if (recorded.semantics !== current.semantics) found.push({ what: 'semantics', fatal: false, message: `recorded with semantics ${recorded.semantics}, this build has ${current.semantics}: it is replayed and compared, and may differ` });
  if (recorded.scenario !== current.scenario) found.push({ what: 'scenario', fatal: true, message: `recorded from ${recorded.scenario}, not from ${current.scenario}` });
  for (const key of [...new Set([...Object.keys(recorded.options), ...Object.keys(current.options)])].sort()) {
    const [was, is] = [text(recorded.options[key]), text(current.options[key])];
    if (was !== is) found.push({ what: `options.${key}`, fatal: true, message: `recorded with ${key} ${was}, now ${is}: set it to ${was}` });
  }
  for (const image of recorded.images) {
    const other = current.images.find((candidate) => candidate.name === image.name);
    if (other === undefined) found.push({ what: `images.${image.name}`, fatal: true, message: `the image ${image.name} (${image.bytes} bytes, ${image.sum.slice(0, 12)}) is missing` });
    else if (other.sum !== image.sum) found.push({ what: `images.${image.name}`, fatal: true, message: `the image ${image.name} is another: recorded with ${image.sum.slice(0, 12)} (${image.bytes} bytes), now ${other.sum.slice(0, 12)} (${other.bytes} bytes)` });
  }
  for (const image of current.images) if (!recorded.images.some((other) => other.name === image.name)) found.push({ what: `images.${image.name}`, fatal: true, message: `the image ${image.name} was not there when it was recorded` });
  if (recorded.seed !== current.seed) found.push({ what: 'seed', fatal: true, message: `recorded with seed ${recorded.seed}, now ${current.seed}` });
  return found;
}

export class IncompatibleError extends Error { override readonly name = 'IncompatibleError'; }

/** Throws IncompatibleError, with one line for each reason, when the recording cannot be replayed. Returns the warnings. */
export function assertReplayable(recorded: Manifest, current: Manifest): readonly Mismatch[] {
  const found = mismatches(recorded, current);
  const fatal = found.filter((mismatch) => mismatch.fatal);
  if (fatal.length > 0) throw new IncompatibleError(fatal.map((mismatch) => mismatch.message).join('\n'));
  return found;
}

const text = (value: unknown): string =>
  (value === undefined ? 'unset' : JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `0x${inner.toString(16)}` : inner)));
