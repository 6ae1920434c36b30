/** Why the kernel runs no program of ours. */
import { TulleError } from '../base/errors.ts';

export type BpfErrorCode =
  /** This process may not, or this kernel cannot: the message is one reason. */
  | 'UNSUPPORTED'
  /** The kernel's verifier does not accept the program: the message has the end of its log, the context all of it. */
  | 'REJECTED'
  /** The kernel describes no such type, or no such member of it. */
  | 'NO_TYPE';

/** A program for the kernel cannot be made, loaded or attached. */
export class BpfError extends TulleError<BpfErrorCode> {}
