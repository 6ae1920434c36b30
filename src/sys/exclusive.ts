/**
 * A name that one process of a network namespace holds at a time: an abstract unix socket (unix(7)), which is gone with the
 * process, however that ends.
 */
import { createServer } from 'node:net';
import { isCode } from '../base/errors.ts';

/** Holds the name until it is disposed of; undefined when another process has it. @throws Error when no socket can be made */
export async function holdName(name: string): Promise<AsyncDisposable | undefined> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(`\0tulle-${name}`, resolve);
    });
  } catch (error) {
    if (isCode(error, 'EADDRINUSE')) return undefined;
    throw error;
  }
  server.unref();
  return { [Symbol.asyncDispose]: () => new Promise<void>(resolve => server.close(() => resolve())) };
}
