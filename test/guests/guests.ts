/** Where the guests lie that `npm run guests:fetch` gets, and what a test says that lacks them. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const GUESTS_FOLDER = resolve(process.env['ZENO_GUESTS'] ?? join(import.meta.dirname, '../../.guests'));
