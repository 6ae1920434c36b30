/** Every key of a store on its way to another one. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { EtcdClient } from '../store/etcd/client.ts';
import { successor } from '../store/key-order.ts';
import { StoreError } from '../store/store.ts';
import { KV, type RequestOpSchema } from '../store/wire/generated/kv_pb.ts';
import { Lease } from '../store/wire/generated/lease_pb.ts';
import type { KeyValue } from '../store/wire/generated/mvcc_pb.ts';

export interface ExportedKey {
  readonly kv: KeyValue;
  /** Seconds its lease has left; undefined for a key without one. */
  readonly ttl: bigint | undefined;
}

const FIRST_KEY = Uint8Array.of(0);
const TO_THE_END = Uint8Array.of(0);
/** Keys read at once. */
const PAGE = 500n;
/** Keys and bytes put in one transaction; etcd takes 128 and 1.5 MiB. */
const BATCH = 100;
const BATCH_BYTES = 512 * 1024;

/** All keys as of one revision, in key order. @throws StoreError */
export async function* exportedKeys(client: EtcdClient, signal: AbortSignal): AsyncGenerator<ExportedKey> {
  const leases = new Map<bigint, bigint>();
  let revision = 0n;
  for (let key: Uint8Array = FIRST_KEY; ; ) {
    signal.throwIfAborted();
    const request = { key, rangeEnd: TO_THE_END, limit: PAGE, revision };
    const page = await client.unary(KV.method.range, request, { repeatable: true });
    revision = revision === 0n ? (page.header?.revision ?? 0n) : revision;
    for (const kv of page.kvs) {
      if (kv.lease !== 0n && !leases.has(kv.lease)) {
        const { TTL } = await client.unary(
          Lease.method.leaseTimeToLive,
          { ID: kv.lease },
          { repeatable: true },
        );
        leases.set(kv.lease, TTL);
      }
      yield { kv, ttl: leases.get(kv.lease) };
    }
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return;
    key = successor(last.key);
  }
}

/** `{"key":"L2E=","value":"eA==","lease":"123","ttl":"60"}`; `lease` and `ttl` only where there is a lease. */
export function formatExported({ kv, ttl }: ExportedKey): string {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  const key = { key: base64(kv.key), value: base64(kv.value) };
  return JSON.stringify(ttl === undefined ? key : { ...key, lease: String(kv.lease), ttl: String(ttl) });
}

/** Puts the keys, over what is there. @returns how many. @throws StoreError */
export async function putExported(target: EtcdClient, keys: AsyncIterable<ExportedKey>): Promise<number> {
  const granted = new Set<bigint>();
  let count = 0;
  let batch: MessageInitShape<typeof RequestOpSchema>[] = [];
  let bytes = 0;
  const flush = async () => {
    if (batch.length > 0) await target.unary(KV.method.txn, { success: batch }, { repeatable: true });
    batch = [];
    bytes = 0;
  };
  for await (const { kv, ttl } of keys) {
    // A lease that ended meanwhile takes its keys with it.
    if (ttl !== undefined && ttl <= 0n) continue;
    if (ttl !== undefined && !granted.has(kv.lease)) {
      await grant(target, kv.lease, ttl);
      granted.add(kv.lease);
    }
    const value = { key: kv.key, value: kv.value, lease: kv.lease };
    batch.push({ request: { case: 'requestPut', value } });
    count++;
    bytes += kv.key.byteLength + kv.value.byteLength;
    if (batch.length === BATCH || bytes > BATCH_BYTES) await flush();
  }
  await flush();
  return count;
}

/** The same lease id, so that the client that keeps it alive finds it. A second export finds it there already. */
async function grant(target: EtcdClient, ID: bigint, TTL: bigint): Promise<void> {
  const known = await target.unary(Lease.method.leaseTimeToLive, { ID }, { repeatable: true });
  if (known.TTL > 0n) return;
  const { ID: id } = await target.unary(Lease.method.leaseGrant, { ID, TTL }, { repeatable: false });
  if (id !== ID) throw new StoreError('PROTOCOL', `asked for lease ${ID}, got ${id}`);
}
