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
import type { Backend } from './backend.ts';
import { checkBackend, createBackend } from './registry.ts';

const addresses = byFamily(Ip.parse('192.168.65.3'), Ip.parse('2001:db8::3'));

function backendOf(backend: object | undefined, isDual = false): Backend {
  const families = isDual ? { EnableIPv6: true, IPv6Network: 'fd03::/48' } : {};
  const text = JSON.stringify({ Network: '10.3.0.0/16', ...families, ...(backend && { Backend: backend }) });
  return createBackend({
    config: parseNetworkConfig(text).config,
    underlay: { link: { index: 2, name: 'eth0', mtu: 1500 }, ip: addresses, publicIp: addresses },
    defaultVxlanPort: 8472,
    identity: { hostId: 'b7e4', mac: () => Mac.parse('c6:d2:32:6f:8f:44') },
  });
}

function lease(json: object): Lease {
  const value = { PublicIP: '192.168.65.4', PublicIPv6: '2001:db8::4', ...json };
  return {
    key: 'peer',
    subnet: { ipv4: Prefix.parse('10.3.81.0/24'), ipv6: Prefix.parse('fd03:0:0:81::/64') },
    attributes: decodeAttributes(new TextEncoder().encode(JSON.stringify(value))),
    storeLease: 1n,
    createRevision: 1n,
    modRevision: 1n,
  };
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("a network without Backend is udp; it publishes flannel's members, and its port in one of ours", () => {
  const backend = backendOf(undefined);
  assert.equal(backend.type, 'udp');
  const bytes = encodeAttributes({ publicIp: byFamily(Ip.parse('192.168.65.3')), ...backend.attributes() });
  assert.equal(
    new TextDecoder().decode(bytes),
    '{"PublicIP":"192.168.65.3","PublicIPv6":null,"TulleTunnelPort":8285}',
  );
});

test('it has one TUN device for both families, and a forwarder that listens on the addresses of the underlay', () => {
  const backend = backendOf({ Type: 'udp', Port: 9000 }, true);
  const own = { ipv4: Prefix.parse('10.3.50.0/24'), ipv6: Prefix.parse('fd03:0:0:50::/64') };
  assert.equal(backend.overlayMtu, 1452, 'what fits with the outer header of IPv6');
  assert.deepEqual(plain(backend.forwarder), {
    device: 'flannel0',
    listen: [
      { ip: '192.168.65.3', port: 9000 },
      { ip: '2001:db8::3', port: 9000 },
    ],
    mtu: 1452,
  });
  const host = backend.host(own);
  assert.deepEqual(host.links, [{ kind: 'tun', type: 'tun', name: 'flannel0', mtu: 1452 }]);
  assert.deepEqual(plain(host.addresses), [
    { link: 'flannel0', address: { ip: '10.3.50.0', length: 32 } },
    { link: 'flannel0', address: { ip: 'fd03:0:0:50::', length: 128 } },
  ]);
  assert.equal(backendOf({ Type: 'udp' }).overlayMtu, 1472);
});

test('a peer has a route and an entry of the forwarder, to the port that it says, or else to ours', () => {
  const paths = (json: object) => backendOf({ Type: 'udp', Port: 9000 }).peer(lease(json)).paths;
  assert.deepEqual(plain(paths({})), [
    {
      link: 'flannel0',
      subnet: '10.3.81.0/24',
      underlayIp: '192.168.65.4',
      entries: [
        { kind: 'tunnel', subnet: '10.3.81.0/24', destination: '192.168.65.4', port: 9000 },
        { kind: 'route', destination: '10.3.81.0/24' },
      ],
    },
  ]);
  const [path] = paths({ TulleTunnelPort: 8285 });
  assert.deepEqual(
    path?.entries.map(entry => (entry.kind === 'tunnel' ? entry.port : undefined)),
    [8285, undefined],
  );
  const { problems } = backendOf({ Type: 'udp' }).peer(lease({ BackendType: 'vxlan' }));
  assert.match(problems.join(), /the backend vxlan, and this network uses udp/);
});

test('a wrong port is refused', () => {
  const { problems } = checkBackend({ type: 'udp', options: { Type: 'udp', Port: 70000 } });
  assert.match(problems.map(formatProblem).join(), /Backend\.Port/);
});
