/** Why another host was not asked, or gave no answer. */
import { TulleError } from '../../base/errors.ts';

export type PeerErrorCode =
  /** This host has no certificate, or one that cannot be read. */
  | 'NO_CERTIFICATE'
  /** No such host is known. */
  | 'UNKNOWN_HOST'
  /** That host publishes no peer API: flannel runs there, an older Tulle, or it is off. */
  | 'NO_PEER_API'
  /** No connection in time. */
  | 'UNREACHABLE'
  /** The host answers, and nothing listens at the port. */
  | 'NOT_LISTENING'
  /** Who answers there is not that host. */
  | 'NOT_THE_HOST'
  /** The other side refused this host, or the request. */
  | 'REFUSED'
  /** It began to answer, and did not end in time. */
  | 'TIMEOUT'
  /** The answer is not what this version expects. */
  | 'PROTOCOL';

/** Another host was not asked, or has not answered. */
export class PeerError extends TulleError<PeerErrorCode> {}
