/**
 * What a command says. Results go to stdout, everything about the work itself (progress, warnings, errors) to
 * stderr, so that a pipe carries only results. Colour is for terminals, and not even there when NO_COLOR is set
 * (no-color.org).
 */
import { styleText } from 'node:util';

/** One line of a result. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** A remark beside the result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function warn(message: string): void {
  note(`tulle: ${styleText('yellow', 'warning:', { stream: process.stderr })} ${message}`);
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

/** Text with colour when stdout shows it, and unchanged otherwise. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** Columns of the terminal that shows stdout; undefined when something else reads it. */
export function screenWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

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
