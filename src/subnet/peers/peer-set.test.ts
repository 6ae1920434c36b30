import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GOOD, OWN_KEY, read, registry, SELF, setUp } from '../../../test/support/peer-set.ts';
import {
  configOf,
  DUAL,
  flannelAttributes,
  hostAttributes,
  IPV4,
  KEYS_FLANNEL_REJECTS,
} from '../../../test/support/registry.ts';
import { Ip } from '../../base/ip.ts';
import { byFamily } from '../../base/per-family.ts';
import { NETWORK_PREFIX } from '../../console/defaults.ts';
import { fc } from '../../testing/properties.ts';
import { encodeAttributes } from '../lease/attributes.ts';
import { isLease, type Lease, type LeaseAttributes, overlaps, type RejectedLease } from '../lease/lease.ts';
import { PeerSet } from './peer-set.ts';

describe('peers come, change and go', () => {
  test('each change is reported once', () => {
    const { set, put, take } = setUp();
    put(GOOD, hostAttributes(2));
    assert.deepEqual(take(), { changed: [GOOD], removed: [] });
    assert.deepEqual(take(), { changed: [], removed: [] });
    put(GOOD, { ...hostAttributes(2), backendData: { ipv4: { VNI: 1 } } }, 1n, 2n);
    assert.deepEqual(take(), { changed: [GOOD], removed: [] });
    set.delete(GOOD);
    assert.deepEqual(take(), { changed: [], removed: [GOOD] });
  });

  test('what comes and changes between two looks is reported in its last state', () => {
    const { set, put } = setUp();
    put(GOOD, hostAttributes(2));
    put(GOOD, { ...hostAttributes(2), backendData: { ipv4: 'new' } }, 1n, 2n);
    put('10.5.3.0-24', hostAttributes(3));
    set.delete('10.5.3.0-24');
    const { changed, removed } = set.take();
    assert.deepEqual(
      changed.map(({ attributes }) => attributes.backendData?.ipv4),
      ['new'],
    );
    assert.deepEqual(removed, ['10.5.3.0-24']);
  });

  test("flannel's renewal, a put of the same value, is no change", () => {
    const { put, take } = setUp();
    put(GOOD, flannelAttributes(2));
    take();
    put(GOOD, flannelAttributes(2), 1n, 9n);
    assert.deepEqual(take(), { changed: [], removed: [] });
  });

  test('a peer whose data changed in a gap is reported as changed', () => {
    const { set, take } = setUp();
    set.replace([read(GOOD, hostAttributes(2)), read('10.5.3.0-24', hostAttributes(3))]);
    take();
    const changed = {
      ...hostAttributes(2),
      backendData: { ipv4: { VNI: 88, VtepMAC: '02:00:00:00:00:99' } },
    };
    set.replace([read(GOOD, changed, 1n, 5n), read('10.5.4.0-24', hostAttributes(4), 6n)]);
    assert.deepEqual(take(), { changed: [GOOD, '10.5.4.0-24'], removed: ['10.5.3.0-24'] });
  });

  test('our own lease is none, and never removed by a snapshot without it', () => {
    const { set, peers, take, reported } = setUp();
    const own = read('10.5.1.0-24', SELF);
    set.replace([own, read(GOOD, hostAttributes(2))]);
    set.replace([own, read(GOOD, hostAttributes(2))]);
    set.replace([read(GOOD, hostAttributes(2))]);
    assert.deepEqual(peers(), [GOOD]);
    assert.deepEqual(take(), { changed: [GOOD], removed: [] });
    assert.deepEqual(reported(), []);
  });
});

