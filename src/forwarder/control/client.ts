/** The other end of the control socket: what the agent says to a forwarder. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import * as v from 'valibot';
import { untilAborted } from '../../base/abort.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import type { Prefix } from '../../base/prefix.ts';
import { readLines } from '../../base/read-lines.ts';
import { ForwarderError } from '../errors.ts';
import type { ForwarderRoute } from '../path/route-table.ts';
import { Answer, ForwarderStats, type ForwarderTable, Hello, LONGEST_LINE, TableText } from './messages.ts';

/** Milliseconds for one answer. */
const PATIENCE = 10_000;
/** For counters, which a person waits for. */
const STATS_PATIENCE = 2000;
/** For the first line, which is there at once unless the forwarder is stopped. */
const HELLO_PATIENCE = 3000;

type Waiter = (answer: Answer | ForwarderError) => void;

/** One connection to one forwarder: it lasts as long as both do. */
export class ForwarderClient implements Disposable {
  readonly hello: Hello;
  /** Resolves when the connection is over; never rejects. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiters = new Map<number, Waiter>();
  #lastId = 0;

  private constructor(socket: Socket, hello: Hello, lines: AsyncGenerator<string, void>) {
    this.#socket = socket;
    this.hello = hello;
    this.closed = this.#read(lines);
  }

  /** @throws ForwarderError; `signal.reason`; Error with an errno's code when the socket cannot be used. */
  static async connect(path: string, signal?: AbortSignal): Promise<ForwarderClient> {
    const socket = connect(path);
    socket.on('error', () => undefined);
    try {
      await once(socket, 'connect', signal === undefined ? {} : { signal });
      const lines = readLines(socket, LONGEST_LINE);
      const first = await withPatience('first line', HELLO_PATIENCE, lines.next(), signal);
      const hello = v.safeParse(Hello, first.done === true ? undefined : parseJson(first.value));
      if (!hello.success)
        throw new ForwarderError('FORWARDER_PROTOCOL', `${path} is not the control socket of a forwarder`);
      return new ForwarderClient(socket, hello.output, lines);
    } catch (error) {
      socket.destroy();
      if (isCode(error, 'ENOENT', 'ECONNREFUSED'))
        throw new ForwarderError('FORWARDER_NOT_RUNNING', `no forwarder listens at ${path}`, {
          cause: error,
        });
      throw error;
    }
  }

  /** Resolves when the packet path uses this table; @throws ForwarderError, as all that follow. */
  async setTable({ own, routes }: ForwarderTable): Promise<void> {
    await this.#ask({ do: 'table', own: own.map(String), routes: routes.map(routeText) });
  }

  async setRoute(route: ForwarderRoute): Promise<void> {
    await this.#ask({ do: 'set', route: routeText(route) });
  }

  /** A route that is not there is deleted already. */
  async deleteRoute(subnet: Prefix): Promise<void> {
    await this.#ask({ do: 'delete', subnet: subnet.toString() });
  }

  async stats(): Promise<ForwarderStats> {
    return checked(ForwarderStats, await this.#ask({ do: 'stats' }, STATS_PATIENCE));
  }

  /** @throws ForwarderError FORWARDER_SILENT when it does not answer within `patience` milliseconds. */
  async check(patience: number): Promise<void> {
    await this.#ask({ do: 'check' }, patience);
  }

  /** Makes the forwarder let go of device and sockets, and end. @returns its table */
  async takeOver(): Promise<ForwarderTable> {
    return checked(TableText, await this.#ask({ do: 'yield' }));
  }

  async stop(): Promise<void> {
    await this.#ask({ do: 'stop' });
    await this.closed;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #ask(request: object, patience = PATIENCE): Promise<unknown> {
    const id = ++this.#lastId;
    const answer = new Promise<Answer | ForwarderError>(resolve => this.#waiters.set(id, resolve));
    this.#socket.write(`${JSON.stringify({ id, ...request })}\n`);
    try {
      if (this.#socket.destroyed) throw ended();
      const said = await withPatience('answer', patience, answer);
      if (said instanceof Error) throw said;
      if (said.ok) return said.result;
      throw new ForwarderError('FORWARDER_REFUSED', `the forwarder refused: ${said.error}`);
    } finally {
      this.#waiters.delete(id);
    }
  }

  async #read(lines: AsyncGenerator<string, void>): Promise<void> {
    try {
      for await (const line of lines) {
        const answer = v.safeParse(Answer, parseJson(line));
        if (!answer.success) break;
        this.#waiters.get(answer.output.id ?? -1)?.(answer.output);
      }
    } catch {
      // The waiting calls get their answer below; the connection ended at the other side.
    } finally {
      this.#socket.destroy();
      for (const waiter of this.#waiters.values()) waiter(ended());
    }
  }
}

const ended = () => new ForwarderError('FORWARDER_ENDED', 'the forwarder has ended');

function routeText({ subnet, remote, port, mtu }: ForwarderRoute): object {
  return {
    subnet: subnet.toString(),
    remote: remote.toString(),
    port,
    ...(mtu === undefined ? {} : { mtu }),
  };
}

function checked<Schema extends v.GenericSchema>(schema: Schema, given: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, given);
  if (result.success) return result.output;
  throw new ForwarderError(
    'FORWARDER_PROTOCOL',
    `unexpected answer of a forwarder: ${result.issues[0].message}`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * An agent that had to wait for the processor, or was stopped, looks first at what came meanwhile: a forwarder that is taken for
 * silent is replaced, and that loses packets.
 * @throws ForwarderError FORWARDER_SILENT; `signal.reason`.
 */
async function withPatience<T>(
  what: string,
  patience: number,
  promise: Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const late = new AbortController();
  const giveUp = () =>
    late.abort(
      new ForwarderError('FORWARDER_SILENT', `no ${what} from the forwarder within ${patience / 1000} s`),
    );
  // Timers that are due run before sockets are read, and immediates after that.
  const timer = setTimeout(() => setImmediate(giveUp), patience);
  try {
    return await untilAborted(
      promise,
      AbortSignal.any([late.signal, ...(signal === undefined ? [] : [signal])]),
    );
  } finally {
    clearTimeout(timer);
  }
}
