/**
 * A join token: all that a new host needs to know, as one word that survives copy and paste.
 *
 *     tulle1.<base64url of>
 *     +---------+------------+--------------------------+-------------------+-----------+
 *     | id: 6   | secret: 16 | SHA-256 of CA's key: 32  | HOST:PORT, UTF-8  | check: 4  |
 *     +---------+------------+--------------------------+-------------------+-----------+
 *
 * The fingerprint makes the first connection safe: the secret is shown only to the store it belongs to. The
 * check (the beginning of SHA-256 over the rest) distinguishes a mistyped token from a refused one.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { Reader, Writer } from '../base/bytes.ts';
import { ParseError } from '../base/errors.ts';

const PREFIX = 'tulle1.';
const ID = 6;
const SECRET = 16;
const FINGERPRINT = 32;
const CHECK = 4;

/** The schema of `bytes` bytes as lower-case hex. */
export const hexText = (bytes: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`)));
export const TokenId = hexText(ID);
export const TokenSecret = hexText(SECRET);

export interface Token {
  /** Names the token in lists; 12 hex digits, not secret. */
  readonly id: string;
  /** Hex. */
  readonly secret: string;
  /** SHA-256 of the authority's public key, hex: the token outlives a renewal of the authority's certificate. */
  readonly fingerprint: string;
  /** Where the store answers: `192.168.65.3:2379`, `[fd00::3]:2379`. */
  readonly address: string;
}

export function newTokenSecret(): Pick<Token, 'id' | 'secret'> {
  return { id: randomBytes(ID).toString('hex'), secret: randomBytes(SECRET).toString('hex') };
}

export function formatToken({ id, secret, fingerprint, address }: Token): string {
  const body = new Writer()
    .bytes(Buffer.from(id, 'hex'))
    .bytes(Buffer.from(secret, 'hex'))
    .bytes(Buffer.from(fingerprint, 'hex'))
    .bytes(Buffer.from(address, 'utf8'))
    .finish();
  return PREFIX + Buffer.concat([body, checkOf(body)]).toString('base64url');
}

/** @throws ParseError, which never shows the token */
export function parseToken(text: string): Token {
  const wrong = (reason: string) =>
    new ParseError('a join token', '***', reason, 'copy the whole line that `tulle store token` printed');
  if (!text.startsWith(PREFIX)) throw wrong(`it does not begin with ${PREFIX}`);
  const encoded = text.slice(PREFIX.length);
  if (!/^[A-Za-z0-9_-]+$/.test(encoded)) throw wrong('it has characters that no token has');
  const bytes = Buffer.from(encoded, 'base64url');
  const body = bytes.subarray(0, -CHECK);
  if (body.byteLength <= ID + SECRET + FINGERPRINT || !checkOf(body).equals(bytes.subarray(-CHECK))) {
    throw wrong('a part of it is missing or was changed');
  }
  const reader = new Reader(body, 'join token');
  const hex = (length: number) => Buffer.from(reader.bytes(length)).toString('hex');
  const token = { id: hex(ID), secret: hex(SECRET), fingerprint: hex(FINGERPRINT) };
  const address = Buffer.from(reader.rest()).toString('utf8');
  const url = URL.parse(`https://${address}`);
  if (url === null || url.host !== address || url.port === '') throw wrong('its address is no HOST:PORT');
  return { ...token, address };
}

function checkOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest().subarray(0, CHECK);
}
