/** Every A64 instruction row. Loading this file refuses rows that share a word. */

import { ARITHMETIC } from './instructions/arithmetic.ts';
import { BRANCHES } from './instructions/branches.ts';
import { EXCLUSIVES_AND_ATOMICS } from './instructions/exclusive.ts';
import { HOLES } from './instructions/holes.ts';
import { LOAD_STORE } from './instructions/load-store.ts';
import { LOGICAL } from './instructions/logical.ts';
import { PAIRS } from './instructions/pairs.ts';
import { POINTER_AUTHENTICATION } from './instructions/pointer-authentication.ts';
import { SYSTEM } from './instructions/system.ts';
import { refuseOverlaps, type Row } from './row.ts';

export const ROWS: readonly Row[] = [...ARITHMETIC, ...LOGICAL, ...BRANCHES, ...LOAD_STORE, ...PAIRS, ...EXCLUSIVES_AND_ATOMICS, ...POINTER_AUTHENTICATION, ...SYSTEM, ...HOLES];

refuseOverlaps(ROWS);
