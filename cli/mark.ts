/** `zeno mark DIR POS NAME`: gives an instant a name, under which every verb finds it as mark:NAME. */

import type { Command } from 'commander';
import { mark } from '../snapshots/history.ts';
import { assertMarkName } from '../snapshots/lines.ts';
import { placeText, resolve } from '../snapshots/timeline.ts';
import { asInput } from './errors.ts';
import { jsonOption } from './options.ts';
import { print, printJson } from './output.ts';
import { withSession } from './session.ts';

export function addMark(program: Command): void {
  program.command('mark').argument('<dir>', 'a recording').argument('<position>', 'what to name').argument('<name>', 'how to call it').description('name a position').addOption(jsonOption('one object'))
    .action((directory: string, position: string, name: string, flags: { json?: boolean }) => {
      asInput(() => { assertMarkName(name); });
      return withSession(directory, { edit: true }, ({ history }) => {
        const place = resolve(history, position);
        mark(history, name, place);
        if (flags.json) printJson({ name, ...place });
        else print(`mark:${name} is ${placeText(place)}`);
      });
    });
}
