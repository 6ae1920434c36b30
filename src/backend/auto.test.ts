/** What auto publishes, which ways it sees to a peer, and what each choice among them asks of the data plane. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProblem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { byFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { decodeAttributes, encodeAttributes } from '../subnet/lease/attributes.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { Backend, BackendContext, Underlay } from './backend.ts';
import { checkBackend, createBackend } from './registry.ts';
import { possibleWays, type WayChoice } from './ways.ts';

const addresses = byFamily(Ip.parse('192.168.65.3'), Ip.parse('2001:db8::3'));
const underlay: Underlay = {
  link: { index: 2, name: 'eth0', mtu: 1500 },
  ip: addresses,
  publicIp: addresses,
  routes: [
    { destination: Prefix.parse('0.0.0.0/0'), link: 2, gateway: Ip.parse('192.168.65.1') },
    { destination: Prefix.parse('192.168.65.0/24'), link: 2 },
    { destination: Prefix.parse('172.17.0.0/16'), link: 3 },
    { destination: Prefix.parse('2001:db8::/64'), link: 2 },
  ],
};

function backendOf(
  options: object = {},
  changed: Partial<Underlay> = {},
  isDual = false,
  context: Partial<BackendContext> = {},
): Backend {
  const families = isDual ? { EnableIPv6: true, IPv6Network: 'fd03::/48' } : {};
  const backend = { Type: 'auto', VNI: 88, Port: 4789, ...options };
  const text = JSON.stringify({ Network: '10.3.0.0/16', ...families, Backend: backend });
  return createBackend({
    config: parseNetworkConfig(text).config,
    underlay: { ...underlay, ...changed },
    defaultVxlanPort: 8472,
    ...context,
    identity: { hostId: 'b7e4', mac: () => Mac.parse('c6:d2:32:6f:8f:44') },
  });
}

const VXLAN_DATA = { VNI: 88, VtepMAC: '3e:5f:e4:05:0d:6f' };

function lease(json: object): Lease {
  const value = {
    PublicIP: '192.168.65.4',
    BackendType: 'vxlan',
    BackendData: VXLAN_DATA,
    TulleWays: { direct: true, udp: 8286 },
    ...json,
  };
  const attributes = decodeAttributes(new TextEncoder().encode(JSON.stringify(value)));
  const subnet = { ipv4: Prefix.parse('10.3.81.0/24'), ipv6: Prefix.parse('fd03:0:0:81::/64') };
  return { key: 'peer', subnet, attributes, storeLease: 1n, createRevision: 1n, modRevision: 1n };
}

/** Paths in one line each: link, subnet, kinds of entries. */
const pathsOf = (backend: Backend, ofPeer: Lease, ipv4?: WayChoice) =>
  backend
    .peer(ofPeer, ipv4 && { ipv4 })
    .paths.map(
      ({ link, subnet, entries }) => `${link} ${subnet} ${entries.map(({ kind }) => kind).join(' ')}`,
    );

test('publishes what a vxlan host does, and besides which other ways it has', () => {
  const published = (backend: Backend) =>
    new TextDecoder().decode(
      encodeAttributes({ publicIp: byFamily(Ip.parse('192.168.65.3')), ...backend.attributes() }),
    );
  assert.equal(
    published(backendOf()),
    '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan",' +
      '"BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"},"TulleTunnelPort":4789,' +
      '"TulleWays":{"direct":true,"udp":8285}}',
  );
  assert.deepEqual(backendOf({ UDP: false }).attributes().ways, { direct: true });
  const behindNat = { publicIp: byFamily(Ip.parse('203.0.113.9')) };
  assert.deepEqual(backendOf({ UDPPort: 9000 }, behindNat).attributes().ways, { direct: false, udp: 9000 });
  assert.equal(backendOf().overlayMtu, 1450);
});

test('has the devices of vxlan and udp, and takes from them what another way leads back to', () => {
  const backend = backendOf();
  const { links, addresses: own, sysctls } = backend.host({ ipv4: Prefix.parse('10.3.50.0/24') });
  assert.deepEqual(
    links.map(({ kind, name }) => `${kind} ${name}`),
    ['vxlan flannel.88', 'tun flannel0', 'existing eth0'],
  );
  assert.deepEqual(
    own.map(({ link, address }) => `${link} ${address.ip}/${address.length}`),
    ['flannel.88 10.3.50.0/32', 'flannel0 10.3.50.0/32'],
  );
  const filters = sysctls.filter(({ path }) => path.endsWith('rp_filter'));
  assert.deepEqual(
    filters.map(({ path, value }) => `${path} ${value}`),
    ['net/ipv4/conf/flannel.88/rp_filter 2', 'net/ipv4/conf/flannel0/rp_filter 2'],
  );
  assert.deepEqual(backend.forwarder?.listen, [{ ip: underlay.ip.ipv4, port: 8285 }]);
});

test('uses the best way that is possible until another one is chosen', () => {
  const backend = backendOf();
  assert.deepEqual(pathsOf(backend, lease({})), [
    'eth0 10.3.81.0/24 route',
    'flannel.88 10.3.81.0/24 fdb neighbor',
    'flannel0 10.3.81.0/24 tunnel',
  ]);
  assert.deepEqual(pathsOf(backend, lease({}), { inUse: 'vxlan' }), [
    'flannel.88 10.3.81.0/24 fdb neighbor route',
    'flannel0 10.3.81.0/24 tunnel',
  ]);
  assert.deepEqual(pathsOf(backend, lease({}), { inUse: 'udp' }), [
    'flannel.88 10.3.81.0/24 fdb neighbor',
    'flannel0 10.3.81.0/24 tunnel route',
  ]);
});

