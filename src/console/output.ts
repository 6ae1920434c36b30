/**
 * What a command says. Results go to stdout, everything about the work itself (progress, warnings, errors) to
 * stderr, so that a pipe carries only results. Colour is for terminals, and not even there when NO_COLOR is set
 * (no-color.org).
 *
 * Whatever is said leaves through here, and nothing that a terminal obeys leaves with it but the colours of `paint`.
 */
import { styleText } from 'node:util';
import { printable, printableLines } from '../base/printable.ts';
import { cutWords, ESC_MARK, wrapTo } from './fold.ts';

/** A result: one line or several. */
export function print(text = ''): void {
  process.stdout.write(`${shown(text)}\n`);
}

interface NoteOptions {
  /** On a terminal, words that are longer than any name are cut: for text of other programs, such as keys of the store. */
  readonly cut?: true;
}

/** A remark beside the result: one line, folded to the width of the terminal that shows it. */
export function note(line: string, { cut }: NoteOptions = {}): void {
  const width = widthOfTerminal(process.stderr);
  const text = cut === true && width !== undefined ? cutWords(printable(line)) : printable(line);
  process.stderr.write(`${shown(wrapTo(text, 2, width))}\n`);
}

/** A remark about a problem. */
export function warn(message: string, options: NoteOptions = {}): void {
  note(`tulle: ${paint('yellow', 'warning:', process.stderr)} ${message}`, options);
}

/**
 * The one JSON document of a command with `--json`: indented on a terminal, one line otherwise. 64-bit numbers
 * are written as decimal strings, which no JSON reader rounds.
 */
export function printJson(value: unknown): void {
  print(formatJson(value, process.stdout.isTTY ? 2 : 0));
}

export function formatJson(value: unknown, indent = 0): string {
  return JSON.stringify(
    value,
    (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item),
    indent,
  );
}

export type Style = Parameters<typeof styleText>[0];

/** Text with colour when the stream shows it, and unchanged otherwise. For what is printed here only. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  const [on = '', off = ''] = styleText(style, '\n', { stream }).replaceAll('\x1b', ESC_MARK).split('\n');
  return `${on}${text}${off}`;
}

const shown = (text: string) => printableLines(text).replaceAll(ESC_MARK, '\x1b');

/**
 * Columns of the terminal that shows stdout. When something else reads it, `COLUMNS` says how many a person will see of
 * it (POSIX, XBD 8.3); undefined without.
 */
export const screenWidth = (): number | undefined => widthOfTerminal(process.stdout) ?? widthOfPage();

function widthOfPage(): number | undefined {
  const columns = process.env['COLUMNS'] ?? '';
  return /^[1-9]\d{0,4}$/.test(columns) ? Number(columns) : undefined;
}

const widthOfTerminal = (stream: NodeJS.WriteStream) => (stream.isTTY ? stream.columns : undefined);

/** Resolves when everything printed so far is with its reader: a pipe takes only so much at once, and exit drops the rest. */
export async function outputWritten(): Promise<void> {
  const written = (stream: NodeJS.WriteStream) =>
    new Promise<void>(resolve => {
      // A reader that has gone away is no reason to wait.
      if (stream.destroyed) resolve();
      // An error of what was written before comes first, also where everything is written at once (a file).
      else stream.write('', () => resolve());
    });
  await Promise.all([written(process.stdout), written(process.stderr)]);
}
