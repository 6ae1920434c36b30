/** What goes wrong between a forwarder and the process that controls it. */
import { TulleError } from '../base/errors.ts';

export type ForwarderErrorCode =
  /** No forwarder listens at the control socket. */
  | 'FORWARDER_NOT_RUNNING'
  /** The forwarder ended, or closed the connection. */
  | 'FORWARDER_ENDED'
  /** It did not answer in time. */
  | 'FORWARDER_SILENT'
  /** The device that it has open is not where it should be any more. */
  | 'FORWARDER_MISPLACED'
  /** It refused the request: it is malformed, or there are too many routes. */
  | 'FORWARDER_REFUSED'
  /** The other end of the control socket says what no forwarder of this version says. */
  | 'FORWARDER_PROTOCOL';

/** A forwarder cannot be started, reached or changed. */
export class ForwarderError extends TulleError<ForwarderErrorCode> {}
