/** Why a test failed, in as few words as a list of failures has room for. */
import { inspect, stripVTControlCharacters } from 'node:util';

const LINES = 3;
/** Characters of all lines. */
const LENGTH = 300;
/** An error may be its own cause. */
const MOST_CAUSES = 10;

/**
 * The first lines of what was thrown first, without those that are empty: a property that does not hold says only that it does
 * not. @param thrown anything: a test may throw anything
 */
export function failureInShort(thrown: unknown): string {
  const cause = causesOf(thrown).at(-1);
  const text = cause instanceof Error && cause.message !== '' ? cause.message : inspect(cause);
  const lines = stripVTControlCharacters(text)
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
    .slice(0, LINES);
  return lines.map(line => line.slice(0, Math.floor(LENGTH / lines.length))).join('\n');
}

/** What was thrown, and each error that it was thrown for. */
export function causesOf(thrown: unknown): readonly unknown[] {
  const causes = [thrown];
  for (
    let last = thrown;
    last instanceof Error && last.cause instanceof Error && causes.length < MOST_CAUSES;
  ) {
    last = last.cause;
    causes.push(last);
  }
  return causes;
}
