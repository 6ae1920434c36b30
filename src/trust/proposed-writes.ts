/** Writes of a host by what their keys are: the rules know no root of the network. */
import type { ProposedWrite } from '../etcdserver/auth/authorizer.ts';
import { keyText } from '../etcdserver/kv/range.ts';
import type { SegmentKeys } from '../subnet/segment/segment-key.ts';

/** A write by the part of its key below a directory. */
export type WriteBelow = Pick<ProposedWrite, 'next'> & { readonly key: string };

/** The writes to keys that `keyOf` knows, by what it makes of them. */
export function writesBelow(
  writes: readonly ProposedWrite[],
  keyOf: (path: Uint8Array) => string | undefined,
): readonly WriteBelow[] {
  return writes.flatMap(({ key: path, next }) => {
    const key = keyOf(path);
    return key === undefined ? [] : [{ key, next }];
  });
}

/** Two writes that happen together, of something below `networks/` and of a VNI. */
export interface NetworkWrites {
  readonly network: WriteBelow;
  readonly vni: number;
  /** Of the key of the VNI. */
  readonly owner: ProposedWrite['next'];
}

/** undefined when the writes are others, or more. */
export function makingIn(writes: readonly ProposedWrite[], keys: SegmentKeys): NetworkWrites | undefined {
  const [network] = writesBelow(writes, path => keys.below(keyText(path)));
  const owner = writes.find(({ key }) => keys.vniBelow(keyText(key)) !== undefined);
  const vni = owner && keys.vniBelow(keyText(owner.key));
  if (writes.length !== 2 || network === undefined || vni === undefined) return undefined;
  return { network, vni, owner: owner?.next };
}
