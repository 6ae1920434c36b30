/** Command lines as documents show them, taken apart as a shell would, without running anything. */

/** The simple commands of a text of shell: each as its words. Redirections and comments are left out. */
export function commandsIn(text: string): string[][] {
  const commands: string[][] = [[]];
  let word: string | undefined;
  let redirected = false;
  const endWord = () => {
    if (word !== undefined && !redirected) commands.at(-1)?.push(word);
    if (word !== undefined) redirected = false;
    word = undefined;
  };
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? '';
    if (character === '\\') {
      const next = text[++at] ?? '';
      // A line that goes on in the next one.
      if (next !== '\n') word = (word ?? '') + next;
    } else if (character === "'" || character === '"') {
      const end = text.indexOf(character, at + 1);
      word = (word ?? '') + text.slice(at + 1, end === -1 ? undefined : end).replaceAll('\\"', '"');
      at = end === -1 ? text.length : end;
    } else if (character === '#' && word === undefined) {
      at = (text.indexOf('\n', at) + text.length + 1) % (text.length + 1);
      at -= 1;
    } else if (/[|&;\n()]/.test(character)) {
      endWord();
      commands.push([]);
    } else if (/[<>]/.test(character)) {
      // The number of a descriptor belongs to the redirection.
      if (/^\d$/.test(word ?? '')) word = undefined;
      endWord();
      redirected = true;
    } else if (/\s/.test(character)) {
      endWord();
    } else {
      word = (word ?? '') + character;
    }
  }
  endWord();
  return commands.filter(words => words.length > 0);
}

/** What `tulle` is given in these commands, also behind sudo and variables, and inside of `lab exec`. */
export function argumentsOfTulle(commands: readonly (readonly string[])[]): string[][] {
  return commands.flatMap(words => {
    const start = words.findIndex(word => !/^(\$|sudo|[A-Z_]+=.*)$/.test(word));
    if (!/^(\.\/bin\/)?tulle$/.test(words[start] ?? '')) return [];
    const args = words.slice(start + 1);
    const inner = args[0] === 'lab' && args[1] === 'exec' ? args.indexOf('--') : -1;
    return inner === -1 ? [args] : [args, ...argumentsOfTulle([args.slice(inner + 1)])];
  });
}
