/** Why an operation on an L2 network cannot be done. */
import { TulleError, type TulleErrorOptions } from '../../base/errors.ts';
import type { SegmentEndpoint } from './segment.ts';

export type SegmentErrorCode =
  /** There is a network of this name, or with this VNI. */
  | 'EXISTS'
  /** There is no network of this name, or not this one any more. */
  | 'NOT_FOUND'
  /** It is not in place on this host. */
  | 'NOT_READY'
  /** Containers are on it. */
  | 'IN_USE'
  /** Another container has the address. */
  | 'DUPLICATE_ADDRESS'
  /** Every range of the subnet is leased, or every VNI is taken. */
  | 'EXHAUSTED_RANGES';

/** What is asked of an L2 network in the store cannot be done. */
export class SegmentError extends TulleError<SegmentErrorCode> {
  /** With DUPLICATE_ADDRESS: who has the address. */
  readonly owner: SegmentEndpoint | undefined;

  constructor(
    code: SegmentErrorCode,
    message: string,
    options: TulleErrorOptions & { readonly owner?: SegmentEndpoint } = {},
  ) {
    super(code, message, options);
    this.owner = options.owner;
  }
}
