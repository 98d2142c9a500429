/** Every A64 instruction row. Loading this file refuses rows that share a word. */

import { ARITHMETIC } from './instructions/arithmetic.ts';
import { BRANCHES } from './instructions/branches.ts';
import { EXCLUSIVES_AND_ATOMICS } from './instructions/exclusive.ts';
import { FLOAT_COMPLEX } from './instructions/float-complex.ts';
import { FLOAT_CONVERT } from './instructions/float-convert.ts';
import { FLOAT_SCALAR } from './instructions/float-scalar.ts';
import { FLOAT_VECTOR } from './instructions/float-vector.ts';
import { HOLES } from './instructions/holes.ts';
import { LOAD_STORE } from './instructions/load-store.ts';
import { LOGICAL } from './instructions/logical.ts';
import { PAIRS } from './instructions/pairs.ts';
import { SYSTEM } from './instructions/system.ts';
import { refuseOverlaps, type Row } from './row.ts';

/** Floating point, scalar and vector. */
export const FLOAT: readonly Row[] = [...FLOAT_SCALAR, ...FLOAT_VECTOR, ...FLOAT_CONVERT, ...FLOAT_COMPLEX];

export const ROWS: readonly Row[] = [...ARITHMETIC, ...LOGICAL, ...BRANCHES, ...LOAD_STORE, ...PAIRS, ...EXCLUSIVES_AND_ATOMICS, ...SYSTEM, ...FLOAT, ...HOLES];

refuseOverlaps(ROWS);
