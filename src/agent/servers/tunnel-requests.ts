/** Requests about tunnels: their bodies are read within bounds and checked before anything is asked of this host. */
import type { IncomingMessage } from 'node:http';
import * as v from 'valibot';
import { TunnelRequest } from '../../api/tunnels.ts';
import { ConfigError, type Problem } from '../../base/errors.ts';
import type { Tunnels } from '../../network/tunnel/tunnels.ts';

/** Bytes; 64 addresses of both families are 4,000. */
const MOST_OF_A_BODY = 64 * 1024;

const PATH = '/v1/tunnels';

export type TunnelHandlers = Pick<Tunnels, 'add' | 'delete' | 'list'>;

/** The answer; undefined when the request is not about tunnels. @throws ConfigError, TunnelError */
export async function answerTunnels(
  tunnels: TunnelHandlers,
  request: IncomingMessage,
  path: string,
): Promise<unknown> {
  if (path === PATH && request.method === 'GET') return await tunnels.list();
  if (path === PATH && request.method === 'POST')
    return await tunnels.add(parseTunnelRequest(await bodyOf(request)));
  if (!path.startsWith(`${PATH}/`) || request.method !== 'DELETE') return undefined;
  const name = decoded(path.slice(PATH.length + 1));
  await tunnels.delete(name);
  return { deleted: name };
}

/** @throws ConfigError */
export function parseTunnelRequest(body: string): TunnelRequest {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new ConfigError('tunnel', [{ path: 'body', message: 'is not JSON' }]);
  }
  const result = v.safeParse(TunnelRequest, value);
  if (result.success) return result.output;
  throw new ConfigError('tunnel', result.issues.map(problemOf));
}

function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const { input } = issue;
  const isShown = typeof input === 'string' || typeof input === 'number' || typeof input === 'boolean';
  return { path: v.getDotPath(issue) ?? 'body', message: issue.message, ...(isShown && { value: input }) };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > MOST_OF_A_BODY) {
      throw new ConfigError('tunnel', [{ path: 'body', message: `is longer than ${MOST_OF_A_BODY} bytes` }]);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** @throws ConfigError */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ConfigError('tunnel', [
      { path: 'name', value: text, message: 'is not encoded as a part of a URL' },
    ]);
  }
}
