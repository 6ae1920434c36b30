/** Commands on a terminal of their own: what a person sees, at the width of that terminal. */
import process from 'node:process';
import { run } from '../../src/sys/process.ts';

export interface Shown {
  readonly status: number;
  /** Both streams as the terminal got them, lines ended by `\n`, colours included. */
  readonly text: string;
}

/** Runs a program on a terminal; `script` (Debian's bsdutils) makes it. */
export async function onTerminal(
  program: string,
  args: readonly string[],
  { columns = 80, env = {} }: { readonly columns?: number; readonly env?: Record<string, string> } = {},
): Promise<Shown> {
  const words = [program, ...args].map(word => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const command = `stty cols ${columns} rows 50; exec ${words}`;
  const { status, stdout } = await run('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    anyStatus: true,
    env: { PATH: process.env['PATH'], TERM: 'xterm-256color', SHELL: '/bin/sh', ...env },
  });
  return { status, text: stdout.replaceAll('\r\n', '\n') };
}

const COLOUR = new RegExp(String.raw`${String.fromCodePoint(0x1b)}\[\d+(?:;\d+)*m`, 'g');

/** What is left on the terminal when colours are not counted. */
export const withoutColour = (text: string): string => text.replaceAll(COLOUR, '');
