/** Bad input from outside, told in one line: the file, byte or option at fault and what would be right. */

/** What the user gave is wrong. The command line prints `message` and exits with status 2; anything else thrown is our own mistake. */
export class InputError extends Error {
  /** `message`: one line. Control characters in it (names come from untrusted files) are shown as `\xNN`. */
  constructor(message: string) {
    super(oneLine(message));
    this.name = 'InputError';
  }
}

/** The InputError for byte `offset` of `file`: what is wrong there, and what would be right. */
export function badByte(file: string, offset: number, wrong: string, right: string): InputError {
  return new InputError(`${file}: byte 0x${offset.toString(16)}: ${wrong}; ${right}`);
}

/** `text` on one line of at most 1000 characters, harmless on a terminal. */
function oneLine(text: string): string {
  let line = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code === 0x2028 || code === 0x2029;
    line += control ? `\\x${code.toString(16).padStart(2, '0')}` : character;
    if (line.length > 1000) return `${line.slice(0, 1000)}…`;
  }
  return line;
}
