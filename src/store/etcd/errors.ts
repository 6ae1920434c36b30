/**
 * From gRPC's status to StoreError; the only place that knows etcd's error texts
 * (etcdserver/api/v3rpc/rpctypes/error.go).
 */
import { type ServiceError, status } from '@grpc/grpc-js';
import { messageOf } from '../../base/errors.ts';
import { StoreError, type StoreErrorCode } from '../store.ts';

/** What etcd says -> what it means to us. Texts, because etcd gives one gRPC code to very different things. */
const BY_TEXT: Readonly<Record<string, StoreErrorCode>> = {
  'etcdserver: requested lease not found': 'LEASE_LOST',
  'etcdserver: mvcc: required revision has been compacted': 'COMPACTED',
  'etcdserver: authentication failed, invalid user ID or password': 'UNAUTHENTICATED',
  'etcdserver: invalid auth token': 'UNAUTHENTICATED',
  'etcdserver: revision of auth store is old': 'UNAUTHENTICATED',
  'etcdserver: user name is empty': 'UNAUTHENTICATED',
  'etcdserver: user name not found': 'UNAUTHENTICATED',
  'etcdserver: permission denied': 'FORBIDDEN',
};

const BY_STATUS: Readonly<Partial<Record<status, StoreErrorCode>>> = {
  [status.CANCELLED]: 'UNAVAILABLE',
  [status.DEADLINE_EXCEEDED]: 'UNAVAILABLE',
  [status.ABORTED]: 'UNAVAILABLE',
  [status.UNAVAILABLE]: 'UNAVAILABLE',
  [status.RESOURCE_EXHAUSTED]: 'EXHAUSTED',
  [status.UNAUTHENTICATED]: 'UNAUTHENTICATED',
  [status.PERMISSION_DENIED]: 'FORBIDDEN',
};

const HINTS: Readonly<Partial<Record<StoreErrorCode, string>>> = {
  UNAVAILABLE: 'check that the store runs at this endpoint, is reachable from here, and has a leader',
  UNAUTHENTICATED: 'check the user, the password, and the certificates of both sides',
  FORBIDDEN: 'grant the user a role that may read and write the prefix',
};

/** Of causes whose message says more than their code. */
const HINTS_BY_TEXT: readonly (readonly [RegExp, string])[] = [
  [/database space exceeded/, 'compact and defragment etcd, then disarm its NOSPACE alarm'],
  [/certificate is not yet valid/, 'compare the clocks of this host and of the store, and correct them'],
  [
    /certificate has expired/,
    'if the clock of this host is right, renew the certificate of the store: `tulle store cert renew` on its host',
  ],
  [
    /permission denied: /,
    'a host can write only its own lease; administer the network on the host of the store',
  ],
];

/** Anything a call can reject with. A StoreError stays as it is. */
export function storeErrorOf(error: unknown, op: string, endpoint: string): StoreError {
  if (error instanceof StoreError) return error;
  const context = { endpoint };
  if (!isServiceError(error)) {
    return new StoreError('PROTOCOL', `${op} at ${endpoint}: ${messageOf(error)}`, {
      op,
      context,
      cause: error,
    });
  }
  const code = codeOf(error);
  const [, hint = HINTS[code]] = HINTS_BY_TEXT.find(([words]) => words.test(error.details)) ?? [];
  // The cause is left out: it repeats the text and holds the metadata of the call, with the token in it.
  return new StoreError(code, `${op} at ${endpoint}: ${plain(error.details)}`, {
    op,
    context,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** One error for a call that no endpoint took. */
export function summaryOf(op: string, failures: readonly StoreError[]): StoreError {
  const [first] = failures;
  if (first !== undefined && failures.length === 1) return first;
  const code =
    first !== undefined && failures.every(failure => failure.code === first.code)
      ? first.code
      : 'UNAVAILABLE';
  return new StoreError(code, `${op}: no endpoint answers`, {
    op,
    cause: new AggregateError(failures, `${failures.length} were tried`),
    ...(first?.hint === undefined ? {} : { hint: first.hint }),
  });
}

/** Why a watch was cancelled: etcd's text, by some versions as Go prints an error of gRPC. */
export function storeErrorOfReason(text: string, op: string, endpoint: string): StoreError {
  const reason = text.replace(/^rpc error: code = \w+ desc = /, '');
  const code = BY_TEXT[reason] ?? 'UNAVAILABLE';
  return new StoreError(code, `${op} at ${endpoint}: ${reason || 'cancelled by the server'}`, {
    op,
    context: { endpoint },
  });
}

function codeOf(error: ServiceError): StoreErrorCode {
  const byText = BY_TEXT[error.details];
  if (byText !== undefined) return byText;
  // grpc-js reports a refused certificate like a refused connection.
  if (error.code === status.UNAVAILABLE && isAboutCertificates(error.details)) return 'UNAUTHENTICATED';
  // A message above our own or the server's limit: the same call fails again.
  if (error.code === status.RESOURCE_EXHAUSTED && /larger than max/.test(error.details)) return 'PROTOCOL';
  // A stream that the other side reset.
  if (error.code === status.INTERNAL && /RST_STREAM/.test(error.details)) return 'UNAVAILABLE';
  return BY_STATUS[error.code] ?? 'PROTOCOL';
}

/**
 * grpc-js wraps the error of a failed connection into words of its own, and adds when it failed and an empty remark
 * about name resolution; to a deadline, what its filters took.
 */
function plain(details: string): string {
  return details
    .replace(/^No connection established\. Last error: (?:Error: )?/, '')
    .replace(/^Deadline exceeded after ([\d.]+)s\b.*$/s, 'no answer in $1 s')
    .replace(/ \([\d-]+T[\d:.]+Z\)/, '')
    .replace(/\.?\s*Resolution note:\s*$/, '');
}

/** OpenSSL's and Node's words for a certificate that one side does not accept. */
function isAboutCertificates(details: string): boolean {
  return /certificate|CERT_|altnames|SSL alert number (4[2-9]|116)/i.test(details);
}

/** Whether the server looked at the token only, and a new one may help. */
export function isTokenRefused(error: unknown): boolean {
  return (
    isServiceError(error) &&
    [
      'etcdserver: invalid auth token',
      'etcdserver: revision of auth store is old',
      'etcdserver: user name is empty',
    ].includes(error.details)
  );
}

/** Whether the server says that it has not run the request, so that even a write may go to another member. */
export function isRefusedUnrun(error: unknown): boolean {
  return (
    isServiceError(error) &&
    [
      'etcdserver: no leader',
      'etcdserver: not capable',
      'etcdserver: rpc not supported for learner',
      'etcdserver: too many requests',
    ].includes(error.details)
  );
}

/** Whether it was etcd itself that failed the call: then the connection is in order. */
export function isFromServer(error: unknown): boolean {
  return isServiceError(error) && error.details.startsWith('etcdserver: ');
}

/** Whether etcd says that authentication is switched off, so that no token is needed. */
export function isAuthOff(error: unknown): boolean {
  return isServiceError(error) && error.details === 'etcdserver: authentication is not enabled';
}

function isServiceError(error: unknown): error is ServiceError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'number' &&
    'details' in error &&
    typeof error.details === 'string'
  );
}