describe('a store that has forgotten its leases', () => {
  const forget = (set: PeerSet) => set.replace([], { unrelated: true });
  const setUpForgotten = () => {
    const fixture = setUp();
    fixture.put(GOOD, hostAttributes(2), 900n);
    fixture.put('10.5.3.0-24', hostAttributes(3), 901n);
    fixture.take();
    forget(fixture.set);
    return fixture;
  };

  test('leaves peers as they are, until they write again', () => {
    const { set, put, take } = setUpForgotten();
    assert.deepEqual([...set.kept()], [GOOD, '10.5.3.0-24']);
    put(GOOD, hostAttributes(2), 2n);
    set.replace([read(GOOD, hostAttributes(2), 2n)]);
    assert.deepEqual([...set.kept()], ['10.5.3.0-24']);
    forget(set);
    assert.deepEqual([...set.kept()].sort(), [GOOD, '10.5.3.0-24']);
    assert.deepEqual(take().removed, []);
    set.forgetKept();
    assert.deepEqual([...set.peers()], []);
    assert.deepEqual(take().removed.toSorted(), [GOOD, '10.5.3.0-24']);
  });

  test('a host that writes another lease has no former one', () => {
    const { set, put, take } = setUpForgotten();
    put('10.5.9.0-24', hostAttributes(2), 2n);
    assert.deepEqual(take(), { changed: ['10.5.9.0-24'], removed: [GOOD] });
    assert.deepEqual([...set.kept()], ['10.5.3.0-24']);
  });

  test('a host that lost its id as well is known by its device', () => {
    const { set, put, take } = setUpForgotten();
    put('10.5.8.0-24', { ...hostAttributes(2), hostId: 'another' }, 2n);
    assert.deepEqual(take(), { changed: ['10.5.8.0-24'], removed: [GOOD] });
    put('10.5.9.0-24', { ...hostAttributes(3), hostId: 'the third', backendData: { ipv4: { VNI: 88 } } }, 3n);
    assert.deepEqual([...set.kept()], ['10.5.3.0-24'], 'the address alone says too little');
  });

  test('whoever has a part of the subnet now is right, whatever the revisions say', () => {
    const { set, put, take, peers } = setUpForgotten();
    put('10.5.2.128-25', hostAttributes(4), 2n);
    put('10.5.3.0-25', hostAttributes(5), 9000n);
    assert.deepEqual(take().removed.toSorted(), [GOOD, '10.5.3.0-24']);
    assert.deepEqual(peers(), ['10.5.2.128-25', '10.5.3.0-25']);
    assert.deepEqual([...set.rejected()], []);
  });

  test('what was no peer before is none afterwards', () => {
    const { set, put, take } = setUp();
    put('10.5.1.0-24', SELF);
    put('10.5.4.0-24', 'no JSON');
    forget(set);
    assert.deepEqual([...set.kept()], []);
    assert.deepEqual([...set.rejected()], []);
    assert.deepEqual(take(), { changed: [], removed: [] });
  });
});

/** Key, value: what must neither become a peer nor do anything to one. */
const BAD: readonly (readonly [key: string, value: LeaseAttributes | string, reason: RegExp])[] = [
  ...KEYS_FLANNEL_REJECTS.map(key => [key, hostAttributes(9), /is not a lease key/] as const),
  ['hi10.5.9.0-24', hostAttributes(9), /is not a lease key/],
  ['10.5.9.0-24', '\u0000\u0001\u0002', /want JSON/],
  ['10.5.9.0-24', '[]', /want a JSON object/],
  ['10.5.9.0-24', '{"PublicIP":"1.2.3"}', /PublicIP/],
  ['10.5.9.0-24', '{}', /has no public address/],
  ['10.6.9.0-24', hostAttributes(9), /outside the network 10\.5\.0\.0\/16/],
  ['10.5.0.0-17', hostAttributes(9), /more than a quarter/],
  ['10.5.9.0-31', hostAttributes(9), /too small/],
  ['0.0.0.0-0&fd00:5:0:1::-64', hostAttributes(9), /has no ipv4 subnet/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('192.168.65.1')) }, /is this host's own/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('127.0.0.1')) }, /loopback/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('224.0.0.9')) }, /multicast/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('169.254.7.7')) }, /link-local/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('255.255.255.255')) }, /reserved/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('0.1.2.3')) }, /reserved/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('10.5.7.7')) }, /inside the network/],
  ['10.5.9.0-24', { publicIp: byFamily(Ip.parse('1.2.3.4'), Ip.parse('fe80::1')) }, /link-local/],
  ['10.5.2.128-25', hostAttributes(9), /overlaps 10\.5\.2\.0-24, which is older/],
  ['10.5.1.128-25', hostAttributes(9), /overlaps this host's own subnet 10\.5\.1\.0-24/],
];

