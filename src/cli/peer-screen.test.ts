import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { healthyPeer, now, status } from '../../test/support/status.ts';
import type { CommandError } from '../console/errors.ts';
import { findPeers, peerScreen } from './peer-screen.ts';

const flannel = { ...healthyPeer, key: '188.172.8.0-24', subnet: { ipv4: '188.172.8.0/24' } };
const dual = {
  ...healthyPeer,
  key: '188.172.7.0-24&fd00:7::-64',
  subnet: { ipv4: '188.172.7.0/24', ipv6: 'fd00:7::/64' },
  publicIp: { ipv4: '192.168.65.7' },
  hostId: 'b8860988',
  hostName: 'docker7',
};
const document = status({ peers: [healthyPeer, flannel, dual] });
const keysOf = (which: string) => findPeers(document, which).map(({ key }) => key);

describe('findPeers', () => {
  test('I5: finds a peer by everything that names it', () => {
    for (const which of [
      '188.172.7.0/24',
      '188.172.7.2',
      'fd00:7::99',
      '192.168.65.7',
      'b8860988',
      'docker7',
      dual.key,
    ]) {
      assert.deepEqual(keysOf(which), [dual.key], which);
    }
  });

  test('finds all that publish one public address', () => {
    assert.deepEqual(keysOf('192.168.65.4'), [healthyPeer.key, flannel.key]);
  });

  test('says what an address is that is no peer', () => {
    const refusal = (message: RegExp) => (error: CommandError) =>
      error.code === 'NOT_FOUND' && message.test(error.message);
    assert.throws(() => keysOf('188.172.50.2'), refusal(/belongs to this host, which has/));
    assert.throws(() => keysOf('188.172.50.0/24'), refusal(/belongs to this host, which has/));
    assert.throws(() => keysOf('docker1'), refusal(/^docker1 belongs to this host, which has/));
    assert.throws(() => keysOf('188.172.77.2'), refusal(/^no host known here has leased 188\.172\.77\.2/));
    assert.throws(() => keysOf('9.9.9.9'), refusal(/outside the network 188\.172\.0\.0\/16$/));
  });
});

