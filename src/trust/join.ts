/** What a host and the store say to each other when the host joins or renews its certificate: one POST. */
import * as v from 'valibot';
import { TokenId, TokenSecret } from './token.ts';

export const JOIN_PATH = '/tulle/v1/join';

/** Longest request body, in bytes; a request for a P-256 key takes less than 1 KiB. */
export const MAX_JOIN_BYTES = 16 * 1024;

const pem = (label: string) =>
  v.pipe(v.string(), v.maxLength(MAX_JOIN_BYTES), v.startsWith(`-----BEGIN ${label}-----`));

/** In lower case: the id names a file, and one host has one. */
export const HostId = v.pipe(v.string(), v.uuid(), v.regex(/^[0-9a-f-]+$/));
/** A host name as Linux has it, of characters that are harmless on a screen. */
export const HostName = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/));

export const JoinRequest = v.object({
  /** Absent when a host that has a certificate already asks for its successor. */
  token: v.exactOptional(v.object({ id: TokenId, secret: TokenSecret })),
  hostId: HostId,
  /** For people. */
  name: v.exactOptional(HostName),
  /** PKCS #10. */
  request: pem('CERTIFICATE REQUEST'),
});

export const JoinAnswer = v.object({
  certificate: pem('CERTIFICATE'),
  /** PEM of the authority, which may have been renewed. */
  authority: pem('CERTIFICATE'),
  /** Whose certificate it is: another host than the one that asked when the token was made for it. */
  hostId: HostId,
  /** Root of the network's keys in the store. */
  prefix: v.string(),
});

/** @property hint what to do about it */
export const JoinRefusal = v.object({ error: v.string(), hint: v.exactOptional(v.string()) });

export type JoinRequest = v.InferOutput<typeof JoinRequest>;
export type JoinAnswer = v.InferOutput<typeof JoinAnswer>;
export type JoinRefusal = v.InferOutput<typeof JoinRefusal>;