describe('what is not a good lease', () => {
  for (const [key, value, reason] of BAD) {
    test(`${key} ${JSON.stringify(value).slice(0, 50)}: reported once, and the good peers stay`, () => {
      const { set, put, peers, take, events } = setUp();
      put('10.5.1.0-24', SELF, 1n);
      put(GOOD, hostAttributes(2), 2n);
      take();
      put(key, value, 3n);
      put(key, value, 3n, 4n);
      const [event, ...more] = events;
      assert.ok(event?.type === 'rejected');
      assert.equal(event.key, key);
      assert.match(event.reason, reason);
      assert.deepEqual(more, []);
      assert.deepEqual(
        Array.from(set.rejected(), each => [each.key, each.reason]),
        [[key, event.reason]],
      );
      assert.deepEqual(peers(), [GOOD]);
      set.delete(key);
      assert.deepEqual(peers(), [GOOD]);
      assert.deepEqual(take(), { changed: [], removed: [] });
      assert.deepEqual(Array.from(set.rejected()), []);
    });
  }

  test('the end of a rejected key is reported, that of a valid one is a removed peer', () => {
    const { set, put, reported } = setUp();
    put('10.5.4.0-24', 'no JSON');
    put(GOOD, hostAttributes(2));
    reported();
    set.delete('10.5.4.0-24');
    set.delete(GOOD);
    assert.deepEqual(reported(), ['withdrawn 10.5.4.0-24']);
  });

  test('a bad value at the key of a good peer does not remove it', () => {
    const { put, peers, take, reported } = setUp();
    put(GOOD, hostAttributes(2));
    take();
    for (const [index, bad] of [
      'garbage',
      '{"PublicIP":"127.0.0.1"}',
      '{"PublicIP":"192.168.65.1"}',
    ].entries()) {
      put(GOOD, bad, 1n, BigInt(index) + 2n);
    }
    assert.deepEqual(peers(), [GOOD]);
    assert.deepEqual(take(), { changed: [], removed: [] });
    assert.deepEqual(reported(), [`rejected ${GOOD}`, `rejected ${GOOD}`, `rejected ${GOOD}`]);
    put(GOOD, { ...hostAttributes(2), backendData: { ipv4: 'new' } }, 1n, 9n);
    assert.deepEqual(take(), { changed: [GOOD], removed: [] });
    assert.deepEqual(reported(), [`accepted ${GOOD}`]);
  });

  test('a key beside the directory is rejected by its full name', () => {
    const { set, peers } = setUp();
    set.put(
      registry.decode({
        key: `${NETWORK_PREFIX}/subnets-old/10.5.9.0-24`,
        value: encodeAttributes(hostAttributes(9)),
        createRevision: 1n,
        modRevision: 1n,
        version: 1n,
        lease: 0n,
      }),
    );
    assert.deepEqual(peers(), []);
    assert.deepEqual(
      Array.from(set.rejected(), ({ key }) => key),
      [`${NETWORK_PREFIX}/subnets-old/10.5.9.0-24`],
    );
  });
});

describe('families', () => {
  test('a lease of both is used for the one that is on', () => {
    const { set, put } = setUp();
    put('10.5.2.0-24&fd00:5:0:2::-64', hostAttributes(2));
    assert.deepEqual(
      Array.from(set.peers(), ({ subnet }) => Object.keys(subnet)),
      [['ipv4']],
    );
  });

  test('in a network of both, a lease of one is welcome', () => {
    const { put, peers } = setUp(DUAL);
    put(GOOD, hostAttributes(2));
    put('10.5.3.0-24&fd00:5:0:3::-64', hostAttributes(3));
    assert.deepEqual(peers(), [GOOD, '10.5.3.0-24&fd00:5:0:3::-64']);
  });
});

