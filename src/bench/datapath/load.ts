/** One kind of traffic over one way: both ends as processes of their own, each pinned to the processor of its host. */
import { fileURLToPath } from 'node:url';
import { run, start } from '../../sys/process.ts';
import type { Way } from './paths.ts';
import { aheadOfAll, PROCESSORS, pinned } from './processors.ts';
import type { Received, Sent, Traffic } from './traffic.ts';

const SCRIPT = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './traffic.ts' : './traffic.js', import.meta.url),
);

export interface LoadOptions {
  /** That the sender sends. */
  readonly seconds: number;
  /** Both ends before all other processes. */
  readonly isAhead: boolean;
  readonly signal: AbortSignal;
}

export interface Carried {
  readonly sent: Sent;
  readonly received: Received;
}

export async function runLoad(
  kind: Traffic,
  way: Way,
  { seconds, isAhead, signal }: LoadOptions,
): Promise<Carried> {
  const [senders, receivers] = PROCESSORS;
  const traffic = (...args: readonly string[]) => {
    const command = [process.execPath, SCRIPT, ...args, way.ip, `${seconds}`];
    return isAhead ? aheadOfAll(command) : command;
  };
  const receiver = await start(...pinned(receivers, traffic('receive', kind)), {
    namespaces: { net: way.to },
    pipeOutput: true,
  });
  try {
    const lines = linesOf(receiver.stdout ?? []);
    await lines.next();
    const { stdout } = await run(...pinned(senders, traffic('send', kind)), {
      namespaces: { net: way.from },
      signal,
      timeout: seconds * 1000 + 30_000,
    });
    const { value } = await lines.next();
    if (value === undefined) throw new Error(`nothing arrived over ${way.path}`);
    return { sent: JSON.parse(stdout) as Sent, received: JSON.parse(value) as Received };
  } finally {
    receiver.kill('SIGKILL');
    await receiver.exited;
  }
}

async function* linesOf(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<string, undefined> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  return undefined;
}
