/** What a host and the store say to each other when the host joins: one POST, once, before there is any lease. */
import * as v from 'valibot';
import { TokenId, TokenSecret } from './token.ts';

export const JOIN_PATH = '/tulle/v1/join';

/** Longest request body, in bytes; a request for a P-256 key takes less than 1 KiB. */
export const MAX_JOIN_BYTES = 16 * 1024;

const pem = (label: string) =>
  v.pipe(v.string(), v.maxLength(MAX_JOIN_BYTES), v.startsWith(`-----BEGIN ${label}-----`));

export const JoinRequest = v.object({
  /** Absent when a host that has a certificate already asks for its successor. */
  token: v.exactOptional(v.object({ id: TokenId, secret: TokenSecret })),
  hostId: v.pipe(v.string(), v.uuid()),
  /** PKCS #10. */
  request: pem('CERTIFICATE REQUEST'),
});

export const JoinAnswer = v.object({
  certificate: pem('CERTIFICATE'),
  /** Root of the network's keys in the store. */
  prefix: v.string(),
});

export const JoinRefusal = v.object({ error: v.string() });

export type JoinRequest = v.InferOutput<typeof JoinRequest>;
export type JoinAnswer = v.InferOutput<typeof JoinAnswer>;