test('another configuration judges everything anew, and back', () => {
  const { set, put, take, reported } = setUp();
  put(GOOD, hostAttributes(2));
  put('10.6.2.0-24', hostAttributes(3));
  take();
  set.judge({ config: configOf({ Network: '10.6.0.0/16' }), self: SELF });
  assert.deepEqual(take(), { changed: ['10.6.2.0-24'], removed: [GOOD] });
  set.judge({ config: IPV4, self: SELF });
  assert.deepEqual(take(), { changed: [GOOD], removed: ['10.6.2.0-24'] });
  assert.equal(reported().length, 5);
});

describe('one public address', () => {
  test('of several peers is reported once for each that joins, and all stay', () => {
    const { set, put, peers, reported } = setUp();
    const { publicIp } = hostAttributes(2);
    for (const number of [2, 3, 4]) {
      put(`10.5.${number}.0-24`, { ...hostAttributes(number), publicIp }, BigInt(number));
    }
    assert.deepEqual(reported(), [
      'shared-address 10.5.2.0-24 10.5.3.0-24',
      'shared-address 10.5.2.0-24 10.5.3.0-24 10.5.4.0-24',
    ]);
    put('10.5.3.0-24', { ...hostAttributes(3), publicIp, backendData: { ipv4: 'new' } }, 3n, 9n);
    assert.deepEqual(reported(), []);
    assert.equal(peers().length, 3);
    assert.deepEqual(
      Array.from(set.sharedAddresses(), ({ address, keys }) => `${address} ${keys.length}`),
      ['192.168.65.2 3'],
    );
    set.delete('10.5.3.0-24');
    set.delete('10.5.4.0-24');
    assert.deepEqual(Array.from(set.sharedAddresses()), []);
  });
});

test('whatever the order of events, the peers are the good leases without those that an older one overlaps', () => {
  const key = fc
    .tuple(fc.nat(7), fc.constantFrom(24, 25, 26))
    .map(
      ([third, length]) =>
        `10.5.${third}.${length === 24 ? 0 : (64 * (third % 4)) & (length === 25 ? 128 : 192)}-${length}`,
    );
  const value = fc.constantFrom<LeaseAttributes | string>(
    hostAttributes(2),
    hostAttributes(3),
    flannelAttributes(4),
    SELF,
    'garbage',
    '{"PublicIP":"127.0.0.1"}',
  );
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ act: fc.constant('put' as const), key, value }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('delete' as const), key, value }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('replace' as const), key, value }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const { set } = setUp();
      const reported = new Map<string, Lease>();
      const model = new Map<string, { latest: Lease | RejectedLease; good?: Lease }>();
      let revision = 1n;
      for (const { act, key, value } of steps) {
        revision++;
        if (act === 'delete') {
          set.delete(key);
          model.delete(key);
        } else {
          const known = model.get(key)?.latest;
          const created = known !== undefined && isLease(known) ? known.createRevision : revision;
          const latest = read(key, value, created, revision);
          const isGood = isLease(latest) && value !== '{"PublicIP":"127.0.0.1"}';
          const good = isGood ? latest : model.get(key)?.good;
          model.set(key, { latest, ...(good && { good }) });
          if (act === 'put') set.put(latest);
          else set.replace(Array.from(model.values(), each => each.latest));
        }
        const candidates = [...model.values()].map(({ good }) => good).filter(good => good !== undefined);
        const isOwn = (lease: Lease) => lease.attributes.hostId === SELF.hostId;
        // Ours first, then by age.
        const order = (a: Lease, b: Lease) =>
          Number(isOwn(b)) - Number(isOwn(a)) ||
          Number(a.createRevision - b.createRevision) ||
          (a.key < b.key ? -1 : 1);
        const active: Lease[] = [];
        for (const lease of candidates.sort(order)) {
          if (!active.some(other => overlaps(other.subnet, lease.subnet))) active.push(lease);
        }
        const want = active.filter(lease => !isOwn(lease));
        const keys = (leases: Iterable<Lease>) => Array.from(leases, lease => lease.key).sort();
        assert.deepEqual(keys(set.peers()), keys(want));
        const { changed, removed } = set.take();
        for (const lease of changed) reported.set(lease.key, lease);
        for (const each of removed) reported.delete(each);
        assert.deepEqual(keys(reported.values()), keys(want));
      }
    }),
    { numRuns: 500 },
  );
});

