/** Why a container gets no address. */
import { TulleError } from '../base/errors.ts';

export type IpamErrorCode =
  /** Every address of this host is given out, and there is no further range. */
  | 'NO_ADDRESS'
  /** The container cannot have this address, or not now. */
  | 'UNUSABLE_ADDRESS'
  /** Another container of this host has it. */
  | 'TAKEN_ADDRESS';

/** A container cannot get the address it should. */
export class IpamError extends TulleError<IpamErrorCode> {}
