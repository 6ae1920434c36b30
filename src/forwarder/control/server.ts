/** The forwarder's end of the control socket: a unix socket of mode 0600. What requests mean is handed in. */
import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { messageOf } from '../../base/errors.ts';
import { readLines } from '../../base/read-lines.ts';
import { type Answer, ControlRequest, type Hello, LONGEST_LINE } from './messages.ts';

/** Agents come and go one at a time; a person may ask for counters meanwhile. */
const MOST_CONNECTIONS = 16;

/** What a request is answered with; it may ask for the end of the program when the answer is on its way. */
export interface Reply {
  readonly result?: unknown;
  readonly ends?: true;
}

export interface ControlHandlers {
  readonly hello: Hello;
  /** @throws anything, whose message is the answer then */
  answer(request: ControlRequest): Promise<Reply>;
  /** The answer of a request that ends the program has been sent. */
  onEnd(): void;
}

export class ControlServer implements AsyncDisposable {
  readonly #path: string;
  readonly #server: Server;
  readonly #handlers: ControlHandlers;
  readonly #connections = new Set<Socket>();
  #ownsPath = true;

  private constructor(path: string, handlers: ControlHandlers) {
    this.#path = path;
    this.#handlers = handlers;
    this.#server = createServer(socket => void this.#serve(socket));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** Listens at `path` in place of the process that listened there before. */
  static async open(path: string, handlers: ControlHandlers): Promise<ControlServer> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    // Under a name of its own first: a server that closes removes the name it was opened with, even when another has it by then.
    const ownPath = `${path}.${process.pid}`;
    rmSync(ownPath, { force: true });
    const control = new ControlServer(path, handlers);
    // The mode is right from the start: no process can connect between bind and chmod.
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        control.#server.once('error', reject);
        control.#server.listen(ownPath, resolve);
      });
    } finally {
      process.umask(umask);
    }
    chmodSync(ownPath, 0o600);
    renameSync(ownPath, path);
    return control;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    for (const socket of this.#connections) socket.destroy();
    await closed;
    if (this.#ownsPath) rmSync(this.#path, { force: true });
  }

  /** The path is another forwarder's from now on. */
  leavePath(): void {
    this.#ownsPath = false;
  }

  async #serve(socket: Socket): Promise<void> {
    this.#connections.add(socket);
    socket.on('error', () => undefined);
    try {
      await send(socket, this.#handlers.hello);
      for await (const line of readLines(socket, LONGEST_LINE)) {
        const { answer, ends } = await this.#answer(line);
        await send(socket, answer);
        if (ends === true) return this.#handlers.onEnd();
      }
    } catch (error) {
      if (!socket.destroyed) await send(socket, refusal(null, error)).catch(() => undefined);
    } finally {
      socket.destroy();
      this.#connections.delete(socket);
    }
  }

  async #answer(line: string): Promise<{ answer: Answer; ends?: true }> {
    let id: number | null = null;
    try {
      const given: unknown = JSON.parse(line);
      id = v.is(v.object({ id: v.number() }), given) ? given.id : null;
      const checked = v.safeParse(ControlRequest, given, { abortEarly: true });
      if (!checked.success) return { answer: refusal(id, complaint(checked.issues[0])) };
      const { result, ends } = await this.#handlers.answer(checked.output);
      const answer = { id: checked.output.id, ok: true as const, result };
      return ends === true ? { answer, ends } : { answer };
    } catch (error) {
      return { answer: refusal(id, error) };
    }
  }
}

function refusal(id: number | null, error: unknown): Answer {
  return { id, ok: false, error: messageOf(error) };
}

/** `routes.3.port: Invalid value: Expected <=65535 but received 70000`. */
function complaint(issue: v.BaseIssue<unknown>): Error {
  const path = v.getDotPath(issue);
  return new Error(path === null ? issue.message : `${path}: ${issue.message}`);
}

/** Resolves when the kernel has it, so that a client that reads nothing is not written more. */
function send(socket: Socket, message: object): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(`${JSON.stringify(message)}\n`, error => (error ? reject(error) : resolve()));
  });
}
