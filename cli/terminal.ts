/** A person's terminal as the guest's console: raw, so that every key goes to the guest, but for an escape key. */

/** Ctrl-]. */
const ESCAPE = 0x1d;

export type Command = 'leave' | 'help' | 'where';

/** What a person typed: bytes for the guest, and commands for us. */
export interface Typed { readonly bytes: readonly number[]; readonly commands: readonly Command[] }

/** Takes the escape key out of what is typed. The key before may have come earlier: `escape.isOpen` says so. */
export function withoutEscapes(input: Uint8Array, escape: { isOpen: boolean }): Typed {
  const bytes: number[] = [];
  const commands: Command[] = [];
  for (const byte of input) {
    if (!escape.isOpen) {
      if (byte === ESCAPE) escape.isOpen = true;
      else bytes.push(byte);
      continue;
    }
    escape.isOpen = false;
    if (byte === ESCAPE) bytes.push(byte);
    else commands.push(COMMANDS[String.fromCharCode(byte)] ?? 'help');
  }
  return { bytes, commands };
}

const COMMANDS: Readonly<Record<string, Command>> = { q: 'leave', x: 'leave', '.': 'leave', w: 'where' };

/** Printed when the terminal becomes the console. */
export const GREETING = '(Ctrl-] q leaves, Ctrl-] ? helps; Ctrl-C goes to the guest)\n';
export const HELP = '\r\n(Ctrl-] then: q leaves, w says where the machine is, Ctrl-] is typed at the guest)\r\n';

export interface Terminal { restore(): void }

/** Makes standard input raw. `typed` is told what comes, `closed` that nothing more will. */
export function openTerminal(typed: (typed: Typed) => void, closed: () => void): Terminal {
  const { stdin } = process;
  const escape = { isOpen: false };
  const onData = (bytes: Buffer): void => { typed(withoutEscapes(bytes, escape)); };
  process.stderr.write(GREETING);
  stdin.setRawMode(true).on('data', onData).on('end', closed).on('error', closed).resume();
  return {
    restore() {
      stdin.off('data', onData).off('end', closed).off('error', closed).pause();
      // A terminal that is gone cannot be set.
      try { stdin.setRawMode(false); } catch { /* nothing is left to restore */ }
    },
  };
}
