/**
 * A container that talks to another one all the time: 50 echo requests a second, each with its number, so that
 * afterwards it is known exactly which of them were lost.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type RunningProcess, start } from '../../src/sys/process.ts';
import { within } from '../support/eventually.ts';

export interface Toll {
  readonly sent: number;
  readonly lost: number;
  /** Numbers of the requests that were lost; one after the other where the way was closed for a moment. */
  readonly missing?: readonly number[];
}

/** Later answers, after which one that is missing is not waited for any more. */
const UNDER_WAY = 50;

export class SteadyPing implements AsyncDisposable {
  readonly #ping: RunningProcess;
  readonly #reading: Promise<void>;
  readonly #answered = new Set<number>();
  /** The first request that was answered; what went before it was sent while the way was still being made. */
  #first = 0;
  #last = 0;
  #nextAnswer = Promise.withResolvers<void>();

  private constructor(ping: RunningProcess) {
    this.#ping = ping;
    this.#reading = this.#read();
  }

  /** Begins, and returns once the first answer has come. @param netns file of the namespace to ping from */
  static async begin(netns: string, address: string): Promise<SteadyPing> {
    const args = ['-n', '-i', '0.02', '-W', '1', address];
    const ping = new SteadyPing(await start('ping', args, { pipeOutput: true, namespaces: { net: netns } }));
    try {
      await ping.answered();
    } catch (error) {
      await ping[Symbol.asyncDispose]();
      throw error;
    }
    return ping;
  }

  /** Resolves with the next answer that comes. @throws Error when none comes */
  async answered(): Promise<void> {
    await within('a ping is answered', this.#nextAnswer.promise);
  }

  /**
   * What was lost since the first answer: requests without an answer although later ones have one. An answer may be overtaken
   * where packets wait for a processor: it has as long as it takes until a second's worth of later ones is there.
   */
  async toll(): Promise<Toll> {
    await this.answered();
    const last = this.#last;
    const unanswered = () =>
      Array.from({ length: last - this.#first + 1 }, (_, index) => this.#first + index).filter(
        number => !this.#answered.has(number),
      );
    while (unanswered().length > 0 && this.#last < last + UNDER_WAY) await this.answered();
    const missing = unanswered();
    return { sent: last - this.#first + 1, lost: missing.length, missing };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ping.kill('SIGKILL');
    await within('ping ends', this.#ping.exited);
    await within('the output of ping ends', this.#reading);
  }

  async #read(): Promise<void> {
    const { stdout } = this.#ping;
    if (stdout === undefined) return;
    const closed = once(stdout, 'close');
    for await (const line of createInterface(stdout)) {
      const [, text] = /icmp_seq=(\d+) ttl=/.exec(line) ?? [];
      if (text === undefined) continue;
      const number = Number(text);
      if (this.#answered.size === 0) this.#first = number;
      if (number < this.#first) continue;
      this.#answered.add(number);
      this.#last = Math.max(this.#last, number);
      this.#nextAnswer.resolve();
      this.#nextAnswer = Promise.withResolvers();
    }
    await closed;
  }
}
