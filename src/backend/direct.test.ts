/** The backends that reach a peer without a tunnel, or with one of IP in IP: host-gw, DirectRouting, ipip, alloc. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, formatProblem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { byFamily, type PerFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { decodeAttributes, encodeAttributes } from '../subnet/lease/attributes.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { Backend, Underlay } from './backend.ts';
import { checkBackend, createBackend } from './registry.ts';
import type { UnderlayRoute } from './topology.ts';

const OWN: Subnet = { ipv4: Prefix.parse('10.3.50.0/24'), ipv6: Prefix.parse('fd03:0:0:50::/64') };
const PEER: Subnet = { ipv4: Prefix.parse('10.3.81.0/24'), ipv6: Prefix.parse('fd03:0:0:81::/64') };

const routes: UnderlayRoute[] = [
  { destination: Prefix.parse('0.0.0.0/0'), link: 2, gateway: Ip.parse('192.168.65.1') },
  { destination: Prefix.parse('192.168.65.0/24'), link: 2 },
  { destination: Prefix.parse('2001:db8::/64'), link: 2 },
];

const addresses = byFamily(Ip.parse('192.168.65.3'), Ip.parse('2001:db8::3'));
const underlay: Underlay = {
  link: { index: 2, name: 'eth0', mtu: 1500 },
  ip: addresses,
  publicIp: addresses,
  routes,
};

function backendOf(backend: object, isDual = false): Backend {
  const families = isDual ? { EnableIPv6: true, IPv6Network: 'fd03::/48' } : {};
  const text = JSON.stringify({ Network: '10.3.0.0/16', ...families, Backend: backend });
  return createBackend({
    config: parseNetworkConfig(text).config,
    underlay,
    defaultVxlanPort: 8472,
    identity: { hostId: 'b7e4', mac: () => Mac.parse('c6:d2:32:6f:8f:44') },
  });
}

function lease(json: object): Lease {
  const value = { PublicIP: '192.168.65.4', PublicIPv6: '2001:db8::4', ...json };
  const attributes = decodeAttributes(new TextEncoder().encode(JSON.stringify(value)));
  return { key: 'peer', subnet: PEER, attributes, storeLease: 1n, createRevision: 1n, modRevision: 1n };
}

/** What this host publishes, in flannel's members. */
const published = (backend: Backend, publicIp: PerFamily<Ip> = byFamily(Ip.parse('192.168.65.3'))) =>
  new TextDecoder().decode(encodeAttributes({ publicIp, ...backend.attributes() }));

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const DIRECT = {
  link: 'eth0',
  subnet: '10.3.81.0/24',
  underlayIp: '192.168.65.4',
  entries: [{ kind: 'route', destination: '10.3.81.0/24', gateway: '192.168.65.4' }],
};

describe('host-gw', () => {
  test("publishes flannel's lease, and needs no device and no bytes of its own", () => {
    const backend = backendOf({ Type: 'host-gw' });
    assert.equal(published(backend), '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"host-gw"}');
    assert.equal(
      published(backend, addresses),
      '{"PublicIP":"192.168.65.3","PublicIPv6":"2001:db8::3","BackendType":"host-gw"}',
    );
    assert.equal(backend.overlayMtu, 1500);
    assert.deepEqual(plain(backend.host(OWN)), {
      networks: ['10.3.0.0/16'],
      links: [{ kind: 'existing', name: 'eth0' }],
      addresses: [],
      sysctls: [],
    });
  });

  test('reaches a peer on the link through its host, in each family', () => {
    const peer = lease({ BackendType: 'host-gw' });
    assert.deepEqual(plain(backendOf({ Type: 'host-gw' }).peer(peer)), { paths: [DIRECT], problems: [] });
    const dual = backendOf({ Type: 'host-gw' }, true).peer(peer);
    assert.deepEqual(plain(dual.paths[1]), {
      link: 'eth0',
      subnet: 'fd03:0:0:81::/64',
      underlayIp: '2001:db8::4',
      entries: [{ kind: 'route', destination: 'fd03:0:0:81::/64', gateway: '2001:db8::4' }],
    });
  });

  test('says of a peer behind a router, or of another backend, why it cannot be reached', () => {
    const backend = backendOf({ Type: 'host-gw' });
    const { paths, problems } = backend.peer(lease({ BackendType: 'host-gw', PublicIP: '192.168.66.4' }));
    assert.deepEqual(paths, []);
    assert.match(problems.join(), /^its address 192\.168\.66\.4 is not on the link of eth0, .*use vxlan/);
    assert.match(
      backend.peer(lease({ BackendType: 'vxlan' })).problems.join(),
      /the backend vxlan.*uses host-gw/,
    );
    assert.match(backend.peer(lease({})).problems.join(), /no backend type/);
  });
});

