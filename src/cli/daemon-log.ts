/**
 * The log of a daemon (agent, store): JSON lines on stderr, one per change of state, times in ISO 8601.
 *
 * Written at once: the last line before a crash is the one that matters, and lines are few. A line that cannot be
 * written (the disk is full, whoever read it is gone) is dropped and counted: no log is worth the daemon's life.
 */
import { writeSync } from 'node:fs';
import { pino } from 'pino';
import type { Logger } from '../base/log.ts';

/** @param verbosity flannel's `-v`: 0 tells changes of state, 1 and more also what led to them. */
export function openLog(verbosity: number, output: LogOutput = new LogOutput()): Logger {
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
  readonly #write: (bytes: Uint8Array) => number;
  #lost = 0;
  /** The last line ends in the middle. */
  #isTorn = false;

  /** @param write puts bytes where they belong and returns how many it took. */
  constructor(write: (bytes: Uint8Array) => number = bytes => writeSync(STDERR, bytes)) {
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
    let rest = Buffer.from(this.#isTorn ? `\n${line}` : line);
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
