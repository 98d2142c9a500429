/** The language of --where. */

import { describe, expect, test } from 'vitest';
import { InputError } from '../../actors/input-error.ts';
import { parseExpression } from '../../cli/expression.ts';

const EVENT = { event: 'kvm_exit', reason: 'SYS64', vcpu: 1, esr: 0x6232_07e0n, pc: 0xffff_0000_4000_1290n, is_write: true, nested: 0 };
const holds = (text: string): boolean => parseExpression(text)(EVENT);

test('fields are compared with numbers by value, whatever their size and type', () => {
  expect(holds('vcpu == 1')).toBe(true);
  expect(holds('vcpu != 0x1')).toBe(false);
  expect(holds('esr == 0x623207e0')).toBe(true);
  expect(holds('esr == 1647445984')).toBe(true);
  expect(holds('pc == 0xffff000040001290')).toBe(true);
  expect(holds('pc > 0xffff00004000128f && pc < 0xffff000040001291')).toBe(true);
  expect(holds('vcpu >= 1 && vcpu <= 1')).toBe(true);
  expect(holds('vcpu < 1.5')).toBe(true);
  expect(holds('1 < vcpu')).toBe(false);
});

test('texts are compared whole, in part, and by order', () => {
  expect(holds("reason == 'SYS64'")).toBe(true);
  expect(holds('reason == "SYS64"')).toBe(true);
  expect(holds("reason =~ 'SYS'")).toBe(true);
  expect(holds("reason =~ 'HVC'")).toBe(false);
  expect(holds("reason < 'TYS'")).toBe(true);
});

test('and binds closer than or, not closest, and brackets decide', () => {
  expect(holds("vcpu == 0 && reason == 'X' || is_write")).toBe(true);
  expect(holds("vcpu == 0 && (reason == 'X' || is_write)")).toBe(false);
  expect(holds('!is_write || vcpu == 1')).toBe(true);
  expect(holds('!(is_write && vcpu == 1)')).toBe(false);
  expect(holds('!!is_write')).toBe(true);
  expect(holds('is_write == true && is_write != false')).toBe(true);
});

test('a field that an event does not have equals nothing but null, and is neither above nor below', () => {
  expect(holds('absent == 0')).toBe(false);
  expect(holds('absent != 0')).toBe(true);
  expect(holds('absent == null')).toBe(true);
  expect(holds('absent < 5 || absent >= 5')).toBe(false);
  expect(holds('absent')).toBe(false);
  expect(holds('nested')).toBe(false);
});

test('a number and a text are not compared', () => {
  expect(holds("vcpu == '1'")).toBe(false);
  expect(holds("vcpu < 'a'")).toBe(false);
});

describe('what is no expression is told with the character at fault', () => {
  test.each([
    ["reason = 'SYS64'", /character 8: = means nothing here; to compare, write ==/],
    ['vcpu == 1 & is_write', /character 11: & means nothing here; write &&/],
    ["reason == 'SYS64", /character 11: ' means nothing here; the text that begins there does not end/],
    ['vcpu ==', /character 8: the expression ends where a field, a number or a text should be/],
    ['(vcpu == 1', /character 11: the expression ends where a \) should be/],
    ['vcpu == 1 is_write', /character 11: there is is_write where &&, \|\| or the end should be/],
    ['== 1', /character 1: there is == where a field/],
    ['', /the expression ends/],
    ['vcpu; process.exit()', /character 5: ; means nothing/],
  ])('%s', (text, message) => {
    expect(() => parseExpression(text)).toThrow(InputError);
    expect(() => parseExpression(text)).toThrow(message);
  });
});
