/**
 * A command line as a scenario prints it, taken apart into the words that a shell would make of it. What a shell
 * would do more than that (pipes, redirections, variables) is refused, so that what is printed is what was run.
 */
import { ParseError } from '../../base/errors.ts';

/** @throws ParseError */
export function parseCommandLine(line: string): readonly [program: string, ...args: string[]] {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? '';
    if (character === "'" || character === '"') {
      const end = line.indexOf(character, at + 1);
      if (end === -1) throw new ParseError('a command', line, `${character} is not closed`);
      word = (word ?? '') + line.slice(at + 1, end);
      at = end;
    } else if (character === ' ') {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (/[|&;<>()`\\*?#\n\t]/.test(character)) {
      throw new ParseError('a command', line, `${JSON.stringify(character)} needs quotes around it`);
    } else {
      word = (word ?? '') + character;
    }
  }
  if (word !== undefined) words.push(word);
  const [program, ...args] = words;
  if (program === undefined) throw new ParseError('a command', line, 'is empty');
  return [program, ...args];
}

/** Puts values in the places of `$NAME`. @throws ParseError for a name without a value */
export function fillIn(text: string, known: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$([A-Z][A-Z\d_]*)/g, (_, name: string) => {
    const value = known[name];
    if (value === undefined) throw new ParseError('a command', text, `nothing has shown $${name} yet`);
    return value;
  });
}
