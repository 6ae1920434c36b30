/** What a host plans from its network, and what it takes over from flannel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBackend } from '../backend/registry.ts';
import { Mac } from '../base/mac.ts';
import { byFamily, valuesOf } from '../base/per-family.ts';
import { Prefix, parseInterfaceAddress } from '../base/prefix.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { formatNetworkConfig } from '../subnet/config/format-config.ts';
import { config, network } from '../testing/network/overlay-harness.ts';
import { planHost } from './host-plan.ts';

const OWN = Mac.parse('02:00:00:00:00:01');
const FLANNEL = Mac.parse('02:00:00:00:00:02');
const UNDERLAY = Mac.parse('02:00:00:00:00:03');

/** A plan, with the devices whose MACs it took over. The device is at index 3; eth0 is at 2. */
function plan(device: { name: string; kind: 'vxlan' | 'bridge'; address: string }, changes: object = {}) {
  const { links, addresses, ...rest } = network('192.168.65.3/24');
  const [eth0] = links;
  assert.ok(eth0 && addresses[0]);
  const adopted: string[] = [];
  const info = device.kind === 'vxlan' ? { kind: device.kind, id: 88 } : { kind: device.kind };
  const address = parseInterfaceAddress(device.address);
  const result = planHost({
    config: config(88),
    network: {
      ...rest,
      links: [
        { ...eth0, mac: UNDERLAY },
        { ...eth0, index: 3, name: device.name, mac: FLANNEL, info },
      ],
      addresses: [...addresses, { ...addresses[0], ...address, index: 3 }],
    },
    criteria: { interfaces: ['eth0'], patterns: [], publicIp: {} },
    identity: {
      hostId: 'b7e4',
      mac: () => OWN,
      adopt: (name, mac) => void adopted.push(`${name} ${mac}`),
      machine: mac => mac && `machine with ${mac}`,
    },
    hostName: 'docker1',
    inUse: undefined,
    createBackend,
    ...changes,
  });
  return { result, adopted };
}

test('the MAC of a device that flannel made for this network is taken over, and of no other', () => {
  const device = { name: 'flannel.88', kind: 'vxlan', address: '10.3.5.0/32' } as const;
  assert.deepEqual(plan(device).adopted, [`flannel.88 ${FLANNEL}`]);
  for (const change of [{ address: '10.9.5.0/32' }, { name: 'vxlan88' }, { kind: 'bridge' }] as const) {
    assert.deepEqual(plan({ ...device, ...change }).adopted, [], JSON.stringify(change));
  }
});

test('a host publishes its id, its name, its machine and its address', () => {
  const device = { name: 'docker0', kind: 'bridge', address: '10.3.5.1/24' } as const;
  const published = (changes: object) => {
    const { result } = plan(device, changes);
    assert.ok(result.ok);
    const { hostId, hostName, machine, publicIp, backendType } = result.plan.attributes;
    return { hostId, hostName, machine, publicIp: valuesOf(publicIp).join(), backendType };
  };
  const all = {
    hostId: 'b7e4',
    hostName: 'docker1',
    machine: `machine with ${UNDERLAY}`,
    publicIp: '192.168.65.3',
    backendType: 'vxlan',
  };
  assert.deepEqual(published({}), all);
  assert.deepEqual(published({ hostName: 'not a name' }), { ...all, hostName: undefined });
});

test('a network of both families, and an underlay of one: the hint says which is missing, and how to do without', () => {
  const device = { name: 'docker0', kind: 'bridge', address: '10.3.5.1/24' } as const;
  const { config: dual } = parseNetworkConfig(
    formatNetworkConfig(byFamily(Prefix.parse('10.3.0.0/16'), Prefix.parse('fd00:3::/48')), {
      Type: 'vxlan',
    }),
  );
  const { result } = plan(device, { config: dual });
  assert.ok(!result.ok);
  assert.match(result.failure.reason, /eth0 has no usable IPv6 address/);
  assert.equal(
    result.failure.hint,
    'give the underlay an IPv6 address, or set EnableIPv6 to false with `tulle config set`',
  );
});