const filters = (backend: Backend) =>
  backend
    .host(OWN)
    .sysctls.filter(({ path }) => path.endsWith('rp_filter'))
    .map(({ path, value }) => `${path} ${value}`);

describe('DirectRouting of vxlan', () => {
  const peer = (json: object) =>
    lease({ BackendType: 'vxlan', BackendData: { VNI: 1, VtepMAC: '22:00:00:00:00:01' }, ...json });

  test('routes to peers on the link and tunnels to the others, with the MTU of the tunnel for all', () => {
    const backend = backendOf({ Type: 'vxlan', DirectRouting: true });
    assert.equal(backend.needsRoutes, true);
    assert.equal(backend.overlayMtu, 1450);
    assert.deepEqual(
      backend.host(OWN).links.map(({ kind, name }) => `${kind} ${name}`),
      ['vxlan flannel.1', 'existing eth0'],
    );
    assert.deepEqual(filters(backend), ['net/ipv4/conf/flannel.1/rp_filter 2'], 'a peer may answer directly');
    assert.deepEqual(filters(backendOf({ Type: 'vxlan' })), []);
    assert.deepEqual(filters(backendOf({ Type: 'ipip', DirectRouting: true })), [
      'net/ipv4/conf/flannel.ipip/rp_filter 2',
    ]);
    assert.deepEqual(plain(backend.peer(peer({}))), { paths: [DIRECT], problems: [] });
    const [far] = backend.peer(peer({ PublicIP: '192.168.66.4' })).paths;
    assert.equal(far?.link, 'flannel.1');
    assert.deepEqual(
      far?.entries.map(({ kind }) => kind),
      ['fdb', 'neighbor', 'route'],
    );
  });

  test('is off unless it is asked for, and no way to a peer of another VNI', () => {
    assert.equal(backendOf({ Type: 'vxlan' }).peer(peer({})).paths[0]?.link, 'flannel.1');
    const other = backendOf({ Type: 'vxlan', DirectRouting: true, VNI: 2 }).peer(peer({}));
    assert.deepEqual(other.paths, []);
    assert.match(other.problems.join(), /VNI is 1/);
  });
});

describe('ipip', () => {
  test('publishes its type, and has one device that every route names the far end for', () => {
    const backend = backendOf({ Type: 'ipip' });
    assert.equal(published(backend), '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"ipip"}');
    assert.equal(backend.overlayMtu, 1480);
    assert.deepEqual(plain(backend.host(OWN)), {
      networks: ['10.3.0.0/16'],
      links: [{ kind: 'ipip', name: 'flannel.ipip', mtu: 1480, underlayIndex: 0, local: '192.168.65.3' }],
      addresses: [{ link: 'flannel.ipip', address: { ip: '10.3.50.0', length: 32 } }],
      sysctls: [],
    });
    const { paths } = backend.peer(lease({ BackendType: 'ipip' }));
    assert.deepEqual(plain(paths), [
      {
        link: 'flannel.ipip',
        subnet: '10.3.81.0/24',
        underlayIp: '192.168.65.4',
        entries: [{ kind: 'route', destination: '10.3.81.0/24', gateway: '192.168.65.4', onlink: true }],
      },
    ]);
    const direct = backendOf({ Type: 'ipip', DirectRouting: true }).peer(lease({ BackendType: 'ipip' }));
    assert.deepEqual(plain(direct.paths), [DIRECT]);
  });

  test('refuses IPv6, which does not fit into it', () => {
    assert.throws(
      () => backendOf({ Type: 'ipip' }, true),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.problems.map(formatProblem).join('\n'), /IPv6Network: cannot be carried by ipip/);
        return true;
      },
    );
  });
});

test('alloc publishes a lease without type, as flannel does, and programs nothing', () => {
  const backend = backendOf({ Type: 'alloc' });
  assert.equal(published(backend), '{"PublicIP":"192.168.65.3","PublicIPv6":null}');
  assert.equal(backend.overlayMtu, 1500);
  assert.deepEqual(backend.host(OWN).links, []);
  assert.deepEqual(backend.peer(lease({})), { paths: [], problems: [] });
});

test('an option that one of them does not have is warned of, and a wrong one refused', () => {
  for (const type of ['host-gw', 'ipip', 'alloc']) {
    const { problems, warnings } = checkBackend({ type, options: { Type: type, VNI: 3 } });
    assert.deepEqual(problems, []);
    assert.match(warnings.map(formatProblem).join(), /VNI/);
  }
  const { problems } = checkBackend({ type: 'ipip', options: { Type: 'ipip', DirectRouting: 'yes' } });
  assert.match(problems.map(formatProblem).join(), /DirectRouting/);
});
