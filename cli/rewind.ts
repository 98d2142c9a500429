/** `zeno rewind DIR --to POS`: puts the recording's cursor at an instant and says what is about to happen there. */

import type { Command } from 'commander';
import { machinesOf } from '../actors/world.ts';
import { eachEvent, goToPosition, placeText } from '../snapshots/timeline.ts';
import { numbering, entryJson, type TimelineEntry } from './entries.ts';
import type { Opened } from './open.ts';
import { jsonOption } from './options.ts';
import { paint, print, printJson, table, timeText } from './output.ts';
import { liveWorld, withSession, type ZenoHistory } from './session.ts';
import { nextText, vcpuLines } from './show.ts';
import { fieldsText } from './timeline.ts';

export function addRewind(program: Command): void {
  program.command('rewind').argument('<dir>', 'a recording').description('put its cursor at a position and say what is about to happen')
    .requiredOption('--to <position>', 'where').addOption(jsonOption('one object'))
    .action((directory: string, flags: { to: string; json?: boolean }) => withSession(directory, {}, ({ history, opened, recording }) => {
      const place = goToPosition(history, flags.to);
      const about = aboutToHappen(history);
      if (flags.json) {
        printJson({ ...place, timeNs: liveWorld(history).state.clock, fingerprint: history.system.fingerprint(liveWorld(history)), next: about.choice, events: about.events.map(entryJson) });
      } else {
        const world = liveWorld(history);
        print(`${paint('bold', placeText(place))}, ${timeText(world.state.clock)} of virtual time`);
        print(table(['', '', '', '', '>'], machinesOf(world).flatMap((machine) => vcpuLines(machine, opened))));
        printAbout(about, opened);
      }
      // Last: of a recording that cannot be written, it is told all the same what is about to happen.
      recording.saveCursor(place);
    }));
}

export interface AboutToHappen { readonly choice: string | null; readonly events: readonly TimelineEntry[] }

/** The recorded frame that the cursor stands before, or is inside: its choice, and the events that it brings. The cursor stays. */
export function aboutToHappen(history: ZenoHistory): AboutToHappen {
  if (history.cursor >= history.lines.line(history.branch).frames) return { choice: null, events: [] };
  const choice = nextText(history);
  const at = history.cursor;
  const name = numbering(history);
  const events: TimelineEntry[] = [];
  // Numbered from the start, as positions are.
  eachEvent(history, 0, at + 1, ({ frame, vcpu, event }) => {
    const entry = name(frame, event, vcpu);
    if (frame === at) events.push(entry);
  });
  return { choice, events };
}

/** Tells it to people. */
export function printAbout({ choice, events }: AboutToHappen, opened: Opened): void {
  if (choice === null) { print('this is the end of what is recorded'); return; }
  print(`about to happen: ${paint('yellow', choice)}${events.length === 0 ? ', without an event' : ''}`);
  for (const entry of events) print(`  ${entry.event} ${fieldsText(entry, opened)}`.trimEnd());
}
