/** Which errors are the user's to mend: one line and exit status 2. Anything else that is thrown is a bug of ours. */

import { CommanderError } from 'commander';
import { InputError } from '../actors/input-error.ts';
import { CodecError } from '../snapshots/codec.ts';
import { IncompatibleError } from '../snapshots/compatibility.ts';
import { UnknownBranchError } from '../snapshots/lines.ts';
import { LogError } from '../snapshots/log.ts';
import { RecordingError } from '../snapshots/recording.ts';
import { PositionError } from '../snapshots/timeline.ts';

const USER_ERRORS = [InputError, RecordingError, LogError, PositionError, IncompatibleError, UnknownBranchError, CodecError, CommanderError];

/** One line that says what was wrong, or undefined when `error` is none of the user's. */
export function userMessage(error: unknown): string | undefined {
  if (USER_ERRORS.some((kind) => error instanceof kind)) return (error as Error).message.trim().replace(/^error: /, '').replaceAll(/\s*\n\s*/g, '; ');
  // What the operating system refused: no such directory, no permission, a full disk.
  if (error instanceof Error && 'syscall' in error && 'code' in error) return `${String((error as NodeJS.ErrnoException).path ?? 'a file')}: ${error.message.replaceAll('\n', ' ')}`;
  return undefined;
}

/** Does `work`; a RangeError out of it, where the caller's words are what can be out of range, becomes an InputError. */
export function asInput<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) throw new InputError(error.message);
    throw error;
  }
}
