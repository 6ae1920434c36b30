/** How the log of a daemon is written: JSON for programs, words for a terminal. */
import { abridge, printable } from '../base/printable.ts';
import { ESC_MARK, wrapTo } from './fold.ts';
import { paint, type Style } from './output.ts';

/** `auto` is `text` on a terminal and `json` elsewhere. */
export const LOG_FORMATS = ['auto', 'json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

const STYLE: Readonly<Record<string, Style>> = { debug: 'dim', warn: 'yellow', error: 'red' };

const LEVEL_WIDTH = 'error'.length;
const MOST_CHARACTERS = 200;

/**
 * A line in words: time, level, message, and the facts that the message does not contain.
 *
 * @param line JSON as pino writes it, with `level`, `time` and `msg`.
 */
export function readableLine(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const message = String(msg);
  const when = String(time).replace('T', ' ');
  const facts = Object.entries(fields)
    .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const)
    .filter(([, value]) => !message.includes(value))
    .map(([name, value]) => `${name}=${quoted(abridge(value, MOST_CHARACTERS))}`);
  const word = paint(STYLE[String(level)] ?? 'green', String(level).padEnd(LEVEL_WIDTH), process.stderr);
  const text = [message, ...facts].join('  ');
  const shown = wrapTo(printable(`${when}  ${word}  ${text}`), 2, process.stderr.columns);
  return `${shown.replaceAll(ESC_MARK, '\x1b')}\n`;
}

const quoted = (value: string) =>
  /^[^\s"]+$/.test(value) || value.startsWith('{') ? value : JSON.stringify(value);
