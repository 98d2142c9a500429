/** Every A64 instruction row. Loading this file refuses rows that share a word. */

import { ARITHMETIC } from './instructions/arithmetic.ts';
import { BRANCHES } from './instructions/branches.ts';
import { CIPHER } from './instructions/cipher.ts';
import { EXCLUSIVES_AND_ATOMICS } from './instructions/exclusive.ts';
import { FLOAT_COMPLEX } from './instructions/float-complex.ts';
import { FLOAT_CONVERT } from './instructions/float-convert.ts';
import { FLOAT_SCALAR } from './instructions/float-scalar.ts';
import { FLOAT_VECTOR } from './instructions/float-vector.ts';
import { HOLES } from './instructions/holes.ts';
import { LOAD_STORE } from './instructions/load-store.ts';
import { LOGICAL } from './instructions/logical.ts';
import { PAIRS } from './instructions/pairs.ts';
import { POINTER_AUTHENTICATION } from './instructions/pointer-authentication.ts';
import { SYSTEM } from './instructions/system.ts';
import { VECTOR_ARITHMETIC } from './instructions/vector-arithmetic.ts';
import { VECTOR_LOAD_STORE } from './instructions/vector-load-store.ts';
import { VECTOR_LONG } from './instructions/vector-long.ts';
import { VECTOR_PERMUTE } from './instructions/vector-permute.ts';
import { VECTOR_SHIFT } from './instructions/vector-shift.ts';
import { VECTOR_UNARY } from './instructions/vector-unary.ts';
import { refuseOverlaps, type Row } from './row.ts';

/** Advanced SIMD but for floating point, and what loads and stores its registers. */
export const VECTOR: readonly Row[] = [...VECTOR_ARITHMETIC, ...VECTOR_UNARY, ...VECTOR_LONG, ...VECTOR_SHIFT, ...VECTOR_PERMUTE, ...VECTOR_LOAD_STORE, ...CIPHER];
/** Floating point, scalar and vector. */
export const FLOAT: readonly Row[] = [...FLOAT_SCALAR, ...FLOAT_VECTOR, ...FLOAT_CONVERT, ...FLOAT_COMPLEX];

export const ROWS: readonly Row[] = [...ARITHMETIC, ...LOGICAL, ...BRANCHES, ...LOAD_STORE, ...PAIRS, ...EXCLUSIVES_AND_ATOMICS, ...POINTER_AUTHENTICATION, ...SYSTEM, ...VECTOR, ...FLOAT, ...HOLES];

refuseOverlaps(ROWS);
