/**
 * Text from outside (the store, peers, the kernel, Docker, the environment), made safe to show. A terminal obeys
 * control characters, and characters that turn the direction of a line, or are invisible, deceive its reader;
 * each is written as JSON writes it, so that text which is JSON stays JSON with the same meaning.
 */

/** Everything without a shape of its own: controls, formats, surrogates, unassigned, all spaces but the space. */
const SHAPELESS = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/gu;

/** One line without anything invisible: `\u001b[2J` for what would clear the screen. Repeating it changes nothing. */
export function printable(text: string): string {
  return text.replace(SHAPELESS, escaped);
}

/** The same for text of several lines, which may be indented with tabs. */
export function printableLines(text: string): string {
  return text.replace(SHAPELESS, character => (/[\n\t]/.test(character) ? character : escaped(character)));
}

/** A text of at most `most` UTF-16 units and a remark; what is too long says how long it was. */
export function abridge(text: string, most: number): string {
  if (text.length <= most) return text;
  const start = text.slice(0, most).toWellFormed();
  return `${start}... (${text.length} characters)`;
}

/** `\u202e`; what needs two UTF-16 units gives two escapes. */
function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`,
  ).join('');
}
