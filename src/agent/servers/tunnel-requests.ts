/** Requests about tunnels. */
import type { IncomingMessage } from 'node:http';
import { TunnelRequest } from '../../api/tunnels.ts';
import type { Tunnels } from '../../network/tunnel/tunnels.ts';
import { decodedPart, readBody } from './request-body.ts';

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
    return await tunnels.add(await readBody(request, TunnelRequest, 'tunnel'));
  if (!path.startsWith(`${PATH}/`) || request.method !== 'DELETE') return undefined;
  const name = decodedPart(path.slice(PATH.length + 1), 'tunnel');
  await tunnels.delete(name);
  return { deleted: name };
}
