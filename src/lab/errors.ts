/** What goes wrong with a lab, each with what to do about it. */
import { TulleError, type TulleErrorOptions } from '../base/errors.ts';

export type LabErrorCode =
  /** Namespaces can only be made by root. */
  | 'FORBIDDEN'
  /** A program that the lab needs is not installed. */
  | 'MISSING_PROGRAM'
  /** A lab of that name exists. */
  | 'NAME_TAKEN'
  /** Another process is changing this lab. */
  | 'BUSY'
  /** There is no such lab, host or container. */
  | 'NOT_FOUND'
  /** The host does not run. */
  | 'HOST_DOWN'
  /** A fault is planted already, or is not. */
  | 'PLANTED'
  /** This fault cannot be planted there. */
  | 'UNSUPPORTED'
  /** Not all of a fault could be undone. */
  | 'MEND_FAILED'
  /** A part of the lab ended or did not become ready. */
  | 'START_FAILED';

/** A lab cannot be made, used or removed. */
export class LabError extends TulleError<LabErrorCode> {
  constructor(code: LabErrorCode, message: string, options: TulleErrorOptions = {}) {
    super(code, message, options);
  }
}
