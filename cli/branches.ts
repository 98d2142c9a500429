/** `zeno branches DIR`: the tree of branches, where each left its parent, how far each goes, and the named positions on them. */

import type { Command } from 'commander';
import { jsonOption } from './options.ts';
import { paint, print, printJson } from './output.ts';
import { withSession } from './session.ts';

export function addBranches(program: Command): void {
  program.command('branches').argument('<dir>', 'a recording').description('the tree of branches, and the marks on them').addOption(jsonOption())
    .action((directory: string, flags: { json?: boolean }) => withSession(directory, {}, ({ recording }) => {
      const { all, cursor } = recording;
      if (flags.json) {
        for (const line of all) printJson({ branch: line.name, parent: line.parent?.branch ?? null, forkFrame: line.parent?.frame ?? null, frames: line.frames, closed: line.closed, keyframes: line.prints.length, marks: line.marks, cursor: cursor?.branch === line.name ? cursor : null });
        return;
      }
      const show = (name: string, stem: string, last: boolean | undefined): void => {
        const line = all.find((candidate) => candidate.name === name)!;
        const { parent } = line;
        const joint = last === undefined ? '' : last ? '└─ ' : '├─ ';
        const below = last === undefined ? '' : last ? '   ' : '│  ';
        print(`${stem}${joint}${paint('bold', name)}${parent === undefined ? '' : ` from frame:${parent.frame} of ${parent.branch}`}, ${line.frames} frames${cursor?.branch === name ? paint('yellow', `, the cursor at frame:${cursor.frame}${cursor.insns > 0 ? ` and ${cursor.insns} instructions` : ''}`) : ''}`);
        const children = all.filter((candidate) => candidate.parent?.branch === name);
        for (const mark of line.marks) print(`${stem}${below}${children.length > 0 ? '│  ' : '   '}${paint('cyan', `mark:${mark.name}`)} at frame:${mark.frame}${mark.insns > 0 ? ` and ${mark.insns} instructions` : ''}`);
        for (const [index, child] of children.entries()) show(child.name, stem + below, index === children.length - 1);
      };
      show('main', '', undefined);
    }));
}
