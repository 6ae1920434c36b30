/**
 * A rule for callers who are known by their certificates, besides users and roles: what such a caller may write
 * depends on what is there and on what is to be there. It reads everything and administers nothing.
 */
export interface GuardedWrite {
  /** Common name of the certificate. */
  readonly name: string;
  /** Address the request came from, without the port. */
  readonly address: string;
  readonly key: Uint8Array;
  readonly current: { readonly value: Uint8Array; readonly lease: bigint } | undefined;
  /** undefined for a deletion. */
  readonly next: Uint8Array | undefined;
}

export interface Guard {
  /** The rule is for callers whose certificate names this organization; the others are not asked. */
  readonly organization: string;
  allows(write: GuardedWrite): boolean;
}
