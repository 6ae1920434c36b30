/**
 * What hosts ask of each other: HTTP over TLS 1.3, one request per connection (docs/reference/peer-api.md).
 *
 *     GET  /v1/status             the status document, without what is of this host alone
 *     POST /v1/inspect            a line of JSON; the answer is lines of JSON (src/api/inspection-lines.ts)
 *     GET  /v1/hosts/ID/status    the same of another host, which this one asks
 *     POST /v1/hosts/ID/inspect
 *
 * What is passed on arrives at the other host as the short form, which no host passes on: there is no second step.
 */
import type { Status } from '../status.ts';

/** TCP; beside the UDP port of flannel's VXLAN. */
export const PEER_API_PORT = 8473;

/** Milliseconds. */
export interface PeerLimits {
  /** From a connection to a certificate that was shown. */
  readonly handshake: number;
  /** From a request to the end of its answer. */
  readonly request: number;
  /** Until a caller has a connection to a host with a certificate that is right. */
  readonly connect: number;
}

export const PEER_LIMITS: PeerLimits = { handshake: 10_000, request: 15_000, connect: 1500 };

/** Bytes of the longest status: of a host with a thousand peers. */
export const LONGEST_PEER_STATUS = 8 << 20;

export type PeerRequest = 'status' | 'inspect';

/** Path of a request. @param via host id of the host that is asked by the one that gets this */
export const peerPath = (request: PeerRequest, via?: string): string =>
  via === undefined ? `/v1/${request}` : `/v1/hosts/${encodeURIComponent(via)}/${request}`;

export const peerMethod = (request: PeerRequest): 'GET' | 'POST' => (request === 'status' ? 'GET' : 'POST');

/** What other hosts may know: where this host keeps its files, and as whom it goes to the store, helps nobody else. */
export function statusForPeers({ store, peerApi, certificates: _certificates, ...status }: Status): Status {
  const { caFile: _ca, certFile: _cert, keyFile: _key, username: _user, ...storeForPeers } = store;
  const { files: _files, ...apiForPeers } = peerApi ?? { listening: [] };
  return { ...status, store: storeForPeers, peerApi: apiForPeers };
}
