/**
 * The host's side of joining. The token's fingerprint is all it trusts: it looks at who answers, and shows the
 * token's secret only to a store whose certificate comes from that very authority.
 */
import { X509Certificate } from 'node:crypto';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { hostname } from 'node:os';
import { connect } from 'node:tls';
import * as v from 'valibot';
import { isCode, messageOf } from '../base/errors.ts';
import { ORGANIZATION } from './authority.ts';
import { TrustError } from './errors.ts';
import { HostName, JOIN_PATH, JoinAnswer, JoinRefusal, type JoinRequest, MAX_JOIN_BYTES } from './join.ts';
import type { Token } from './token.ts';
import { type KeyedCertificate, keyFingerprint, makeRequest } from './x509.ts';

/** What a host has after it joined. */
export interface Joined extends KeyedCertificate {
  readonly hostId: string;
  /** PEM of the authority. */
  readonly authority: string;
  /** `https://HOST:PORT` */
  readonly endpoint: string;
  readonly prefix: string;
  /** Id of the token that it joined with, if it did. */
  readonly token?: string;
}

/** Who joins. */
export interface JoiningHost {
  readonly hostId: string;
  /** PEM of the key it had before: with it the host gets its own id again. */
  readonly key?: string;
}

const TIMEOUT_MS = 10_000;

/** @throws TrustError */
export async function joinStore(
  token: Token,
  { hostId, key }: JoiningHost,
  signal: AbortSignal,
): Promise<Joined> {
  const { id, secret, address } = token;
  const known = {
    hostId,
    key,
    authority: await fetchAuthority(token, signal),
    endpoint: `https://${address}`,
    token: id,
  };
  return certified(known, { token: { id, secret } }, {}, signal);
}

/** A fresh certificate for a host that has one, for the same key. @throws TrustError */
export function renewCertificate(joined: Joined, signal: AbortSignal): Promise<Joined> {
  const { certificate, key } = joined;
  return certified(joined, {}, { cert: certificate, key }, signal);
}

/** What is known before a certificate is asked for. */
export interface Known extends Pick<Joined, 'hostId' | 'authority' | 'endpoint' | 'token'> {
  readonly key?: string | undefined;
}

async function certified(
  known: Known,
  proof: Pick<JoinRequest, 'token'>,
  tls: RequestOptions,
  signal: AbortSignal,
): Promise<Joined> {
  const { endpoint, authority } = known;
  const { body, accept } = await askForCertificate(known, proof);
  const answer = await post(
    `${endpoint}${JOIN_PATH}`,
    JSON.stringify(body),
    { ...tls, ca: authority },
    signal,
  );
  const { host: address } = new URL(endpoint);
  const parsed = v.safeParse(v.union([JoinAnswer, JoinRefusal]), parseJson(answer.text));
  if (!parsed.success) throw noAnswer(address, `it answered ${answer.status} with an unexpected body`);
  if ('error' in parsed.output) {
    const { error, hint = 'the log of the store says more' } = parsed.output;
    throw new TrustError('TOKEN_REFUSED', `the store at ${address} refused: ${error}`, { hint });
  }
  return accept(parsed.output);
}

/** What is sent, and how to read the answer. */
export async function askForCertificate(
  { hostId, authority, endpoint, token, key: former }: Known,
  proof: Pick<JoinRequest, 'token'>,
): Promise<{ readonly body: JoinRequest; readonly accept: (answer: JoinAnswer) => Joined }> {
  const { request, key } = await makeRequest({ commonName: hostId, organization: ORGANIZATION.host }, former);
  const name = hostname();
  const accept = (answer: JoinAnswer): Joined => {
    // The store may have renewed its authority's certificate, never the key.
    const issuer = new X509Certificate(answer.authority).publicKey;
    const isSame = keyFingerprint(issuer) === keyFingerprint(new X509Certificate(authority).publicKey);
    if (!isSame || !new X509Certificate(answer.certificate).verify(issuer)) {
      throw new TrustError('NOT_THE_STORE', `the certificate from ${endpoint} is not of its authority`, {
        hint: 'join again with a new token: `tulle store token` on the host of the store',
      });
    }
    return { ...answer, key, endpoint, ...(token !== undefined && { token }) };
  };
  return { body: { ...proof, hostId, ...(v.is(HostName, name) && { name }), request }, accept };
}

/** The certificate with the token's fingerprint among those that the other side shows. */
function fetchAuthority({ address, fingerprint }: Token, signal: AbortSignal): Promise<string> {
  const { hostname, port } = new URL(`https://${address}`);
  return new Promise((resolve, reject) => {
    // Not verified on purpose: nothing is sent, and the fingerprint decides.
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port),
      rejectUnauthorized: false,
    });
    const fail = (error: unknown) => {
      socket.destroy();
      reject(signal.aborted ? (signal.reason as Error) : noAnswer(address, messageOf(error), error));
    };
    const abort = () => fail(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    socket.once('close', () => signal.removeEventListener('abort', abort));
    socket.setTimeout(TIMEOUT_MS, () => fail(new Error('it does not answer')));
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      const chain = chainOf(socket.getPeerCertificate(true));
      const [shown] = chain;
      const authority = chain.find(({ publicKey }) => keyFingerprint(publicKey) === fingerprint);
      socket.destroy();
      if (authority !== undefined && shown?.verify(authority.publicKey)) resolve(authority.toString());
      else {
        reject(
          new TrustError('NOT_THE_STORE', `the server at ${address} is not the store that made this token`, {
            hint: 'check the address, or make a new token with `tulle store token`; nothing was sent',
          }),
        );
      }
    });
  });
}

interface Shown {
  readonly raw: Buffer;
  readonly issuerCertificate?: Shown;
}

function chainOf(shown: Shown): X509Certificate[] {
  const chain: X509Certificate[] = [];
  // Node closes the chain with a self-signed certificate that is its own issuer.
  for (let at: Shown | undefined = shown; at !== undefined && chain.length < 8; ) {
    chain.push(new X509Certificate(at.raw));
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
  return chain;
}

function post(
  url: string,
  body: string,
  tls: RequestOptions,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const options = { ...tls, method: 'POST', headers, signal, timeout: TIMEOUT_MS, agent: false };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) =>
      reject(
        signal.aborted ? (signal.reason as Error) : noAnswer(new URL(url).host, messageOf(error), error),
      );
    const request = httpsRequest(url, options, response => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_JOIN_BYTES) request.destroy(new Error('its answer is too long'));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', fail);
    });
    request.on('timeout', () => request.destroy(new Error('it does not answer')));
    request.on('error', fail);
    request.end(body);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function noAnswer(address: string, why: string, cause?: unknown): TrustError {
  return new TrustError('NO_ANSWER', `no valid answer from the store at ${address}: ${why}`, {
    hint: hintFor(cause),
    ...(cause === undefined ? {} : { cause }),
  });
}

/** OpenSSL compares certificates with the clock of this host, which is wrong more often than they are. */
function hintFor(cause: unknown): string {
  const clock = `the clock of this host says ${new Date().toISOString()}`;
  if (isCode(cause, 'CERT_NOT_YET_VALID')) return `${clock}; set it, and try again`;
  if (isCode(cause, 'CERT_HAS_EXPIRED')) {
    return `${clock}; if that is right, renew with \`tulle store cert renew\` on the host of the store`;
  }
  return 'is the store running, and does a firewall let this host reach it?';
}
