/** Extensions that exist as encodings and have no semantics here: a guest that reaches one is told so by name. */

import { hole, type Row } from '../row.ts';

const MTE = 'Memory tagging';

export const HOLES: readonly Row[] = [
  hole('Scalable Vector Extension', 'xxx 0010 xxxxx xxxxx xxxxx xxxxx xxxxx'),
  hole('Scalable Matrix Extension', '1xx 0000 xxxxx xxxxx xxxxx xxxxx xxxxx'),
  // ADDG, SUBG; SUBP, SUBPS, IRG, GMI; STGP; STG to LDGM.
  hole(MTE, '1 x 0 100011 0 xxxxxx xx xxxx nnnnn ddddd'),
  hole(MTE, '1 0 x 11010110 mmmmm 000000 nnnnn ddddd'), hole(MTE, '1 0 0 11010110 mmmmm 00010 x nnnnn ddddd'),
  hole(MTE, '01 101 0 0 x1 0 xxxxxxx xxxxx nnnnn ttttt'), hole(MTE, '01 101 0 0 10 0 xxxxxxx xxxxx nnnnn ttttt'),
  hole(MTE, '11011001 xx 1 xxxxxxxxx xx nnnnn ttttt'),
];
