/** What goes wrong between a person and a command. */
import { constants } from 'node:os';
import { TulleError } from '../base/errors.ts';

export type CommandErrorCode =
  /** The command line is invalid. */
  | 'USAGE'
  /** What the command line names does not exist. */
  | 'NOT_FOUND'
  /** Only root, or only the holder of other credentials, may do this. */
  | 'FORBIDDEN'
  /** The command is valid, but something else must be done or ended first. */
  | 'NOT_NOW'
  /** A part of the work failed; the cause says why. */
  | 'FAILED';

/** A command cannot do what it was asked to. */
export class CommandError extends TulleError<CommandErrorCode> {
  constructor(code: CommandErrorCode, message: string, hint?: string, cause?: unknown) {
    super(code, message, { ...(hint === undefined ? {} : { hint }), cause });
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