test("a lease of another host with this host's address is known as such", () => {
  const { set, put } = setUp();
  put(GOOD, hostAttributes(2));
  put('10.5.9.0-24', SELF);
  assert.deepEqual([...set.leasesAtOwnAddress()], []);
  put('10.5.3.0-24', { ...hostAttributes(3), publicIp: SELF.publicIp });
  const [claim] = set.leasesAtOwnAddress();
  assert.deepEqual([claim?.key, claim?.address.toString()], ['10.5.3.0-24', '192.168.65.1']);
  set.delete('10.5.3.0-24');
  assert.deepEqual([...set.leasesAtOwnAddress()], []);
});

test('C1: a lease of another machine under our id is no lease of ours, and is reported', () => {
  const self = { ...SELF, machine: 'this one' };
  const { set, put, reported } = setUp();
  set.judge({ config: IPV4, self, ownKey: OWN_KEY });
  put(OWN_KEY, self);
  put('10.5.7.0-24', { ...hostAttributes(7), hostId: SELF.hostId, machine: 'a copy' });
  assert.deepEqual(
    Array.from(set.duplicateIdentities(), ({ key }) => key),
    ['10.5.7.0-24'],
  );
  put('10.5.7.0-24', { ...self, machine: 'this one with other hardware' }, 1n, 2n);
  assert.deepEqual([...set.duplicateIdentities()], []);
  assert.deepEqual(reported(), []);
});

test('H4: a lease that this host takes over is not reported as wrong before', () => {
  const { set, put, reported } = setUp(IPV4, {});
  const lost = { ...SELF, hostId: 'before the disk broke' };
  const { hostId: _, ...flannel } = SELF;
  put('10.5.9.0-24', flannel);
  put('10.5.8.0-24', lost, 2n);
  assert.deepEqual([...set.leasesAtOwnAddress()], []);
  put('10.5.9.0-24', SELF, 1n, 3n);
  set.delete('10.5.8.0-24');
  set.judge({ config: IPV4, self: SELF, ownKey: '10.5.9.0-24' });
  assert.deepEqual(reported(), []);
});

test('H4: one that turns out to be of another host is reported then', () => {
  const { set, put, reported } = setUp(IPV4, {});
  put('10.5.9.0-24', { ...SELF, hostId: 'a host with the same address' });
  assert.deepEqual(reported(), []);
  set.judge({ config: IPV4, self: SELF, ownKey: OWN_KEY });
  assert.deepEqual(reported(), ['rejected 10.5.9.0-24']);
  assert.deepEqual(
    Array.from(set.leasesAtOwnAddress(), ({ key }) => key),
    ['10.5.9.0-24'],
  );
});

test('H4: a write over our own lease concerns our holder, and is no change of a peer', () => {
  const { put, reported } = setUp(IPV4, { ownKey: '10.5.9.0-24' });
  put('10.5.9.0-24', SELF);
  put('10.5.9.0-24', 'no JSON', 1n, 2n);
  put('10.5.9.0-24', { publicIp: SELF.publicIp }, 1n, 3n);
  put('10.5.9.0-24', SELF, 1n, 4n);
  assert.deepEqual(reported(), []);
});

test('B6: a reservation that this host cannot use is no other host with its address', () => {
  const { set } = setUp();
  const reservation = read('10.6.9.0-24', { publicIp: SELF.publicIp });
  set.put(isLease(reservation) ? { ...reservation, storeLease: 0n } : reservation);
  assert.deepEqual([...set.leasesAtOwnAddress()], []);
});

test('a question to the holder of a lease is no change for its peers', () => {
  const { put, take } = setUp();
  put(GOOD, hostAttributes(2));
  take();
  put(GOOD, { ...hostAttributes(2), claim: { publicIp: {}, hostId: 'who asks' } }, 1n, 2n);
  assert.deepEqual(take(), { changed: [], removed: [] });
});
