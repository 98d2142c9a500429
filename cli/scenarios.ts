/** `zeno scenarios`: the questions, and how each was last answered here. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { SCENARIOS } from '../scenarios/all.ts';
import type { Manifest } from '../snapshots/compatibility.ts';
import { paint, print, printJson, table, type Colour } from './output.ts';
import { jsonOption } from './options.ts';

/** How a scenario went last, by the options it was run with. */
export interface Answer { readonly outcome: string; readonly reason: string; readonly options: Readonly<Record<string, unknown>> }

const ANSWERS = join('recordings', 'answers.json');

export function addScenarios(program: Command): void {
  program.command('scenarios').description('the questions and their last answers').addOption(jsonOption())
    .action((flags: { json?: boolean }) => { scenarios(flags.json === true); });
}

function scenarios(json: boolean): void {
  const answers = readAnswers();
  if (json) {
    for (const { name, question, vcpus } of SCENARIOS) printJson({ name, question, vcpus, answers: answers[name] ?? [] });
    return;
  }
  const rows = SCENARIOS.map(({ name, question, vcpus }) => {
    const last = answers[name]?.at(-1);
    return [name, String(vcpus), question, last === undefined ? paint('dim', 'not run here yet') : `${paint(COLOURS[last.outcome] ?? 'yellow', last.outcome)} with ${optionsText(last.options)}`];
  });
  print(table(['scenario', '>vCPUs', 'question', 'last answer'], rows));
}

const COLOURS: Readonly<Record<string, Colour>> = { passed: 'green', failed: 'red' };

const optionsText = (options: Readonly<Record<string, unknown>>): string =>
  Object.entries(options).filter(([, value]) => !(Array.isArray(value) && value.length === 0)).map(([key, value]) => `${key} ${String(value)}`).join(', ');

/** Notes an answer beside the recordings, in place of the one that the same options gave before. What cannot be written is let go: it is a convenience. */
export function noteAnswer(manifest: Manifest, outcome: string, reason: string): void {
  const answers = readAnswers();
  const { scenario, options } = manifest;
  const key = JSON.stringify(options);
  answers[scenario] = [...(answers[scenario] ?? []).filter((answer) => JSON.stringify(answer.options) !== key), { outcome, reason, options }];
  try {
    mkdirSync(dirname(ANSWERS), { recursive: true });
    writeFileSync(ANSWERS, `${JSON.stringify(answers, null, 2)}\n`);
  } catch {
    // A directory that is not ours to write.
  }
}

function readAnswers(): Record<string, Answer[]> {
  try {
    return JSON.parse(readFileSync(ANSWERS, 'utf8')) as Record<string, Answer[]>;
  } catch {
    return {};
  }
}
