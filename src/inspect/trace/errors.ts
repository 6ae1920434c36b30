/** Why a packet cannot be followed. */
import { TulleError } from '../../base/errors.ts';

export type TraceErrorCode =
  /** The program that lists the rules is not installed. */
  | 'NO_PROGRAM'
  /** The kernel or the program that lists the rules refused. */
  | 'REFUSED'
  /** A rule whose meaning is not known where a packet's way is worked out from the rules. */
  | 'UNREADABLE';

/** The way of a packet through the hooks of netfilter cannot be shown. */
export class TraceError extends TulleError<TraceErrorCode> {}