describe('the screen of a peer', () => {
  test('of a healthy one says where to look on', () => {
    assert.equal(
      peerScreen(healthyPeer, document, [], now),
      `peer       188.172.9.0/24
state      ok
public ip  192.168.65.4
host       flannel
backend    vxlan
over       flannel.88
compared   with the kernel at each change, and as a whole 3 min ago

In the kernel (- is missing, + should not be there):
    route 188.172.9.0/24 via 188.172.9.0 dev flannel.88 onlink

Where to look next:
  This host is complete: every entry is in its kernel. If packets still do not arrive, check
  - tulle status on 192.168.65.4: whether it knows this host, 188.172.50.0/24
  - the path between the hosts: UDP 4789 must pass to 192.168.65.4 and back (tcpdump -ni eth0 udp port 4789)
  - the MTU of the containers: 1450 at most`,
    );
  });

  test('is folded where the terminal is narrow, entries that are long too', t => {
    const { COLUMNS } = process.env;
    t.after(() => {
      if (COLUMNS === undefined) delete process.env['COLUMNS'];
      else process.env['COLUMNS'] = COLUMNS;
    });
    process.env['COLUMNS'] = '60';
    const route = 'route 188.172.9.0/24 nhid 1306185422 via 188.172.9.0 dev flannel.88 proto 77 onlink';
    const text = peerScreen({ ...healthyPeer, desired: [route], actual: [route] }, document, [], now);
    assert.match(text, /^ {4}route 188\.172\.9\.0\/24 .*\n {6}.*proto 77 onlink$/m);
    assert.doesNotMatch(text, /u000a/);
  });

  test('of one in trouble shows the difference, its warnings and its events', () => {
    const warning = (address: string) => ({
      code: 'SHARED_PUBLIC_IP',
      severity: 'warning' as const,
      title: `several peers have the public address ${address}`,
      text: 'packets go astray',
      since: '2026-01-02T03:00:00.000Z',
    });
    const failed = { ...healthyPeer, state: 'failed' as const, reason: 'no memory', actual: ['route x'] };
    const event = (id: number, fields: Record<string, unknown>) => ({
      id,
      time: '2026-01-02T05:00:00.000Z',
      severity: 'warning' as const,
      type: 'drift-repaired',
      text: `event ${id}`,
      fields,
    });
    const events = [
      event(1, { peer: failed.key }),
      event(2, { peer: 'another' }),
      event(3, { key: failed.key }),
    ];
    const warnings = [warning('192.168.65.4'), warning('192.168.65.40')];
    const text = peerScreen(failed, { ...document, warnings }, events, now);
    assert.match(text, /^state +failed: no memory$/m);
    assert.match(text, /^ {2}- route 188\.172\.9\.0\/24 .*\n {2}\+ route x$/m);
    assert.match(text, /^ {2}SHARED_PUBLIC_IP several peers have the public address 192\.168\.65\.4: /m);
    assert.match(
      text,
      /^This host itself has problems. Solve these first:\n {2}SHARED_PUBLIC_IP .*65\.40: .*$/m,
    );
    assert.match(text, /^Lately:\n {2}3 min ago {2}drift-repaired {2}event 1\n {2}3 min ago .* event 3$/m);
    assert.doesNotMatch(text, /Where to look next/);
  });

  test('shows the newest of its events, those about several peers too', () => {
    const events = [1, 2, 3, 4, 5, 6, 7].map(id => ({
      id,
      time: '2026-01-02T05:00:00.000Z',
      severity: 'info' as const,
      type: 'peer-changed',
      text: `event ${id}`,
      fields: id === 6 ? { keys: ['another', healthyPeer.key] } : { peer: healthyPeer.key },
    }));
    const text = peerScreen(healthyPeer, document, events, now);
    assert.deepEqual(text.match(/event \d/g), ['event 3', 'event 4', 'event 5', 'event 6', 'event 7']);
  });

  test('I2: acquits no host that has a condition or a warning', () => {
    const since = '2026-01-02T03:00:00.000Z';
    const reason = 'eth0 has no address';
    const condition = {
      name: 'underlay',
      ok: false,
      required: true,
      reason,
      hint: 'give it one',
      since,
    } as const;
    const warning = { code: 'FORWARDING_OFF', title: 'no forwarding', text: 'off', hint: 'sysctl', since };
    const screenOf = (changes: object) => peerScreen(healthyPeer, status(changes), [], now);
    for (const changes of [
      { conditions: [condition] },
      { warnings: [{ ...warning, severity: 'error' }] },
      { warnings: [{ ...warning, severity: 'warning' }] },
      { warnings: [{ ...warning, severity: 'warning', text: 'docker9 has 192.168.65.4 too' }] },
    ]) {
      assert.doesNotMatch(screenOf(changes), /This host is complete/);
    }
    const first =
      /^This host itself has problems. Solve these first:\n {2}underlay eth0 has no address\n {4}hint: give it one$/m;
    assert.match(screenOf({ conditions: [condition] }), first);
    assert.match(screenOf({ warnings: [{ ...warning, severity: 'info' }] }), /This host is complete/);
  });
});

test('a peer whose packets come from another address is said to be behind a NAT, perhaps', () => {
  const counters = { sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0 };
  const traffic = (drops: Record<string, number>) => ({
    host: { ...counters, drops: {} },
    peers: [{ subnet: healthyPeer.subnet.ipv4 ?? '', ...counters, drops }],
  });
  const screen = (drops: Record<string, number>) =>
    peerScreen(healthyPeer, status(), [], now, traffic(drops));
  assert.match(screen({ unknownPeer: 2 }), /its --public-ip must be\s+the address that others see/);
  assert.doesNotMatch(screen({ tooBig: 2 }), /--public-ip/);
});
