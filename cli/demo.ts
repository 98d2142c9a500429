/** `npm run demo`: a fault that only a nested exit shows, found, rewound to, forked away from and compared. Every step is a call that a verb makes; the verb is printed with it. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { actorOf } from '../actors/world.ts';
import { describeRegister } from '../machines/aarch64/describe.ts';
import { slot } from '../machines/aarch64/sysregs.ts';
import { readVirtual } from '../machines/kvm/context.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import { goTo } from '../snapshots/history.ts';
import { goToPosition, placeText as positionText, resolve } from '../snapshots/timeline.ts';
import { codeAt, codeText, pcOf, spaceOf } from './code.ts';
import { compareBranches, printComparison } from './diff.ts';
import { userMessage } from './errors.ts';
import { branchOff, readEdits } from './fork.ts';
import { openScenario } from './open.ts';
import { grouped, note, paint, print, table, timeText } from './output.ts';
import { replayBranches } from './replay.ts';
import { aboutToHappen, printAbout } from './rewind.ts';
import { runOn, VIOLATION, type RunEnd, type RunOptions } from './runner.ts';
import { liveWorld, startSession, type Session } from './session.ts';
import { vcpuLines } from './show.ts';
import { placeText } from './timeline.ts';

const SCENARIO = 'forward-exception';
const FAULT = 'fault=stale-elr';
const PATCH = 'sym:fault_stale_elr=0';
const FIXED = 'fixed';

async function demo(): Promise<number> {
  const started = performance.now();
  const directory = freshDirectory();
  print(paint('bold', 'Zeno: one fault of a guest hypervisor, from the first symptom to the proof of its repair'));
  say(`
    L1, a small hypervisor, is real AArch64 code at virtual EL2. Under it runs a simulated KVM (L0), above it a guest of its
    own (L2) on two vCPUs. L2 executes an instruction that L1 does not allow, and L1 is to answer with an exception in L2.
    This L1 carries a fault.`);

  head('Run it, and record it');
  command(`run ${SCENARIO} --append ${FAULT} --record ${directory}`);
  const opened = await openScenario(SCENARIO, { nested: 'nv2', l1: 'vhe', append: FAULT });
  const session = startSession(opened, directory);
  try {
    const broken = await runOn(session, withConsole());
    tellEnd(broken);
    if (broken.by !== 'claim' || broken.nested === 0) { print(paint('red', '\nThe fault was not found: nothing to show.')); return 1; }
    const instant = `nested:${broken.nested}`;
    say(`
      A property of the scenario does not hold: ${paint('bold', broken.broken!.property)}. The fault was made while L1 handled one
      nested exit, ${paint('bold', instant)} of vcpu${broken.vcpu}. What follows is that exit.`);

    head('Rewind to before it');
    command(`rewind ${directory} --to ${instant}`);
    showInstant(session, instant);

    head('Look around there');
    command(`show ${directory} --at ${instant} --what code:vcpu:${broken.vcpu},4`);
    showCode(session, broken.vcpu!);
    command(`show ${directory} --at mark:${VIOLATION} --what vcpu:${broken.vcpu}`);
    showForwarded(session, broken.vcpu!);

    head('Fork there, with the fault switched off in memory');
    command(`fork ${directory} --at ${instant} --name ${FIXED} --set ${PATCH}`);
    const place = resolve(session.history, instant);
    goTo(session.history, place);
    branchOff(session.history, FIXED, readEdits(session.history, opened, [PATCH]));
    print(`branch ${paint('bold', FIXED)} leaves ${positionText(place)} with ${PATCH}\n`);
    const fixed = await runOn(session, withConsole());
    tellEnd(fixed);

    head('Compare the two');
    command(`diff ${directory} main ${FIXED}`);
    printComparison(compareBranches(session.history, opened, 'main', FIXED), opened);

    head('Prove that both are what happened');
    command(`replay ${directory}`);
    const verdict = replayBranches(session.history, ['main', FIXED]);
    print(verdict.identical ? `${paint('green', 'identical')}: ${grouped(verdict.frames)} frames and ${grouped(verdict.keyframes)} keyframes of 2 branches, run again from the start` : `${paint('red', 'different')}: ${verdict.firstDifference!.message}`);

    head('Where it is');
    print(`The recording lies in ${paint('bold', directory)}. Each step above is the command printed with it (npx zeno …). Some more:\n`);
    for (const more of [`timeline ${directory} --tree`, `show ${directory} --at ${FIXED}@${instant} --what stage2`, `stat ${directory} --branch ${FIXED}`, `branches ${directory}`]) print(`  ${paint('cyan', `zeno ${more}`)}`);
    const well = broken.outcome === 'failed' && fixed.outcome === 'passed' && verdict.identical;
    print(`\n${well ? paint('green', 'main failed, the fork passed, both replay') : paint('red', 'this is not how it should end')}; ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return well ? 0 : 1;
  } finally {
    session.close();
  }
}

/** recordings/demo, or the next number of it that is free. */
function freshDirectory(): string {
  for (let number = 1; ; number++) {
    const directory = join('recordings', number === 1 ? 'demo' : `demo-${number}`);
    if (!existsSync(directory)) return directory;
  }
}

