/** The store's side of joining over HTTP: the one request that is served to clients without a certificate. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as v from 'valibot';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { readAll } from '../base/read-all.ts';
import { callerOf } from '../etcdserver/http/caller.ts';
import type { Admission, Decision } from './admission.ts';
import { ORGANIZATION } from './authority.ts';
import { JoinRequest, MAX_JOIN_BYTES } from './join.ts';

export function joinServer(admission: Admission, log: Logger) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    handle(admission, request).then(
      decision => answer(response, decision),
      (error: unknown) => {
        log.error({ peer: request.socket.remoteAddress, error: messageOf(error) }, 'a host could not join');
        answer(response, {
          status: 500,
          body: { error: 'the store cannot admit hosts', hint: 'the log of the store says why' },
        });
      },
    );
  };
}

async function handle(admission: Admission, request: IncomingMessage): Promise<Decision> {
  if (request.method !== 'POST') return { status: 405, body: { error: 'want POST' } };
  const bytes = await readAll(request, MAX_JOIN_BYTES);
  const wanted = bytes === undefined ? undefined : parse(bytes);
  if (wanted === undefined) return { status: 400, body: { error: 'the request is not valid' } };
  return admission.decide(wanted, { host: verifiedHost(request), peer: request.socket.remoteAddress });
}

function parse(body: Uint8Array): JoinRequest | undefined {
  try {
    const result = v.safeParse(JoinRequest, JSON.parse(new TextDecoder().decode(body)));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

function answer(response: ServerResponse, { status, body }: Decision): void {
  // A body that was too long is still on its way: this connection is of no more use.
  const headers = { 'content-type': 'application/json', ...(status === 200 ? {} : { connection: 'close' }) };
  response.writeHead(status, headers).end(JSON.stringify(body));
}

/** The host id in the verified certificate of a connection. */
function verifiedHost({ socket }: IncomingMessage): string | undefined {
  const { commonName, organization } = callerOf(socket, undefined, 0);
  return organization === ORGANIZATION.host ? commonName : undefined;
}
