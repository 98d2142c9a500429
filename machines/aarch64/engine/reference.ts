/** The reference engine: the builder whose operations act at once, in bigint and boolean. It is what the other engines are checked against. */

import type { VectorBuilder } from '../vector-builder.ts';
import { FloatReference } from './reference-float.ts';

/** One engine for one core. A class, so that V8 sees one shape and one set of methods for all cores. */
export class ReferenceEngine extends FloatReference implements VectorBuilder<bigint, boolean, bigint> {}
