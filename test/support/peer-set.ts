/** Peer sets for tests: what goes in, and what comes out. */
import { isObject } from '../../src/base/fields.ts';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { byFamily, mapFamilies, valuesOf } from '../../src/base/per-family.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { encodeAttributes } from '../../src/subnet/lease/attributes.ts';
import type { LeaseAttributes } from '../../src/subnet/lease/lease.ts';
import type { PeerEvent, Self } from '../../src/subnet/peers/peer-entry.ts';
import type { VtepMacsOf } from '../../src/subnet/peers/peer-index.ts';
import { PeerSet } from '../../src/subnet/peers/peer-set.ts';
import { Registry } from '../../src/subnet/registry.ts';
import { MemoryStore } from '../../src/testing/memory-store.ts';
import { encodeText, hostAttributes, IPV4 } from './registry.ts';

export const registry = new Registry(new MemoryStore(), { prefix: NETWORK_PREFIX });

/** What this host publishes. */
export const SELF = { ...hostAttributes(1), publicIp: byFamily(Ip.parse('192.168.65.1')) };

/** A key as the store has it. */
export function read(
  key: string,
  value: LeaseAttributes | string,
  createRevision = 1n,
  modRevision = createRevision,
) {
  return registry.decode({
    key: registry.pathOf(key),
    value: typeof value === 'string' ? encodeText(value) : encodeAttributes(value),
    createRevision,
    modRevision,
    version: 1n,
    lease: 7n,
  });
}

/** As a backend would report them. */
const vtepMacsOf: VtepMacsOf = ({ attributes: { backendData = {} } }) =>
  valuesOf(
    mapFamilies(backendData, (data, family) =>
      isObject(data) && typeof data['VtepMAC'] === 'string'
        ? { family, mac: Mac.parse(data['VtepMAC']) }
        : undefined,
    ),
  );

/** Of a lease that is nowhere in the tests. */
export const OWN_KEY = '10.5.254.0-24';

/** A set, with what it reported since the last look. */
export function setUp(config = IPV4, own: Pick<Self, 'ownKey'> = { ownKey: OWN_KEY }) {
  const events: PeerEvent[] = [];
  const context = { config, self: SELF, ...own };
  const set = new PeerSet(context, event => events.push(event), vtepMacsOf);
  const put = (...args: Parameters<typeof read>) => set.put(read(...args));
  const reported = () =>
    events.splice(0).map(event => `${event.type} ${'key' in event ? event.key : event.keys.join(' ')}`);
  const peers = () => Array.from(set.peers(), ({ key }) => key);
  const take = () => {
    const { changed, removed } = set.take();
    return { changed: changed.map(({ key }) => key), removed };
  };
  return { set, put, reported, peers, take, events };
}

/** The key of a good peer. */
export const GOOD = '10.5.2.0-24';
