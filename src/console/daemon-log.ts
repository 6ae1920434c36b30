/**
 * The log of a daemon (agent, store) on stderr, one line per change of state: JSON for programs, with times in ISO
 * 8601, and words on a terminal.
 *
 * Written at once: the last line before a crash is the one that matters, and lines are few. A line that cannot be
 * written (the disk is full, its reader is gone) is dropped and counted: no log is worth the daemon's life.
 */
import { writeSync } from 'node:fs';
import { pino } from 'pino';
import type { Logger } from '../base/log.ts';
import { printableLines } from '../base/printable.ts';
import { type LogFormat, readableLine } from './log-format.ts';

/**
 * The log on stderr, in the form that is wanted.
 *
 * @param verbosity flannel's `-v`: 0 logs changes of state, 1 and more also what led to them.
 */
export function openLog(verbosity: number, format: LogFormat): Logger {
  const isText = format === 'text' || (format === 'auto' && process.stderr.isTTY);
  return logTo(new LogOutput(isText ? readableLine : printableLines), verbosity);
}

export function logTo(output: LogOutput, verbosity: number): Logger {
  return pino(
    {
      level: verbosity > 0 ? 'debug' : 'info',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
    },
    output,
  );
}

const STDERR = 2;

/** Where the lines go. */
export class LogOutput {
  readonly #form: (line: string) => string;
  readonly #write: (bytes: Uint8Array) => number;
  #lost = 0;
  /** The last line ends in the middle. */
  #isTorn = false;

  /**
   * @param form makes of a JSON line what is written.
   * @param write puts bytes where they belong and returns how many it took.
   */
  constructor(
    form: (line: string) => string,
    write: (bytes: Uint8Array) => number = bytes => writeSync(STDERR, bytes),
  ) {
    this.#form = form;
    this.#write = write;
  }

  write(line: string): void {
    try {
      if (this.#lost > 0) this.#writeAll(lossOf(this.#lost));
      this.#lost = 0;
      this.#writeAll(line);
    } catch {
      this.#lost++;
    }
  }

  #writeAll(line: string): void {
    const formed = this.#form(line);
    let rest = Buffer.from(this.#isTorn ? `\n${formed}` : formed);
    while (rest.length > 0) {
      rest = rest.subarray(this.#write(rest));
      this.#isTorn = rest.length > 0;
    }
  }
}

function lossOf(count: number): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ level: 'warn', time, count, msg: 'lines of this log could not be written and are lost' })}\n`;
}
