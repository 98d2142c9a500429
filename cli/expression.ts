/** The language of `--where`: comparisons of an event's fields with numbers and words, joined by && and ||, negated by !, in brackets. */

import { InputError } from '../actors/input-error.ts';

/*
 * or         = and ('||' and)*
 * and        = not ('&&' not)*
 * not        = '!' not | comparison
 * comparison = operand (('==' | '!=' | '<' | '<=' | '>' | '>=' | '=~') operand)?
 * operand    = '(' or ')' | number | string | 'true' | 'false' | 'null' | field
 *
 * Numbers are 12, 0x1f or 1.5; strings stand in '…' or "…"; =~ asks whether the right text is part of the left. Numbers of any
 * size compare by value. A field that an event does not have equals nothing but null.
 */

export type Predicate = (fields: Readonly<Record<string, unknown>>) => boolean;

type Value = number | bigint | string | boolean | null | undefined;
type Node = (fields: Readonly<Record<string, unknown>>) => Value;

interface Token { readonly kind: 'number' | 'string' | 'name' | 'sign' | 'end'; readonly text: string; readonly at: number }

/** Reads an expression. Throws InputError that names the character at fault. */
export function parseExpression(text: string): Predicate {
  const tokens = tokensOf(text);
  let at = 0;
  const peek = (): Token => tokens[at]!;
  const takeIf = (...signs: string[]): string | undefined => (peek().kind === 'sign' && signs.includes(peek().text) ? tokens[at++]!.text : undefined);
  const wrong = (token: Token, expected: string): InputError =>
    new InputError(`--where ${text}: character ${token.at + 1}: ${token.kind === 'end' ? 'the expression ends' : `there is ${token.text}`} where ${expected} should be`);

  const or = (): Node => {
    let left = and();
    while (takeIf('||')) { const [a, b] = [left, and()]; left = (fields) => truth(a(fields)) || truth(b(fields)); }
    return left;
  };
  const and = (): Node => {
    let left = not();
    while (takeIf('&&')) { const [a, b] = [left, not()]; left = (fields) => truth(a(fields)) && truth(b(fields)); }
    return left;
  };
  const not = (): Node => {
    if (!takeIf('!')) return comparison();
    const inner = not();
    return (fields) => !truth(inner(fields));
  };
  const comparison = (): Node => {
    const left = operand();
    const sign = takeIf('==', '!=', '<=', '>=', '<', '>', '=~');
    if (sign === undefined) return left;
    const right = operand();
    return (fields) => compare(sign, left(fields), right(fields));
  };
  const operand = (): Node => {
    const token = peek();
    if (takeIf('(')) {
      const inner = or();
      if (!takeIf(')')) throw wrong(peek(), 'a )');
      return inner;
    }
    if (token.kind === 'end' || token.kind === 'sign') throw wrong(token, 'a field, a number or a text');
    at++;
    if (token.kind === 'string') { const value = token.text.slice(1, -1); return () => value; }
    if (token.kind === 'number') { const value = token.text.includes('.') ? Number(token.text) : BigInt(token.text); return () => value; }
    if (token.text === 'true' || token.text === 'false') { const value = token.text === 'true'; return () => value; }
    if (token.text === 'null') return () => null;
    return (fields) => fields[token.text] as Value;
  };

  const whole = or();
  if (peek().kind !== 'end') throw wrong(peek(), '&&, || or the end');
  return (fields) => truth(whole(fields));
}

const TOKEN = /\s*(?:(?<number>0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)|(?<string>'[^']*'|"[^"]*")|(?<name>[A-Za-z_]\w*)|(?<sign>==|!=|<=|>=|=~|&&|\|\||[<>!()]))/uy;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) break;
    const [kind, token] = Object.entries(match.groups!).find(([, found]) => found !== undefined) as [Token['kind'], string];
    tokens.push({ kind, text: token, at: match.index + match[0].length - token.length });
    at = TOKEN.lastIndex;
  }
  const rest = text.slice(at).search(/\S/);
  if (rest >= 0) {
    const character = text[at + rest]!;
    const hint = character === '=' ? '; to compare, write ==' : character === '&' || character === '|' ? `; write ${character}${character}` : character === '"' || character === "'" ? '; the text that begins there does not end' : '';
    throw new InputError(`--where ${text}: character ${at + rest + 1}: ${character} means nothing here${hint}`);
  }
  return [...tokens, { kind: 'end', text: '', at: text.length }];
}

const truth = (value: Value): boolean => value !== undefined && value !== null && value !== false && value !== '' && value !== 0 && value !== 0n;

const isNumber = (value: Value): value is number | bigint => typeof value === 'number' || typeof value === 'bigint';

function compare(sign: string, left: Value, right: Value): boolean {
  if (sign === '=~') return left !== undefined && left !== null && right !== undefined && right !== null && String(left).includes(String(right));
  // JavaScript compares bigints with numbers exactly, by value.
  // oxlint-disable-next-line eqeqeq
  const equal = isNumber(left) && isNumber(right) ? left == right : (left ?? null) === (right ?? null);
  if (sign === '==') return equal;
  if (sign === '!=') return !equal;
  if (!(isNumber(left) && isNumber(right)) && !(typeof left === 'string' && typeof right === 'string')) return false;
  switch (sign) {
    case '<': return left < right;
    case '<=': return left <= right;
    case '>': return left > right;
    default: return left >= right;
  }
}
