/** Loads and stores of two registers. */

import type { Builder } from '../builder.ts';
import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import { base, displaced, PLAIN, writeBack } from './address.ts';
import { signed } from './common.ts';

type Kind = 'STP' | 'LDP' | 'LDPSW';

/** Both elements are read before either register is written. With Rt = Rt2 the second wins (CONSTRAINED UNPREDICTABLE: our choice). */
function move<V, B>(b: Builder<V, B>, f: Fields, kind: Kind, address: V): void {
  const bytes = kind !== 'LDPSW' && f.s ? 8 : 4;
  if (kind === 'STP') {
    b.storePair(address, bytes, b.x(f.t), b.x(f.u), PLAIN);
    return;
  }
  const first = b.load(address, bytes, PLAIN);
  const second = b.load(displaced(b, address, bytes), bytes, PLAIN);
  b.setX(f.t, kind === 'LDPSW' ? b.signExtend(first, 32) : first);
  b.setX(f.u, kind === 'LDPSW' ? b.signExtend(second, 32) : second);
}

const offset = (f: Fields, kind: Kind): number => signed(f.i, 7) * (kind !== 'LDPSW' && f.s ? 8 : 4);

const plain = (kind: Kind): Semantics => (b, f) => move(b, f, kind, displaced(b, base(b, f.n), offset(f, kind)));

/** The base is written last, so that it wins over a loaded register of the same number (CONSTRAINED UNPREDICTABLE: our choice). */
const withWriteBack = (kind: Kind, post: boolean): Semantics => (b, f) => {
  const before = base(b, f.n);
  const after = displaced(b, before, offset(f, kind));
  move(b, f, kind, post ? before : after);
  writeBack(b, f.n, after);
};

export const PAIRS: readonly Row[] = ([['STP', 's0', '0', '2s'], ['LDP', 's0', '1', '2s'], ['LDPSW', '01', '1', '2']] as const).flatMap(([kind, opc, L, scale]) => {
  const registers = kind === 'LDPSW' ? '<Xt>, <Xu>' : '<Rt>, <Ru>';
  const text = kind.toLowerCase();
  const bits = (mode: string): string => `${opc} 101 0 ${mode} ${L} iiiiiii uuuuu nnnnn ttttt`;
  return [
    instruction(`${kind} (post-index)`, bits('001'), withWriteBack(kind, true), `${text} ${registers}, [<Xn|SP>], #<scaled 7 ${scale}>`),
    instruction(`${kind} (pre-index)`, bits('011'), withWriteBack(kind, false), `${text} ${registers}, [<Xn|SP>, #<scaled 7 ${scale}>]!`),
    instruction(`${kind} (signed offset)`, bits('010'), plain(kind), `${text} ${registers}, [<Xn|SP><, #signed 7 ${scale}>]`),
    ...(kind === 'LDPSW' ? [] : [instruction(kind.replace('P', 'NP'), bits('000'), plain(kind), `${text.replace('p', 'np')} ${registers}, [<Xn|SP><, #signed 7 ${scale}>]`)]),
  ];
});
