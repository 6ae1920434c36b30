import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GOOD, SELF, setUp } from '../../../test/support/peer-set.ts';
import { DUAL, hostAttributes, IPV4 } from '../../../test/support/registry.ts';
import { Ip } from '../../base/ip.ts';
import { byFamily } from '../../base/per-family.ts';

describe('C5: one VTEP MAC address at two public addresses', () => {
  const theirs = hostAttributes(2).backendData ?? {};
  const thief = { ...hostAttributes(3), backendData: theirs };
  const THIEF = '10.5.3.0-24';

  test('stays with the older lease, whichever is seen first, and the newer one waits for its end', () => {
    for (const order of [
      [GOOD, THIEF],
      [THIEF, GOOD],
    ]) {
      const { set, put, peers, reported } = setUp();
      for (const key of order) {
        if (key === GOOD) put(GOOD, hostAttributes(2), 5n);
        else put(THIEF, thief, 6n);
      }
      assert.deepEqual(peers(), [GOOD]);
      assert.deepEqual(reported(), [`rejected ${THIEF}`]);
      assert.match([...set.rejected()][0]?.reason ?? '', /VTEP MAC address of 10\.5\.2\.0-24/);
      put(GOOD, hostAttributes(2), 5n, 9n);
      assert.deepEqual(peers(), [GOOD], 'a renewal by flannel is a put');
      set.delete(GOOD);
      assert.deepEqual(peers(), [THIEF]);
      assert.deepEqual(reported(), [`accepted ${THIEF}`]);
    }
  });

  test('is not taken by an older lease that names it only now', () => {
    const { put, peers, reported } = setUp();
    put(THIEF, hostAttributes(3), 2n);
    put(GOOD, hostAttributes(2), 5n);
    put(THIEF, thief, 2n, 9n);
    assert.deepEqual(peers(), [GOOD]);
    put(GOOD, { ...hostAttributes(2), publicIp: byFamily(Ip.parse('172.16.0.9')) }, 5n, 10n);
    assert.deepEqual(peers(), [GOOD], 'a host that moves keeps its MAC address');
    put(THIEF, hostAttributes(3), 2n, 11n);
    assert.deepEqual(peers().toSorted(), [GOOD, THIEF]);
    assert.deepEqual(reported(), [`rejected ${THIEF}`, `accepted ${THIEF}`]);
  });

  test('of the IPv6 device', () => {
    const dual = (number: number, mac: string, publicIpv6: string) => ({
      ...hostAttributes(number),
      publicIp: { ...hostAttributes(number).publicIp, ipv6: Ip.parse(publicIpv6) },
      backendData: { ...hostAttributes(number).backendData, ipv6: { VNI: 88, VtepMAC: mac } },
    });
    const { put, peers } = setUp(DUAL);
    put('10.5.2.0-24&fd00:5:0:2::-64', dual(2, '02:00:00:00:06:02', '2001:db8::2'), 5n);
    put('10.5.3.0-24&fd00:5:0:3::-64', dual(3, '02:00:00:00:06:02', '2001:db8::3'), 6n);
    assert.deepEqual(peers(), ['10.5.2.0-24&fd00:5:0:2::-64']);
    // The tables of the two devices are apart.
    put('10.5.4.0-24&fd00:5:0:4::-64', dual(4, '02:00:00:00:00:02', '2001:db8::4'), 7n);
    assert.equal(peers().length, 2);
  });

  test('of this host', () => {
    const { set, put, peers } = setUp(IPV4, { ownKey: '10.5.1.0-24' });
    put('10.5.1.0-24', SELF, 7n);
    put(THIEF, { ...hostAttributes(3), backendData: SELF.backendData ?? {} }, 2n);
    assert.deepEqual(peers(), []);
    assert.match([...set.rejected()][0]?.reason ?? '', /VTEP MAC address of this host/);
  });

  test('is none where the address is the same: one host, which has two leases while it moves', () => {
    const { put, peers } = setUp();
    put(GOOD, hostAttributes(2), 5n);
    put(THIEF, { ...hostAttributes(2), hostId: 'before its disk was lost' }, 6n);
    assert.deepEqual(peers(), [GOOD, THIEF]);
  });
});
