/** Who is at the other end of a connection. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Caller } from '../rpc.ts';

/** @param token what the request brought along */
export function callerOf(socket: Socket, token: string | undefined, requestBytes: number): Caller {
  return {
    peer: `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`,
    token,
    commonName: nameOf(socket, 'CN'),
    organization: nameOf(socket, 'O'),
    requestBytes,
  };
}

/**
 * A name in a client certificate that was checked. A certificate may hold a name several times; then it is not
 * clear who it is.
 */
function nameOf(socket: Socket, attribute: 'CN' | 'O'): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const name: unknown = socket.getPeerCertificate().subject?.[attribute];
  return typeof name === 'string' ? name : undefined;
}
