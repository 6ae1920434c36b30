/** What a piece of code prints. */
import process from 'node:process';
import type { TestContext } from 'node:test';

export interface Printed<T> {
  readonly result: T;
  readonly out: string;
  readonly err: string;
  /** Both, in the order in which they were printed, line by line. */
  readonly lines: readonly string[];
}

/**
 * Runs `work` and catches the text it prints. Bytes are let through: the test runner's own messages go over the
 * same stdout.
 */
export async function printed<T>(t: TestContext, work: () => Promise<T>): Promise<Printed<T>> {
  const said = { out: '', err: '', both: '' };
  const mocks = (['out', 'err'] as const).map(name => {
    const stream = name === 'out' ? process.stdout : process.stderr;
    const write = stream.write.bind(stream);
    return t.mock.method(stream, 'write', (part: string | Uint8Array, ...more: []) => {
      if (typeof part !== 'string') return write(part, ...more);
      said[name] += part;
      said.both += part;
      return true;
    });
  });
  try {
    const result = await work();
    return { result, out: said.out, err: said.err, lines: said.both.trimEnd().split('\n') };
  } finally {
    for (const { mock } of mocks) mock.restore();
  }
}
