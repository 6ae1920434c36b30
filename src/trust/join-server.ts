/**
 * The store's side of joining. A host shows a token, or the certificate it has, and gets a certificate that says
 * who it is. The one request that is served to clients without a certificate.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as v from 'valibot';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { readAll } from '../base/read-all.ts';
import { callerOf } from '../store/server/caller.ts';
import { type Authority, ORGANIZATION } from './authority.ts';
import { type JoinAnswer, JoinRequest, MAX_JOIN_BYTES } from './join.ts';
import type { TokenBook } from './token-book.ts';

export interface JoinServerOptions {
  readonly authority: Authority;
  readonly tokens: TokenBook;
  /** Root of the network's keys in the store. */
  readonly prefix: string;
  readonly log: Logger;
}

/** Who sent the request, by its verified certificate; undefined for a stranger. */
export type HostOf = (request: IncomingMessage) => string | undefined;

export function joinServer({ authority, tokens, prefix, log }: JoinServerOptions, hostOf: HostOf) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const peer = request.socket.remoteAddress;
    handle(request).then(
      ({ status, body }) => answer(response, status, body),
      (error: unknown) => {
        log.error({ peer, error: messageOf(error) }, 'a host could not be let in');
        answer(response, 500, { error: 'the store cannot let hosts in; its log says why' });
      },
    );

    async function handle(
      from: IncomingMessage,
    ): Promise<{ status: number; body: JoinAnswer | { error: string } }> {
      if (from.method !== 'POST') return refused(405, 'want POST');
      const bytes = await readAll(from, MAX_JOIN_BYTES);
      const wanted = bytes === undefined ? undefined : parse(bytes);
      if (wanted === undefined) return refused(400, 'the request makes no sense');
      const { token, hostId } = wanted;
      if (token === undefined ? hostOf(from) !== hostId : !(await tokens.accepts(token))) {
        log.warn({ peer, hostId, token: token?.id }, 'a host was refused');
        return refused(
          403,
          token === undefined ? 'no token was given' : 'the token is unknown, has expired or was revoked',
        );
      }
      try {
        const certificate = await authority.certifyHost(wanted.request, hostId);
        log.info(
          { peer, hostId, token: token?.id },
          token === undefined ? 'a host renewed its certificate' : 'a host joined',
        );
        return { status: 200, body: { certificate, prefix } };
      } catch (error) {
        return refused(400, `the certificate request is malformed: ${messageOf(error)}`);
      }
    }
  };
}

const refused = (status: number, error: string) => ({ status, body: { error } });

function parse(body: Uint8Array): JoinRequest | undefined {
  try {
    const result = v.safeParse(JoinRequest, JSON.parse(new TextDecoder().decode(body)));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

function answer(response: ServerResponse, status: number, body: object): void {
  // A body that was too long is still on its way: this connection is of no more use.
  const headers = { 'content-type': 'application/json', ...(status === 200 ? {} : { connection: 'close' }) };
  response.writeHead(status, headers).end(JSON.stringify(body));
}

/** The host id in the verified certificate of a connection. */
export function verifiedHost({ socket }: IncomingMessage): string | undefined {
  const { commonName, organization } = callerOf(socket, undefined, 0);
  return organization === ORGANIZATION.host ? commonName : undefined;
}