let steps = 0;
function head(text: string): void {
  steps++;
  print(`\n${paint('bold', `${steps}  ${text}`)}\n${paint('dim', '─'.repeat(text.length + 3))}`);
}

const command = (words: string): void => print(`${paint('cyan', `$ zeno ${words}`)}\n`);

const say = (text: string): void => print(`\n${text.trim().replaceAll(/\n\s+/g, '\n')}`);

/** The guest's console as it runs, set apart. */
function withConsole(): RunOptions {
  let atStart = true;
  return {
    each: (event) => {
      if (event.event !== 'console') return;
      for (const character of String(event.text)) {
        if (atStart) process.stdout.write(paint('blue', '  console │ '));
        process.stdout.write(character);
        atStart = character === '\n';
      }
    },
  };
}

function tellEnd(end: RunEnd): void {
  print(`\n${paint(end.outcome === 'passed' ? 'green' : 'red', end.outcome)}: ${end.reason}`);
  print(paint('dim', `${grouped(end.insns)} instructions, ${timeText(end.timeNs)} of virtual time, ${grouped(end.exits)} exits to L0, ${end.nestedExits} of them from L2; fingerprint ${end.fingerprint}`));
}

function showInstant({ history, opened }: Session, position: string): void {
  const place = goToPosition(history, position);
  print(`${paint('bold', positionText(place))}, ${timeText(liveWorld(history).state.clock)} of virtual time\n`);
  print(table(['', '', '', '', '>'], vcpuLines(liveWorld(history), opened)));
  print();
  printAbout(aboutToHappen(history), opened);
}

const BEFORE = 2;

function showCode({ history, opened }: Session, vcpu: number): void {
  const world = liveWorld(history);
  const pc = pcOf(world, vcpu);
  print(codeText(codeAt(world, spaceOf(world, opened, vcpu), pc - BigInt(4 * BEFORE), BEFORE + 4), pc).join('\n'));
  const esr = describeRegister('ESR_EL2', world.engine.board.cores[vcpu]!.words[slot('ESR_EL2')]!);
  print(`\nvcpu${vcpu} was in L2, at ${placeText(pc, opened.images.l2)}. It trapped: ${esr}\n`);
}

/** What L1 made of the exit: the registers that it loaded for L2, and where it sent it. */
function showForwarded({ history, opened }: Session, vcpu: number): void {
  goToPosition(history, `mark:${VIOLATION}`);
  const world = liveWorld(history);
  const kvm = actorOf<KvmState>(world.state, `kvm:${vcpu}`);
  const read = (name: string): bigint => readVirtual(kvm, world.engine.board, name);
  const l2 = opened.images.l2;
  const rows: [string, string, string][] = [
    ['ELR_EL1', placeText(read('ELR_EL1'), l2), 'L1 told L2: this instruction was interrupted'],
    ['SPSR_EL1', `0x${read('SPSR_EL1').toString(16)}`, 'in this state'],
    ['ESR_EL1', describeRegister('ESR_EL1', read('ESR_EL1')).replace(/^ESR_EL1 0x0*(\w+)/, '0x$1'), 'because of this'],
    ['VBAR_EL1', placeText(read('VBAR_EL1'), l2), "L2's vectors: the handler is behind them"],
    ['SPSR_EL2', `0x${read('SPSR_EL2').toString(16)}`, 'and sent L2 back in the state of a handler'],
    ['ELR_EL2', paint('red', placeText(pcOf(world, vcpu), l2)), 'but to the instruction that trapped, not to a vector'],
  ];
  print(table(['', '', ''], rows.map(([name, value, meaning]) => [`  ${paint('bold', name)}`, value, paint('dim', meaning)])));
}

process.exitCode = await demo().catch((error: unknown) => {
  const message = userMessage(error);
  if (message === undefined) throw error;
  note(message);
  return 2;
});
