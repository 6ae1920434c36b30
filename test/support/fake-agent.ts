/** A unix socket where a test answers in place of the agent. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';

/** Serves while the tests of the surrounding `describe` run. @returns the path of the socket */
export function serveAsAgent(answer: RequestListener): string {
  const directory = join(tmpdir(), `tulle-agent-${randomUUID()}`);
  const socket = join(directory, 'agent.sock');
  const server = createServer(answer);
  before(async () => {
    mkdirSync(directory);
    await new Promise<void>(resolve => server.listen(socket, resolve));
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return socket;
}
