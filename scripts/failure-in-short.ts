/** Why a test failed, in as few words as a list of failures has room for. */
import { inspect, stripVTControlCharacters } from 'node:util';

const LINES = 3;
/** Characters of all lines. */
const LENGTH = 300;

/** The first lines of what was thrown, without those that are empty. @param cause anything: a test may throw anything */
export function failureInShort(cause: unknown): string {
  const text = cause instanceof Error && cause.message !== '' ? cause.message : inspect(cause);
  const lines = stripVTControlCharacters(text)
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
    .slice(0, LINES);
  return lines.map(line => line.slice(0, Math.floor(LENGTH / lines.length))).join('\n');
}
