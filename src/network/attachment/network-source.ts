/** A kind of networks for containers: the L2 networks of this host, or the overlay. */
import type { Ip } from '../../base/ip.ts';
import type { GivenAddress } from '../../ipam/address-book.ts';
import type { ReserveRequest } from '../../ipam/choose-address.ts';
import { IpamError } from '../../ipam/errors.ts';
import { SegmentError } from '../../subnet/segment/segment-error.ts';
import type { AttachedEndpoint } from '../segment/endpoints/local-endpoints.ts';
import {
  AttachmentError,
  type AttachmentErrorCode,
  type ContainerNetwork,
  type NetworkWish,
} from './attachments.ts';
import type { Deadline } from './deadline.ts';

export interface NetworkSource {
  find(name: string): ContainerNetwork | undefined;
  networks(): readonly ContainerNetwork[];
  /** Joins the network of the cluster, or makes it. @throws AttachmentError, StoreError */
  ensure(wish: NetworkWish, deadline: Deadline): Promise<ContainerNetwork>;
  /** The network when its bridge is in place. @throws AttachmentError NOT_FOUND, NOT_READY with the reason when `signal` aborts */
  ready(name: string, signal: AbortSignal): Promise<ContainerNetwork>;
  /** @throws AttachmentError */
  reserve(name: string, request: ReserveRequest, signal: AbortSignal): Promise<Ip>;
  release(name: string, ip: Ip): Promise<void>;
  held(name: string): Promise<readonly GivenAddress[]>;
  holder(name: string, ip: Ip): Promise<GivenAddress | undefined>;
  /** They count as attached until the link is a port of the bridge, or this is disposed of. */
  attaching(name: string, hostLink: string, endpoints: readonly AttachedEndpoint[]): Disposable;
  /** Of the L2 network of this name. */
  idOf(name: string): string | undefined;
}

export function noNetwork(name: string): AttachmentError {
  return new AttachmentError('NOT_FOUND', `there is no network ${name}`, { hint: 'see tulle network list' });
}

export function notReady(
  name: string,
  { reason, hint }: { readonly reason: string; readonly hint: string },
): AttachmentError {
  return new AttachmentError('NOT_READY', `the network ${name} is not in place on this host: ${reason}`, {
    hint,
  });
}

/** What an engine is told of a failure to reserve. */
export function reservationError(error: unknown): unknown {
  if (error instanceof IpamError) {
    const code = IPAM_CODES[error.code];
    return new AttachmentError(code, error.message, {
      cause: error,
      ...(error.hint && { hint: error.hint }),
    });
  }
  if (!(error instanceof SegmentError)) return error;
  return new AttachmentError(SEGMENT_CODES[error.code] ?? 'NOT_READY', error.message, {
    cause: error,
    ...(error.hint && { hint: error.hint }),
  });
}

const IPAM_CODES = {
  NO_ADDRESS: 'NO_ADDRESS',
  UNUSABLE_ADDRESS: 'INVALID_WISH',
  TAKEN_ADDRESS: 'ADDRESS_TAKEN',
} as const satisfies Record<IpamError['code'], AttachmentErrorCode>;

const SEGMENT_CODES: Partial<Record<SegmentError['code'], AttachmentErrorCode>> = {
  DUPLICATE_ADDRESS: 'ADDRESS_TAKEN',
  EXHAUSTED_RANGES: 'NO_ADDRESS',
  NOT_FOUND: 'NOT_FOUND',
};
