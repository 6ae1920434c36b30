/** What dockerd is told when a call cannot be done; it shows the text to whoever asked. */
import { messageOf, TulleError } from '../../base/errors.ts';
import { abridge, printable } from '../../base/printable.ts';

export type DockerPluginErrorCode =
  /** The body is not one of this protocol. */
  | 'UNDECODABLE'
  /** Nothing of that id is known here. */
  | 'UNKNOWN'
  /** Docker has not told which network this is. */
  | 'NO_NAME'
  /** What is asked for cannot be. */
  | 'REFUSED'
  /** It took too long. */
  | 'TIMEOUT'
  /** The socket cannot be served. */
  | 'CANNOT_SERVE';

/** What dockerd asked of the plugin and does not get. */
export class DockerPluginError extends TulleError<DockerPluginErrorCode> {}

/** Docker shows it in one line. */
const MOST_OF_A_MESSAGE = 1000;

/** `message (hint)`, on one line. */
export function refusalText(error: unknown): string {
  const hint = error instanceof TulleError ? error.hint : undefined;
  const message = messageOf(error);
  return abridge(printable(hint === undefined ? message : `${message} (${hint})`), MOST_OF_A_MESSAGE);
}
