/**
 * What the server answers when it does not do what it was asked: a gRPC status and etcd's own words. Clients
 * compare the words (clientv3 and flanneld do), so they are part of the protocol and are kept to the letter
 * (etcd 3.4, etcdserver/api/v3rpc/rpctypes/error.go).
 */
import { TulleError } from '../base/errors.ts';

/** Numbers of gRPC's statuses (grpc.io, statuscodes). */
export const GRPC_STATUS = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcStatus = keyof typeof GRPC_STATUS;

const REFUSALS = {
  emptyKey: ['INVALID_ARGUMENT', 'etcdserver: key is not provided'],
  keyNotFound: ['INVALID_ARGUMENT', 'etcdserver: key not found'],
  valueProvided: ['INVALID_ARGUMENT', 'etcdserver: value is provided'],
  leaseProvided: ['INVALID_ARGUMENT', 'etcdserver: lease is provided'],
  tooManyOps: ['INVALID_ARGUMENT', 'etcdserver: too many operations in txn request'],
  duplicateKey: ['INVALID_ARGUMENT', 'etcdserver: duplicate key given in txn request'],
  /** etcd 3.4 panics on it; the words are those of 3.5. */
  invalidSortOption: ['INVALID_ARGUMENT', 'etcdserver: invalid sort option'],
  compacted: ['OUT_OF_RANGE', 'etcdserver: mvcc: required revision has been compacted'],
  futureRevision: ['OUT_OF_RANGE', 'etcdserver: mvcc: required revision is a future revision'],
  noSpace: ['RESOURCE_EXHAUSTED', 'etcdserver: mvcc: database space exceeded'],
  leaseNotFound: ['NOT_FOUND', 'etcdserver: requested lease not found'],
  leaseExists: ['FAILED_PRECONDITION', 'etcdserver: lease already exists'],
  leaseTtlTooLarge: ['OUT_OF_RANGE', 'etcdserver: too large lease TTL'],
  tooManyRequests: ['RESOURCE_EXHAUSTED', 'etcdserver: too many requests'],
  requestTooLarge: ['INVALID_ARGUMENT', 'etcdserver: request is too large'],
  rootUserNotExist: ['FAILED_PRECONDITION', 'etcdserver: root user does not exist'],
  rootRoleNotExist: ['FAILED_PRECONDITION', 'etcdserver: root user does not have root role'],
  userExists: ['FAILED_PRECONDITION', 'etcdserver: user name already exists'],
  userEmpty: ['INVALID_ARGUMENT', 'etcdserver: user name is empty'],
  userNotFound: ['FAILED_PRECONDITION', 'etcdserver: user name not found'],
  roleExists: ['FAILED_PRECONDITION', 'etcdserver: role name already exists'],
  roleEmpty: ['INVALID_ARGUMENT', 'etcdserver: role name is empty'],
  roleNotFound: ['FAILED_PRECONDITION', 'etcdserver: role name not found'],
  authFailed: ['INVALID_ARGUMENT', 'etcdserver: authentication failed, invalid user ID or password'],
  permissionDenied: ['PERMISSION_DENIED', 'etcdserver: permission denied'],
  roleNotGranted: ['FAILED_PRECONDITION', 'etcdserver: role is not granted to the user'],
  permissionNotGranted: ['FAILED_PRECONDITION', 'etcdserver: permission is not granted to the role'],
  authNotEnabled: ['FAILED_PRECONDITION', 'etcdserver: authentication is not enabled'],
  invalidAuthToken: ['UNAUTHENTICATED', 'etcdserver: invalid auth token'],
  invalidAuthManagement: ['INVALID_ARGUMENT', 'etcdserver: invalid auth management'],
  corrupt: ['DATA_LOSS', 'etcdserver: corrupt cluster'],
  stopped: ['UNAVAILABLE', 'etcdserver: server stopped'],
} as const satisfies Record<string, readonly [GrpcStatus, string]>;

export type RefusalReason = keyof typeof REFUSALS;

/** An answer that is an error. `code` is the gRPC status by name. */
export class RpcError extends TulleError<GrpcStatus> {
  /** The number of the status, as it goes over the wire. */
  get status(): number {
    return GRPC_STATUS[this.code];
  }
}

/** The error with which etcd refuses a request for this reason. */
export function refusal(reason: RefusalReason): RpcError {
  const [status, words] = REFUSALS[reason];
  return new RpcError(status, words);
}

/** etcd's refusal, with the reason. Clients that know it by its words know its status too. */
export function denial(reason: string): RpcError {
  const { code, message } = refusal('permissionDenied');
  return new RpcError(code, `${message}: ${reason}`);
}

/** @param most bytes of the largest answer. */
export function answerTooLarge(most: number): RpcError {
  return new RpcError(
    'RESOURCE_EXHAUSTED',
    `the answer has more than ${most} bytes, the most for such a request: ask for less (limit, keys_only), or in several requests over gRPC`,
  );
}
