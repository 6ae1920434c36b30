/** Joining failed: the token, the certificate or the other side is not what it should be. */
import { TulleError } from '../base/errors.ts';

export type TrustErrorCode =
  /** The token does not exist, has expired or was revoked. */
  | 'TOKEN_REFUSED'
  /** The server at the address is not the store that made the token. */
  | 'NOT_THE_STORE'
  /** The store cannot be reached, or answered with an unexpected body. */
  | 'NO_ANSWER'
  /** Certificates of this host are missing or damaged. */
  | 'NO_CERTIFICATE';

/** A host and the store cannot authenticate each other. */
export class TrustError extends TulleError<TrustErrorCode> {}
