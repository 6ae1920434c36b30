/** The ids of the store: random, made with its database. Clients take another cluster id for another store. */
import { randomBytes } from 'node:crypto';
import type { Tables } from './sqlite/tables.ts';

export interface StoreIdentity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

export function identityOf(tables: Tables): StoreIdentity {
  const clusterId = tables.getMeta('cluster_id');
  const memberId = tables.getMeta('member_id');
  if (clusterId === undefined || memberId === undefined) return newIdentity(tables);
  return { clusterId: BigInt.asUintN(64, clusterId), memberId: BigInt.asUintN(64, memberId) };
}

export function newIdentity(tables: Tables): StoreIdentity {
  const identity = { clusterId: randomId(), memberId: randomId() };
  // SQLite's integers are signed.
  tables.setMeta('cluster_id', BigInt.asIntN(64, identity.clusterId));
  tables.setMeta('member_id', BigInt.asIntN(64, identity.memberId));
  return identity;
}

/** Never 0, which means "none". */
function randomId(): bigint {
  return randomBytes(8).readBigUInt64BE() | 1n;
}
