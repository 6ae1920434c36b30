/**
 * A container that talks to another one all the time, over one flow of UDP or one connection of TCP: numbered messages, each
 * answered by the other one, so that afterwards it is known which of them were lost. The fast path may take such a flow, unlike
 * echoes of ICMP.
 */
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type RunningProcess, start } from '../../src/sys/process.ts';
import type { Toll } from '../faults/steady-ping.ts';
import { within } from './eventually.ts';

const PROGRAM = join(import.meta.dirname, 'talker.ts');
/** Milliseconds between two messages. */
const INTERVAL = 10;
/** Messages without an answer after which the way is taken for closed. */
const HUSH = 50;
/** Milliseconds of later messages, after which one that is missing is not waited for any more. */
const UNDER_WAY = 1000;

export type TalkProtocol = 'udp' | 'tcp';

export interface FlowTalkOptions {
  readonly protocol: TalkProtocol;
  /** Files of the namespaces of the two containers. */
  readonly from: string;
  readonly to: string;
  /** Of the container that answers. */
  readonly address: string;
  readonly port: number;
  /** Of the container that asks, so that another one may go on with the same flow; any port unless given. */
  readonly fromPort?: number;
  /** Milliseconds between two messages, 10 unless given: a shorter one sees a shorter gap. */
  readonly interval?: number;
}

export class FlowTalk implements AsyncDisposable {
  readonly #options: FlowTalkOptions;
  #echo: Talker;
  readonly #talk: Talker;
  readonly #answered = new Set<number>();
  /** When each was said. The test may hear of it much later. */
  readonly #saidAt = new Map<number, bigint>();
  /** The first message that was answered. */
  #first = 0;
  #lastSaid = 0;
  #lastAnswered = 0;
  #isClosed = false;
  #news = Promise.withResolvers<void>();

  private constructor(options: FlowTalkOptions, echo: Talker, talk: Talker) {
    this.#options = options;
    this.#echo = echo;
    this.#talk = talk;
    void talk.each(line => this.#hear(line));
  }

  /** Begins, and returns once the first answer has come. */
  static async begin(options: FlowTalkOptions): Promise<FlowTalk> {
    const { protocol, from, address, port, fromPort = 0, interval = INTERVAL } = options;
    const echo = await answering(options, options.to);
    const words = ['talk', protocol, `${port}`, `${fromPort}`, address, `${interval}`];
    const talk = await Talker.start(from, words);
    const steady = new FlowTalk(options, echo, talk);
    try {
      await steady.answered();
    } catch (error) {
      await steady[Symbol.asyncDispose]();
      throw error;
    }
    return steady;
  }

  /** Whether the connection has ended. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The other end ends, and another one takes its place, in the namespace of which `replace` returns the file. */
  async answerFrom(replace: () => Promise<string>): Promise<void> {
    await this.#echo[Symbol.asyncDispose]();
    this.#echo = await answering(this.#options, await replace());
  }

  /** Resolves when as many further messages were answered, with one that is said from now on. */
  async answered(count = 1): Promise<void> {
    const now = process.hrtime.bigint();
    const before = this.#answered.size;
    const isEnough = () =>
      this.#lastAnswered > this.#lastSaidUntil(now) && this.#answered.size >= before + count;
    await this.#until(`${count} messages are answered`, isEnough);
  }

  /** Resolves when messages are not answered any more, with how many were after this was asked for. */
  async hushed(): Promise<number> {
    const now = process.hrtime.bigint();
    const from = () => this.#lastSaidUntil(now);
    await this.#until(
      'no message is answered',
      () => this.#lastSaid - Math.max(from(), this.#lastAnswered) >= HUSH,
    );
    return Math.max(0, this.#lastAnswered - from());
  }

  /**
   * What was lost since the first answer: messages without an answer although later ones have one. On another way a later one
   * may come first, much later where packets wait for a processor: what is missing has as long as it takes until a second's worth
   * of later ones is answered.
   */
  async toll(): Promise<Toll> {
    await this.answered();
    const last = this.#lastAnswered;
    const sent = last - this.#first + 1;
    const lost = () => sent - Array.from(this.#answered).filter(number => number <= last).length;
    const enough = last + UNDER_WAY / (this.#options.interval ?? INTERVAL);
    await this.#until('later messages are answered', () => lost() === 0 || this.#lastAnswered >= enough);
    return { sent, lost: lost() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#talk[Symbol.asyncDispose]();
    await this.#echo[Symbol.asyncDispose]();
  }

  /** The last message that was said until then, as far as is known. */
  #lastSaidUntil(time: bigint): number {
    let number = this.#lastSaid;
    while ((this.#saidAt.get(number) ?? 0n) > time) number--;
    return number;
  }

  async #until(what: string, test: () => boolean): Promise<void> {
    const wait = async () => {
      while (!test()) await this.#news.promise;
    };
    await within(`${this.#options.protocol}: ${what}`, wait());
  }

  #hear(line: string): void {
    const [word = '', time = ''] = line.split(' ');
    const number = Number(word.slice(1));
    if (word === '!') this.#isClosed = true;
    else if (word.startsWith('+')) {
      this.#lastSaid = number;
      this.#saidAt.set(number, BigInt(time));
    } else {
      if (this.#answered.size === 0) this.#first = number;
      if (number >= this.#first) this.#answered.add(number);
      this.#lastAnswered = Math.max(this.#lastAnswered, number);
    }
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers();
    resolve();
  }
}

async function answering({ protocol, port }: FlowTalkOptions, netns: string): Promise<Talker> {
  const echo = await Talker.start(netns, ['echo', protocol, `${port}`]);
  const ready = Promise.withResolvers<void>();
  void echo.each(() => ready.resolve());
  await within('the other end answers', ready.promise);
  return echo;
}

/** A process of talker.ts. */
class Talker implements AsyncDisposable {
  readonly #process: RunningProcess;

  private constructor(running: RunningProcess) {
    this.#process = running;
  }

  static async start(netns: string, args: readonly string[]): Promise<Talker> {
    const options = { pipeOutput: true, stdin: 'pipe', namespaces: { net: netns } } as const;
    return new Talker(await start(process.execPath, [PROGRAM, ...args], options));
  }

  /** Hands over what it prints, until it ends. */
  async each(onLine: (line: string) => void): Promise<void> {
    const { stdout } = this.#process;
    if (stdout === undefined) return;
    for await (const line of createInterface(stdout)) onLine(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await within('a talker ends', this.#process.exited);
  }
}
