/** Reading many keys: in pages, as of one revision. */
import { successor } from '../key-order.ts';
import { type KeyValue, StoreError } from '../store.ts';
import { KV, type RangeResponse } from '../wire/generated/kv_pb.ts';
import type { EtcdClient } from './client.ts';
import { decodeHeader, decodeKeyValue, type Header, protocolViolation, type Range } from './codec.ts';

/** Keys of one page: some 100 KiB of leases, decoded in a few milliseconds. */
const PAGE = 1000;

/** How often a list starts over because its revision was compacted between two pages. */
const ATTEMPTS = 5;

export interface KeyListing {
  readonly kvs: readonly KeyValue[];
  readonly header: Header;
}

/** @throws StoreError */
export async function listRange(client: EtcdClient, range: Range, page = PAGE): Promise<KeyListing> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await listPages(client, range, page);
    } catch (error) {
      const compacted = error instanceof StoreError && error.code === 'COMPACTED';
      if (!compacted || attempt === ATTEMPTS) throw error;
    }
  }
}

async function listPages(client: EtcdClient, range: Range, page: number): Promise<KeyListing> {
  const kvs: KeyValue[] = [];
  let header: Header | undefined;
  let { key } = range;
  for (;;) {
    // The first page decides on the revision of the whole list.
    const revision = header?.revision ?? 0n;
    const limit = BigInt(page);
    const response = await client.unary(
      KV.method.range,
      { ...range, key, limit, revision },
      { repeatable: true },
    );
    header ??= decodeHeader(response.header, 'range');
    for (const kv of response.kvs) kvs.push(decodeKeyValue(kv, 'range'));
    if (!response.more) return { kvs, header };
    key = nextPage(response, key);
  }
}

/** Where the next page begins; without progress the list would never end. */
function nextPage({ kvs }: RangeResponse, from: Uint8Array): Uint8Array {
  const last = kvs.at(-1)?.key;
  if (last === undefined || Buffer.compare(last, from) < 0)
    throw protocolViolation('range', 'a page without an end');
  return successor(last);
}

/** The header of a read that reflects every write acknowledged before it. @throws StoreError */
export async function currentHeader(client: EtcdClient, range: Range): Promise<Header> {
  const { header } = await client.unary(KV.method.range, { ...range, countOnly: true }, { repeatable: true });
  return decodeHeader(header, 'range');
}
