/** Text that is fitted to the width of a terminal, between words: a name that is cut cannot be copied. */

/**
 * Stands for ESC in what `paint` makes, until it is printed. Text from outside cannot contain it, because it
 * cannot be guessed, and so cannot paint.
 */
export const ESC_MARK = `<${crypto.randomUUID()}>`;

const COLOUR = new RegExp(`${ESC_MARK}\\[[\\d;]*m`, 'g');

/** Text is given at least this many columns beside what stands before it. */
const LEAST_WIDTH = 28;

/** The text alone. */
export const uncoloured = (text: string): string => text.replaceAll(COLOUR, '');

/** Columns that a text takes. */
export const widthOf = (text: string): number => uncoloured(text).length;

/** Breaks a line between words where it is wider than `width`; what follows is indented by `indent` columns. */
export function wrapTo(line: string, indent: number, width: number | undefined): string {
  if (width === undefined || widthOf(line) <= width) return line;
  const hanging = Math.max(0, Math.min(indent, width - LEAST_WIDTH));
  return foldWords(line, width, hanging).join(`\n${' '.repeat(hanging)}`);
}

/**
 * The pieces of a line that fit into `width` columns, those after the first into `hanging` columns less. A word that
 * is wider than that stays whole.
 */
export function foldWords(line: string, width: number, hanging = 0): string[] {
  const pieces: string[] = [];
  let current = '';
  // The spaces stay with the word after them, so that columns within the line keep their places.
  for (const word of line.split(/(?<=\S)(?= )/)) {
    const room = pieces.length === 0 ? width : width - hanging;
    if (current.trim() !== '' && widthOf(current + word) > room) {
      pieces.push(current);
      current = word.trimStart();
    } else {
      current += word;
    }
  }
  return [...pieces, current];
}

/** Columns of the widest word. */
export const widestWord = (text: string): number =>
  text.split(' ').reduce((widest, word) => Math.max(widest, widthOf(word)), 0);

/** The longest name that Linux gives a host (HOST_NAME_MAX); what is longer is not a host name. */
const LONGEST_NAME = 64;

/** Columns of each part of a word that is cut. */
const PART = new RegExp(`.{1,${LONGEST_NAME / 2}}`, 'gu');

/** Cuts words that are longer than any name, so that one of them in a column leaves room for the others. */
export const cutWords = (text: string): string =>
  text
    .split(' ')
    .map(word => (widthOf(word) <= LONGEST_NAME ? word : (uncoloured(word).match(PART) ?? []).join(' ')))
    .join(' ');
