/** The guests' files on disk, for Node. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { GuestFiles } from './scenario.ts';

/** Reads `scenarios/guests/built/NAME`. */
export const builtGuests: GuestFiles = (name) => new Uint8Array(readFileSync(new URL(`guests/built/${name}`, import.meta.url)));

/** SHA-256 in hexadecimal. */
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
