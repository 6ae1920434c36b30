/**
 * What a host could not read, for a person: things with one reason in one sentence, because a busy host is slow with many
 * of them at once.
 */

const SEPARATOR = ': ';

/** @param blind `THING: REASON`, or a sentence. @returns `THING, THING: REASON` */
export function byReason(blind: readonly string[]): string[] {
  const reasons = Map.groupBy(blind, sentence => sentence.slice(sentence.indexOf(SEPARATOR) + 1));
  return [...reasons].map(([why, all]) => {
    const things = all.map(sentence => sentence.slice(0, Math.max(0, sentence.length - why.length - 1)));
    return things.every(thing => thing !== '') ? `${things.join(', ')}:${why}` : why;
  });
}
