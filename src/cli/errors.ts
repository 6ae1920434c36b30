/** What goes wrong between a person and a command. */
import { constants } from 'node:os';
import { TulleError } from '../base/errors.ts';

export type CommandErrorCode =
  /** The command line makes no sense. */
  | 'USAGE'
  /** What the command line names does not exist. */
  | 'NOT_FOUND';

export class CommandError extends TulleError<CommandErrorCode> {
  constructor(code: CommandErrorCode, message: string, hint?: string) {
    super(code, message, hint === undefined ? {} : { hint });
  }
}

/** The reason of an abort that a signal asked for. Ends the command with 128 + the signal's number, silently. */
export class Interrupted extends TulleError<'INTERRUPTED'> {
  /** Number of the signal: 2 for SIGINT. */
  readonly number: number;

  constructor(signal: NodeJS.Signals) {
    super('INTERRUPTED', `stopped by ${signal}`);
    this.number = constants.signals[signal];
  }
}
