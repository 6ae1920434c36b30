/**
 * Two containers that exchange datagrams all the time: each is numbered and answered, so that afterwards it is known exactly
 * which were lost. A flow that the fast path may take, unlike echoes of ICMP.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type RunningProcess, start } from '../../src/sys/process.ts';
import { within } from './eventually.ts';

const PROGRAM = join(import.meta.dirname, 'talk-program.ts');
/** Answers that may still be on their way when the toll is taken. */
const UNDER_WAY = 50;

export interface TalkToll {
  readonly sent: number;
  readonly lost: number;
}

/** One end: a file of a network namespace, and for the answering end its address there. */
export interface TalkEnds {
  readonly from: string;
  readonly to: string;
  readonly ip: string;
  readonly port: number;
}

export class SteadyTalk implements AsyncDisposable {
  readonly #ends: readonly RunningProcess[];
  readonly #answered = new Set<number>();
  #first = 0;
  #last = 0;
  #next = Promise.withResolvers<void>();

  private constructor(...ends: readonly RunningProcess[]) {
    this.#ends = ends;
  }

  /** Begins, and returns once the first answer has come. */
  static async begin({ from, to, ip, port }: TalkEnds): Promise<SteadyTalk> {
    const node = (netns: string, ...args: readonly string[]) =>
      start(process.execPath, [PROGRAM, ...args], { pipeOutput: true, namespaces: { net: netns } });
    const answerer = await node(to, 'answer', String(port));
    const asker = await node(from, 'ask', ip, String(port));
    const talk = new SteadyTalk(answerer, asker);
    void talk.#read(asker);
    try {
      await talk.answered();
    } catch (error) {
      await talk[Symbol.asyncDispose]();
      throw error;
    }
    return talk;
  }

  /** Resolves with the next answer that comes. @throws Error when none comes */
  async answered(): Promise<void> {
    await within('a datagram is answered', this.#next.promise);
  }

  /** What was lost since the first answer: datagrams without an answer although later ones have one. */
  async toll(): Promise<TalkToll> {
    const last = this.#last;
    while (this.#last < last + UNDER_WAY) await this.answered();
    const answered = [...this.#answered].filter(number => number <= last).length;
    const sent = last - this.#first + 1;
    return { sent, lost: sent - answered };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) end.kill('SIGKILL');
    for (const end of this.#ends) await within('an end of the talk ends', end.exited);
  }

  async #read({ stdout }: RunningProcess): Promise<void> {
    if (stdout === undefined) return;
    const closed = once(stdout, 'close');
    for await (const line of createInterface(stdout)) {
      const number = Number(line.split(' ', 1)[0]);
      if (this.#answered.size === 0) this.#first = number;
      if (number < this.#first) continue;
      this.#answered.add(number);
      this.#last = Math.max(this.#last, number);
      this.#next.resolve();
      this.#next = Promise.withResolvers();
    }
    await closed;
  }
}
