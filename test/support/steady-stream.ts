/**
 * Two containers with one TCP connection that carries numbered blocks both ways, all the time: afterwards it is known whether
 * it is still the same one, and everything came back as it was. Its segments are large, as those of a download are.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { Watchable } from '../../src/base/watchable.ts';
import { type RunningProcess, start } from '../../src/sys/process.ts';
import { deadline, within } from './eventually.ts';

const PROGRAM = join(import.meta.dirname, 'stream-program.ts');

export interface StreamEnds {
  /** Files of network namespaces. */
  readonly from: string;
  readonly to: string;
  /** Of the end that listens. */
  readonly ip: string;
  readonly port: number;
}

export class SteadyStream implements AsyncDisposable {
  readonly #ends: readonly RunningProcess[];
  /** The newest that came back. */
  readonly #back = new Watchable(0);
  #ended: string | undefined;

  private constructor(ends: readonly RunningProcess[]) {
    this.#ends = ends;
  }

  /** Begins, and returns once the first block is back. */
  static async begin({ from, to, ip, port }: StreamEnds): Promise<SteadyStream> {
    await using stack = new AsyncDisposableStack();
    const run = async (role: string, net: string) => {
      const options = { pipeOutput: true, stdin: 'pipe', namespaces: { net } } as const;
      const end = await start(process.execPath, [PROGRAM, role, ip, `${port}`], options);
      stack.defer(() => endOf(end));
      return end;
    };
    const server = await run('serve', to);
    const lines = linesOf(server);
    await within('the other end listens', lines.next());
    const client = await run('send', from);
    const stream = new SteadyStream([server, client]);
    void stream.#read(lines);
    void stream.#read(linesOf(client));
    await stream.goesOn();
    stack.move();
    return stream;
  }

  /** Resolves when ten more blocks are back. @throws Error when the connection has ended, or stands still */
  async goesOn(): Promise<void> {
    const wanted = this.#back.value + 10;
    const isOver = (back: number) => back >= wanted || this.#ended !== undefined;
    await this.#back.until(isOver, deadline('more of the stream comes back'));
    assert.equal(this.#ended, undefined, 'the connection has ended');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) await endOf(end);
  }

  async #read(lines: AsyncIterator<string, undefined>): Promise<void> {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) return;
      const [, reason] = /^ended (.*)/.exec(value) ?? [];
      this.#ended ??= reason;
      this.#back.set(reason === undefined ? Number(value) : this.#back.value);
    }
  }
}

const linesOf = ({ stdout }: RunningProcess) =>
  createInterface(stdout ?? assert.fail('no output'))[Symbol.asyncIterator]();

async function endOf(end: RunningProcess): Promise<void> {
  end.kill('SIGKILL');
  await within('an end of the stream ends', end.exited);
}
