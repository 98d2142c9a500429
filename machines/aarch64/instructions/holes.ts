/** Extensions that exist as encodings and have no semantics here: a guest that reaches one is told so by name. */

import { hole, type Row } from '../row.ts';

const PAUTH = 'Pointer authentication';
const MTE = 'Memory tagging';

export const HOLES: readonly Row[] = [
  hole('Scalable Vector Extension', 'xxx 0010 xxxxx xxxxx xxxxx xxxxx xxxxx'),
  hole('Scalable Matrix Extension', '1xx 0000 xxxxx xxxxx xxxxx xxxxx xxxxx'),
  // BRAA, BLRAA, RETAA, ERETAA and their B and zero-modifier siblings.
  hole(PAUTH, '1101011 x 0 00 11111 00001 x nnnnn xxxxx'), hole(PAUTH, '1101011 x 0 01 11111 00001 x nnnnn xxxxx'),
  hole(PAUTH, '1101011 0 0 10 11111 00001 x 11111 11111'), hole(PAUTH, '1101011 0 1 00 11111 00001 x 11111 11111'),
  // PACIA to XPACD, PACGA, LDRAA and LDRAB.
  hole(PAUTH, '1 1 0 11010110 00001 xxxxxx nnnnn ddddd'),
  hole(PAUTH, '1 0 0 11010110 mmmmm 001100 nnnnn ddddd'),
  hole(PAUTH, '11 111 0 00 x x 1 xxxxxxxxx x 1 nnnnn ttttt'),
  // ADDG, SUBG; SUBP, SUBPS, IRG, GMI; STGP; STG to LDGM.
  hole(MTE, '1 x 0 100011 0 xxxxxx xx xxxx nnnnn ddddd'),
  hole(MTE, '1 0 x 11010110 mmmmm 000000 nnnnn ddddd'), hole(MTE, '1 0 0 11010110 mmmmm 00010 x nnnnn ddddd'),
  hole(MTE, '01 101 0 0 xx 0 xxxxxxx xxxxx nnnnn ttttt'),
  hole(MTE, '11011001 xx 1 xxxxxxxxx xx nnnnn ttttt'),
];
