/** The guests' files on disk, for Node. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { GuestFiles } from './scenario.ts';

/** Reads `scenarios/guests/built/NAME`. */
export const builtGuests: GuestFiles = (name) => new Uint8Array(readFileSync(new URL(`guests/built/${name}`, import.meta.url)));

/** SHA-256 in hexadecimal. */
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Where `npm run guests:fetch` puts the guests that nobody here wrote. `ZENO_GUESTS` names another folder than the checkout's. */
export const GUESTS_FOLDER = resolve(process.env['ZENO_GUESTS'] ?? join(import.meta.dirname, '../.guests'));
