import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, formatProblem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { byFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { DesiredHost } from '../dataplane/desired.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { decodeAttributes, encodeAttributes } from '../subnet/lease/attributes.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { BackendContext, Underlay } from './backend.ts';
import { checkBackend, createBackend, vtepMacsOf } from './registry.ts';
import { vxlanLinkName } from './vxlan.ts';

const MACS: Record<string, string> = {
  'flannel.88': 'c6:d2:32:6f:8f:44',
  'flannel-v6.88': '6a:12:34:56:78:9a',
};

const ETH0 = { index: 2, name: 'eth0', mtu: 1500 };
const IPV4: Underlay = {
  link: ETH0,
  ip: byFamily(Ip.parse('192.168.65.3')),
  publicIp: byFamily(Ip.parse('192.168.65.3')),
};
const BOTH = byFamily(Ip.parse('192.168.65.3'), Ip.parse('2001:db8::3'));
const DUAL: Underlay = { link: ETH0, ip: BOTH, publicIp: BOTH };

const NETWORK_S7 = '{ "Network": "188.172.0.0/16", "Backend": {"Type": "vxlan", "VNI": 88, "Port": 4789}}';
const NETWORK_DUAL =
  '{ "Network": "10.3.0.0/16", "IPv6Network": "fc00::/48", "EnableIPv6": true, "Backend": {"Type": "vxlan", "VNI": 88}}';

function contextOf(network: string, underlay: Underlay): BackendContext {
  return {
    config: parseNetworkConfig(network).config,
    underlay,
    defaultVxlanPort: 8472,
    identity: {
      hostId: 'b7e4',
      mac: name => Mac.parse(MACS[name] ?? '02:00:00:00:00:00'),
    },
  };
}

function lease(subnet: Subnet, json: string): Lease {
  const attributes = decodeAttributes(new TextEncoder().encode(json));
  return { key: 'peer', subnet, attributes, storeLease: 1n, createRevision: 1n, modRevision: 1n };
}

const PEER = { ipv4: Prefix.parse('188.172.81.0/24') };
const DATA = { VNI: 88, VtepMAC: '22:00:00:00:00:01' };
const leaseOf = (changes: object, subnet: Subnet = PEER) =>
  lease(
    subnet,
    JSON.stringify({
      PublicIP: '192.168.65.4',
      PublicIPv6: null,
      BackendType: 'vxlan',
      BackendData: DATA,
      ...changes,
    }),
  );

function problemsOf(backend: object, underlay = IPV4): string[] {
  try {
    createBackend(contextOf(JSON.stringify({ Network: '10.3.0.0/16', Backend: backend }), underlay));
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(formatProblem);
  }
}

const devices = (host: DesiredHost) => host.links.filter(link => link.kind === 'vxlan');

describe('the vxlan backend', () => {
  test('publishes what flannel publishes, byte for byte', () => {
    const value = (network: string, underlay: Underlay) => {
      const attributes = createBackend(contextOf(network, underlay)).attributes();
      return new TextDecoder().decode(encodeAttributes({ publicIp: underlay.publicIp, ...attributes }));
    };
    assert.equal(
      value(NETWORK_S7, IPV4),
      '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"},"TulleTunnelPort":4789}',
    );
    assert.equal(
      value(NETWORK_DUAL, DUAL),
      '{"PublicIP":"192.168.65.3","PublicIPv6":"2001:db8::3","BackendType":"vxlan","BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"},"BackendV6Data":{"VNI":88,"VtepMAC":"6a:12:34:56:78:9a"},"TulleTunnelPort":8472}',
    );
  });

  test('wants a device with the base address alone', () => {
    const backend = createBackend(contextOf(NETWORK_S7, IPV4));
    assert.equal(backend.overlayMtu, 1450);
    assert.deepEqual(JSON.parse(JSON.stringify(backend.host({ ipv4: Prefix.parse('188.172.50.0/24') }))), {
      links: [
        {
          kind: 'vxlan',
          name: 'flannel.88',
          vni: 88,
          underlayIndex: 2,
          learning: false,
          gbp: false,
          mtu: 1450,
          mac: 'c6:d2:32:6f:8f:44',
          master: 'nomaster',
          local: '192.168.65.3',
          port: 4789,
        },
      ],
      networks: ['188.172.0.0/16'],
      addresses: [
        {
          link: 'flannel.88',
          address: { ip: '188.172.50.0', length: 32 },
        },
      ],
      sysctls: [
        { link: 'flannel.88', path: 'net/ipv6/conf/flannel.88/accept_ra', value: '0' },
        {
          link: 'flannel.88',
          path: 'net/ipv4/conf/flannel.88/forwarding',
          value: '1',
          whenever: { path: 'net/ipv4/ip_forward', value: '1' },
        },
      ],
    });
  });

  test('has a second device for IPv6, with the larger overhead, and gives containers the smaller MTU', () => {
    const backend = createBackend(contextOf(NETWORK_DUAL, DUAL));
    const own = { ipv4: Prefix.parse('10.3.5.0/24'), ipv6: Prefix.parse('fc00:0:0:5::/64') };
    const host = backend.host(own);
    const { addresses } = host;
    assert.deepEqual(
      devices(host).map(({ name, mtu, local, port }) => `${name} ${mtu} ${local} ${port}`),
      ['flannel.88 1450 192.168.65.3 8472', 'flannel-v6.88 1430 2001:db8::3 8472'],
    );
    assert.deepEqual(
      addresses.map(({ link, address }) => `${link} ${address.ip}/${address.length}`),
      ['flannel.88 10.3.5.0/32', 'flannel-v6.88 fc00:0:0:5::/128'],
    );
    assert.equal(backend.overlayMtu, 1430);

    const peer = leaseOf(
      { PublicIPv6: '2001:db8::4', BackendV6Data: { VNI: 88, VtepMAC: '22:00:00:00:00:06' } },
      { ipv4: Prefix.parse('10.3.6.0/24'), ipv6: Prefix.parse('fc00:0:0:6::/64') },
    );
    assert.deepEqual(JSON.parse(JSON.stringify(backend.peer(peer))), {
      paths: [
        {
          link: 'flannel.88',
          subnet: '10.3.6.0/24',
          underlayIp: '192.168.65.4',
          entries: [
            { kind: 'fdb', mac: '22:00:00:00:00:01', destination: '192.168.65.4' },
            { kind: 'neighbor', ip: '10.3.6.0', mac: '22:00:00:00:00:01' },
            { kind: 'route', destination: '10.3.6.0/24', gateway: '10.3.6.0', onlink: true },
          ],
        },
        {
          link: 'flannel-v6.88',
          subnet: 'fc00:0:0:6::/64',
          underlayIp: '2001:db8::4',
          entries: [
            { kind: 'fdb', mac: '22:00:00:00:00:06', destination: '2001:db8::4' },
            { kind: 'neighbor', ip: 'fc00:0:0:6::', mac: '22:00:00:00:00:06' },
            { kind: 'route', destination: 'fc00:0:0:6::/64', gateway: 'fc00:0:0:6::', onlink: true },
          ],
        },
      ],
      problems: [],
    });
    const halfBad = leaseOf({ PublicIPv6: '2001:db8::4' }, peer.subnet);
    assert.deepEqual(
      backend.peer(halfBad).paths.map(({ link }) => link),
      ['flannel.88'],
    );
    assert.deepEqual(backend.peer(halfBad).problems, ['its BackendV6Data is not an object']);
  });

  test('sends from an address of the link, not from the public one in front of a NAT', () => {
    const behindNat = { ...IPV4, publicIp: byFamily(Ip.parse('203.0.113.9')) };
    const [link] = devices(createBackend(contextOf(NETWORK_S7, behindNat)).host({}));
    assert.equal(link?.local?.toString(), '192.168.65.3');
  });

  test('takes the overhead from the MTU option, and passes the other options on', () => {
    const network =
      '{"Network":"10.3.0.0/16","Backend":{"type":"VXLAN","mtu":1400,"gbp":true,"learning":true,"port":0,"Unknown":1}}';
    const backend = createBackend(contextOf(network, IPV4));
    const [link] = devices(backend.host({}));
    assert.equal(backend.overlayMtu, 1350);
    assert.deepEqual(
      [link?.name, link?.mtu, link?.gbp, link?.learning, link?.port],
      ['flannel.1', 1350, true, true, 8472],
    );
  });

  for (const { name, changes, reason } of [
    { name: 'another backend', changes: { BackendType: 'host-gw' }, reason: /the backend host-gw/ },
    { name: 'no backend type', changes: { BackendType: undefined }, reason: /no backend type/ },
    { name: 'another VNI', changes: { BackendData: { ...DATA, VNI: 1 } }, reason: /its VNI is 1, .* 88$/ },
    { name: 'no VNI', changes: { BackendData: { VtepMAC: DATA.VtepMAC } }, reason: /its VNI is missing/ },
    { name: 'no data', changes: { BackendData: null }, reason: /BackendData is not an object/ },
    { name: 'no MAC', changes: { BackendData: { VNI: 88 } }, reason: /VtepMAC is missing/ },
    {
      name: 'a bad MAC',
      changes: { BackendData: { VNI: 88, VtepMAC: 'x' } },
      reason: /is not a MAC address/,
    },
    {
      name: 'a group MAC',
      changes: { BackendData: { VNI: 88, VtepMAC: 'ff:ff:ff:ff:ff:ff' } },
      reason: /is not a unicast address/,
    },
    {
      name: "this host's MAC",
      changes: { BackendData: { VNI: 88, VtepMAC: MACS['flannel.88'] } },
      reason: /this host's own/,
    },
    // B2
    {
      name: 'another UDP port',
      changes: { TulleTunnelPort: 8472 },
      reason: /its UDP port is 8472, .* 4789$/,
    },
    { name: 'no address', changes: { PublicIP: '0.0.0.0' }, reason: /no public IPv4 address/ },
  ]) {
    test(`does not reach a peer with ${name}, and says why`, () => {
      const { paths, problems } = createBackend(contextOf(NETWORK_S7, IPV4)).peer(leaseOf(changes));
      assert.deepEqual(paths, []);
      assert.equal(problems.length, 1);
      assert.match(problems[0] ?? '', reason);
    });
  }

  test('reads the names of peer data without regard to case, as flannel does', () => {
    const { paths } = createBackend(contextOf(NETWORK_S7, IPV4)).peer(
      leaseOf({ BackendData: { vni: 88, vtepmac: '22:00:00:00:00:01' } }),
    );
    assert.equal(paths.length, 1);
  });

  test('reports every problem of its options at once', () => {
    assert.deepEqual(
      problemsOf({ Type: 'vxlan', VNI: 16777216, Port: 65536, MTU: 60, GBP: 1, Learning: 'no' }),
      [
        'Backend.VNI = 16777216: must be between 1 and 16777215',
        'Backend.Port = 65536: must be between 1 and 65535',
        'Backend.MTU = 60: must be between 68 and 65535',
        'Backend.GBP = 1: must be true or false',
        'Backend.Learning = "no": must be true or false',
      ],
    );
    assert.match(problemsOf({ Type: 'vxlan', VNI: 0 })[0] ?? '', /between 1 and 16777215/);
    assert.match(problemsOf({ Type: 'vxlan', DirectRouting: 'no' })[0] ?? '', /DirectRouting = "no"/);
    assert.deepEqual(problemsOf({ Type: 'vxlan', DirectRouting: false, VNI: 16777215 }), []);
  });

  // B2
  test('B2: names a key that nobody knows, and what was probably meant', () => {
    const options = { Type: 'vxlan', Prot: 4789, vni: 88, Rack: 7 };
    const { problems, warnings } = checkBackend({ type: 'vxlan', options });
    assert.deepEqual(problems, []);
    assert.deepEqual(warnings.map(formatProblem), [
      'Backend.Prot: is not a key of the backend vxlan and has no effect (did you mean Port?)',
      'Backend.Rack: is not a key of the backend vxlan and has no effect',
    ]);
  });

  // H6
  test('H6: refuses options that flannel refuses', () => {
    const refused = (options: string) => {
      const { backend } = parseNetworkConfig(
        `{"Network":"10.3.0.0/16","Backend":{"Type":"vxlan",${options}}}`,
      ).config;
      return checkBackend(backend).problems.map(formatProblem);
    };
    assert.deepEqual(refused('"VNI": 88.0, "Port": 4.789e3, "MTU": 0.0'), [
      'Backend.VNI = 88.0: must be a whole number',
      'Backend.Port = 4.789e3: must be a whole number',
      'Backend.MTU = 0.0: must be a whole number',
    ]);
    assert.deepEqual(refused('"VNI": null, "Port": null, "MTU": -0, "GBP": null'), []);
  });

  test('refuses an underlay that cannot carry the network', () => {
    assert.throws(
      () => createBackend(contextOf(NETWORK_DUAL, IPV4)),
      /IPv6Network: needs an IPv6 address on eth0/,
    );
    const small = { ...DUAL, link: { ...ETH0, mtu: 1300 } };
    const ipv6Alone =
      '{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fc00::/48", "Backend": {"Type": "vxlan"}}';
    assert.throws(
      () => createBackend(contextOf(ipv6Alone, small)),
      /leaves 1230 bytes for IPv6 packets, and IPv6 needs 1280/,
    );
  });

  // B3
  test('B3: leaves out the family that the underlay has no room for, and follows it with the other', () => {
    const small = { ...DUAL, link: { ...ETH0, mtu: 1300 } };
    const backend = createBackend(contextOf(NETWORK_DUAL, small));
    const subnet = { ipv4: Prefix.parse('10.3.5.0/24'), ipv6: Prefix.parse('fc00:0:0:5::/64') };
    assert.deepEqual(
      devices(backend.host(subnet)).map(({ name, mtu }) => [name, mtu]),
      [['flannel.88', 1250]],
    );
    assert.equal(backend.overlayMtu, 1250);
    assert.deepEqual(Object.keys(backend.attributes().backendData ?? {}), ['ipv4']);
    assert.deepEqual(backend.leftOut.map(formatProblem), [
      'MTU of eth0 = 1300: leaves 1230 bytes for IPv6 packets, and IPv6 needs 1280',
    ]);
    assert.deepEqual(createBackend(contextOf(NETWORK_DUAL, DUAL)).leftOut, []);
  });

  test('B3: an MTU in the configuration gives way to an underlay that carries less', () => {
    const configured = NETWORK_DUAL.replace('"Type"', '"MTU": 1500, "Type"');
    const made = (mtu: number) => createBackend(contextOf(configured, { ...DUAL, link: { ...ETH0, mtu } }));
    assert.deepEqual([made(9000).overlayMtu, made(9000).reduced], [1430, []]);
    assert.equal(made(1400).overlayMtu, 1330);
    assert.deepEqual(made(1400).reduced.map(formatProblem), [
      'Backend.MTU = 1500: is more than eth0 can carry, which is 1400',
    ]);
    assert.equal(made(1300).overlayMtu, 1250, 'of IPv4 alone');
    assert.deepEqual(made(1300).leftOut.map(formatProblem), [
      'MTU of eth0 = 1300: leaves 1230 bytes for IPv6 packets, and IPv6 needs 1280',
    ]);
  });
});

test('the name of a device is that of flannel as long as it fits', () => {
  assert.equal(vxlanLinkName('ipv4', 1), 'flannel.1');
  assert.equal(vxlanLinkName('ipv4', 9_999_999), 'flannel.9999999');
  assert.equal(vxlanLinkName('ipv4', 16_777_215), 'fl.16777215');
  assert.equal(vxlanLinkName('ipv6', 9999), 'flannel-v6.9999');
  assert.equal(vxlanLinkName('ipv6', 16_777_215), 'fl-v6.16777215');
});

test('a backend of flannel that is not built here is refused by name, and so is nonsense', () => {
  assert.match(problemsOf({ Type: 'WireGuard' })[0] ?? '', /flannel's backend wireguard is not built into/);
  assert.match(problemsOf({ Type: 'toString' })[0] ?? '', /is not a backend of flannel or Tulle/);
});

test('a lease names the MAC addresses of its devices, whatever else it says', () => {
  const named = (changes: object) =>
    vtepMacsOf(leaseOf(changes)).map(({ family, mac }) => `${family} ${mac}`);
  assert.deepEqual(named({ BackendV6Data: { vtepmac: '22:00:00:00:00:06' } }), [
    'ipv4 22:00:00:00:00:01',
    'ipv6 22:00:00:00:00:06',
  ]);
  assert.deepEqual(named({ BackendData: { VNI: 1, VtepMAC: 'x' } }), []);
  assert.deepEqual(named({ BackendType: 'host-gw' }), []);
});