test('tries a way with the base address of the subnet alone', () => {
  const backend = backendOf();
  assert.deepEqual(pathsOf(backend, lease({}), { inUse: 'vxlan', tried: 'direct' }), [
    'eth0 10.3.81.0/32 route',
    'flannel.88 10.3.81.0/24 fdb neighbor route',
    'flannel0 10.3.81.0/24 tunnel',
  ]);
  const [, , udp] = backend.peer(lease({}), { ipv4: { inUse: 'direct', tried: 'vxlan' } }).paths;
  assert.equal(
    JSON.stringify(udp?.entries),
    '[{"kind":"route","destination":"10.3.81.0/32","gateway":"10.3.81.0","onlink":true}]',
  );
});

test('what the host itself sends directly is from its address in the overlay, as over the tunnels', () => {
  const source = Ip.parse('10.3.50.0');
  for (const choice of [
    { inUse: 'direct', source },
    { inUse: 'vxlan', tried: 'direct', source },
  ] as const) {
    const { paths } = backendOf().peer(lease({}), { ipv4: choice });
    const [route] = paths.find(({ link }) => link === 'eth0')?.entries ?? [];
    assert.deepEqual(route?.kind === 'route' && route.source, source);
    const others = paths.flatMap(({ link, entries }) => (link === 'eth0' ? [] : entries));
    assert.ok(others.every(entry => !('source' in entry)));
  }
});

test('says why a way is not possible', () => {
  const obstacles = (json: object, backend = backendOf()) => {
    const { ipv4 } = backend.ways?.(lease(json)) ?? {};
    return ipv4 && [possibleWays(ipv4).join(' '), ...Object.values(ipv4.obstacles)];
  };
  assert.deepEqual(obstacles({}), ['direct vxlan udp']);
  assert.deepEqual(obstacles({ PublicIP: '198.51.100.4' }), [
    'vxlan udp',
    'it is behind the router 192.168.65.1',
  ]);
  assert.deepEqual(obstacles({ PublicIP: '172.17.0.4' }), ['vxlan udp', 'it is not on the link of eth0']);
  assert.deepEqual(obstacles({ TulleWays: { direct: false } }), [
    'vxlan',
    'its public address is not its own',
    'it has no forwarder',
  ]);
  assert.deepEqual(obstacles({}, backendOf({ UDP: false })), [
    'direct vxlan',
    'UDP is false in the configuration',
  ]);
  assert.deepEqual(obstacles({}, backendOf({}, {}, false, { hasTun: false })), [
    'direct vxlan',
    'this host has no /dev/net/tun',
  ]);
  assert.deepEqual(obstacles({}, backendOf({}, { routes: [] })), [
    'vxlan udp',
    'this host has no route to 192.168.65.4',
  ]);
});

test('each family has its own ways', () => {
  const backend = backendOf({}, {}, true);
  const dual = lease({ PublicIPv6: '2001:db8:9::4', BackendV6Data: VXLAN_DATA });
  const { ipv4, ipv6 } = backend.ways?.(dual) ?? {};
  assert.deepEqual(ipv4 && possibleWays(ipv4), ['direct', 'vxlan', 'udp']);
  assert.deepEqual(ipv6 && possibleWays(ipv6), ['vxlan', 'udp']);
  assert.equal(backend.peer(dual).paths.length, 5);
});

test('a host that names no other way keeps that of its lease', () => {
  const backend = backendOf({ DirectRouting: true });
  const flannel = lease({ TulleWays: undefined });
  assert.deepEqual(backend.ways?.(flannel), {});
  assert.deepEqual(pathsOf(backend, flannel), ['flannel.88 10.3.81.0/24 fdb neighbor route']);
  const other = backend.peer(lease({ BackendType: 'udp' }));
  assert.deepEqual([other.paths.length, other.problems.length], [0, 1]);
});

test('a host of another VNI is of another network, on whatever link', () => {
  const { paths, problems } = backendOf().peer(lease({ BackendData: { ...VXLAN_DATA, VNI: 89 } }));
  assert.deepEqual(paths, []);
  assert.deepEqual(problems, ["its VNI is 89, and this network's is 88"]);
});

test('its options are those of vxlan and two of the forwarder', () => {
  const check = (options: object) => {
    const { problems, warnings } = checkBackend({ type: 'auto', options: { Type: 'auto', ...options } });
    return [problems.map(formatProblem), warnings.map(({ path }) => path)];
  };
  assert.deepEqual(check({ VNI: 88, Port: 4789, MTU: 1500, UDPPort: 8285, UDP: true }), [[], []]);
  assert.deepEqual(check({ DirectRouting: true })[1], ['Backend.DirectRouting']);
  assert.match(String(check({ UDPPort: 70_000 })[0]), /^Backend\.UDPPort.*between 1 and 65535/);
  assert.match(String(check({ Port: 8285 })[0]), /^Backend\.UDPPort.*the port of VXLAN/);
});
