import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, type TestContext, test } from 'node:test';
import type { Backend, BackendContext } from '../backend/backend.ts';
import { ConfigError } from '../base/errors.ts';
import { recordingLogger } from '../base/log.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { Prefix, parseInterfaceAddress } from '../base/prefix.ts';
import type { DataPlane } from '../dataplane/data-plane.ts';
import type { DesiredPeer } from '../dataplane/desired.ts';
import { parseNetworkConfig } from '../subnet/config.ts';
import { parseLeaseKey } from '../subnet/key.ts';
import type { Lease } from '../subnet/lease.ts';
import { Controller, firewallFor } from './controller.ts';
import { EventLog } from './event-log.ts';
import { Health } from './health.ts';
import { Identity } from './state-directory.ts';
import type { HostNetwork } from './underlay.ts';

const config = (vni: number, network = '10.3.0.0/16') =>
  parseNetworkConfig(JSON.stringify({ Network: network, Backend: { Type: 'vxlan', VNI: vni } })).config;

const dualStack = parseNetworkConfig(
  JSON.stringify({
    Network: '10.3.0.0/16',
    EnableIPv6: true,
    IPv6Network: 'fd03::/48',
    Backend: { Type: 'vxlan', VNI: 88 },
  }),
).config;

const network = (address: string, up = true, ...more: string[]): HostNetwork => ({
  links: [{ index: 2, name: 'eth0', type: 1, flags: 0, up, running: up, mtu: 1500, unknown: [] }],
  addresses: [address, ...more].map(text => {
    const parsed = parseInterfaceAddress(text);
    return { ...parsed, index: 2, family: parsed.ip.family, scope: 0, flags: 0x80, unknown: [] };
  }),
  defaultRoutes: [],
});

const lease = (key: string, modRevision = 1n): Lease => ({
  key,
  subnet: parseLeaseKey(key),
  attributes: {},
  storeLease: 1n,
  createRevision: 1n,
  modRevision,
});

/** A backend whose state names what it was made of. */
const createBackend = ({ config: { backend }, underlay }: BackendContext): Backend => {
  const vni = String(backend.options['VNI']);
  if (Number(vni) > 16_777_215) {
    throw new ConfigError('backend', [{ path: 'Backend.VNI', value: vni, message: 'is too large' }]);
  }
  return {
    type: backend.type,
    overlayMtu: 1450,
    attributes: () => ({ backendType: backend.type, backendData: { VNI: vni } }),
    host: own => ({
      links: [],
      addresses: [],
      sysctls: [{ link: 'flannel', path: `vni ${vni} at ${underlay.ipv4}`, value: String(own.ipv4) }],
    }),
    peer: ({ key, modRevision }) =>
      key === '10.3.99.0-24' && modRevision === 1n
        ? { paths: [], problems: ['is of another kind'] }
        : {
            paths: [
              {
                link: `flannel.${vni}`,
                subnet: Prefix.parse('10.3.0.0/24'),
                gateway: underlay.ipv4 ?? assert.fail(),
              } as DesiredPeer['paths'][number],
            ],
            problems: [],
          },
  };
};

let statements: string[];
let controller: Controller;
let health: Health;
let events: EventLog;

const dataPlane = {
  setHost: ({ sysctls }) => {
    statements.push(`host: ${sysctls.map(({ path, value }) => `${path} ${value}`).join()}`);
  },
  setPeers: peers => {
    statements.push(`peers: ${Array.from(peers, ({ key, paths }) => `${key} ${paths[0]?.link}`).join(', ')}`);
  },
  setPeer: ({ key, paths }) => {
    statements.push(`peer: ${key} ${paths[0]?.link}`);
  },
  removePeer: key => {
    statements.push(`gone: ${key}`);
  },
  peerReport: key => {
    const entries = key === '10.3.99.0-24' ? [] : ['route'];
    return { key, state: 'ok', desired: entries, actual: entries };
  },
} as Partial<DataPlane> as DataPlane;

const taken = () => statements.splice(0);
const ready = (name: 'config' | 'underlay') =>
  health.conditions().find(condition => condition.name === name)?.ok === true;

beforeEach(async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-controller-'));
  (t as TestContext).after(() => rmSync(directory, { recursive: true }));
  const clock = new ManualClock();
  statements = [];
  events = new EventLog({ clock, logger: recordingLogger() });
  health = new Health(clock, events);
  controller = new Controller({
    options: {
      underlay: { interfaces: ['eth0'], patterns: [] },
      firewall: { masquerade: true, forward: false, randomFully: true, resyncSeconds: 5 },
    },
    identity: await Identity.open(directory),
    dataPlane,
    health,
    events,
    createBackend,
  });
});

function start(): void {
  controller.setConfig(config(88));
  controller.setNetwork(network('192.168.65.3/24'));
  controller.changePeers([lease('10.3.7.0-24')], []);
  controller.setLease(lease('10.3.5.0-24'));
}

describe('nothing is stated', () => {
  test('before every input is there, in whatever order they come', () => {
    const inputs = [
      () => controller.setLease(lease('10.3.5.0-24')),
      () => controller.changePeers([lease('10.3.7.0-24')], []),
      () => controller.setNetwork(network('192.168.65.3/24')),
    ];
    for (const input of inputs) {
      input();
      assert.deepEqual(taken(), []);
    }
    controller.setConfig(config(88));
    assert.deepEqual(taken(), ['peers: 10.3.7.0-24 flannel.88', 'host: vni 88 at 192.168.65.3 10.3.5.0/24']);
  });

  test('before the peers are known: until then every entry of theirs would look stale', () => {
    controller.setConfig(config(88));
    controller.setNetwork(network('192.168.65.3/24'));
    controller.setLease(lease('10.3.5.0-24'));
    assert.deepEqual(taken(), []);
    controller.changePeers([], []);
    assert.deepEqual(taken(), ['peers: ', 'host: vni 88 at 192.168.65.3 10.3.5.0/24']);
  });

  test('a second time when nothing has changed', () => {
    start();
    taken();
    controller.setConfig(config(88));
    controller.setNetwork(network('192.168.65.3/24'));
    controller.setLease(lease('10.3.5.0-24', 9n));
    assert.deepEqual(taken(), []);
  });
});

describe('a change', () => {
  test('of the VNI states host and peers anew, at once', () => {
    start();
    taken();
    controller.setConfig(config(89));
    assert.deepEqual(taken(), ['peers: 10.3.7.0-24 flannel.89', 'host: vni 89 at 192.168.65.3 10.3.5.0/24']);
    assert.deepEqual(controller.plan.value?.attributes.backendData, { VNI: '89' });
  });

  test("of the underlay's address is published and stated", () => {
    start();
    taken();
    controller.setNetwork(network('192.168.65.99/24'));
    assert.equal(taken().at(-1), 'host: vni 88 at 192.168.65.99 10.3.5.0/24');
    assert.equal(String(controller.plan.value?.attributes.publicIp), '192.168.65.99');
  });

  test('of the network waits for a lease of it, and keeps what there is meanwhile', () => {
    start();
    taken();
    controller.setConfig(config(88, '10.77.0.0/16'));
    assert.deepEqual(taken(), []);
    assert.equal(String(controller.plan.value?.config.ipv4?.network), '10.77.0.0/16');
    controller.setLease(lease('10.77.2.0-24'));
    assert.equal(taken().at(-1), 'host: vni 88 at 192.168.65.3 10.77.2.0/24');
  });

  test('of the lease states the host, and the peers stay', () => {
    start();
    taken();
    controller.setLease(lease('10.3.6.0-24'));
    assert.deepEqual(taken(), ['host: vni 88 at 192.168.65.3 10.3.6.0/24']);
  });

  test('of one peer states that peer', () => {
    start();
    taken();
    controller.changePeers([lease('10.3.7.0-24', 2n), lease('10.3.9.0-24')], []);
    assert.deepEqual(taken(), ['peer: 10.3.7.0-24 flannel.88', 'peer: 10.3.9.0-24 flannel.88']);
    controller.changePeers([], ['10.3.7.0-24']);
    assert.deepEqual(taken(), ['gone: 10.3.7.0-24']);
    assert.equal(controller.peers.size, 1);
  });
});

describe('trouble', () => {
  test('with the first configuration is the condition', () => {
    controller.setNetwork(network('192.168.65.3/24'));
    controller.setConfig(config(16_777_216));
    assert.equal(ready('config'), false);
    controller.setConfig(config(88));
    assert.equal(ready('config'), true);
  });

  test('with a later configuration is a warning, and the one in use stays', () => {
    start();
    taken();
    controller.setConfig(config(16_777_216));
    assert.deepEqual(taken(), []);
    assert.equal(ready('config'), true);
    const [warning] = health.warnings();
    assert.equal(warning?.code, 'CONFIG_REFUSED');
    assert.match(warning?.text ?? '', /Backend\.VNI = "16777216": is too large/);
    controller.setConfig(config(88));
    assert.deepEqual(health.warnings(), []);
  });

  test('with a later configuration does not keep the one in use from following the host', () => {
    start();
    controller.setConfig(config(16_777_216));
    taken();
    controller.setNetwork(network('192.168.65.99/24'));
    assert.equal(taken().at(-1), 'host: vni 88 at 192.168.65.99 10.3.5.0/24');
    assert.equal(String(controller.plan.value?.attributes.publicIp), '192.168.65.99');
    assert.equal(health.warnings()[0]?.code, 'CONFIG_REFUSED');
    assert.equal(controller.configProblems[0]?.path, 'Backend.VNI');
  });

  test('with what a later configuration needs of this host is over when the host has it', () => {
    start();
    controller.setConfig(dualStack);
    assert.equal(ready('underlay'), true);
    assert.match(health.warnings()[0]?.text ?? '', /eth0 has no usable ipv6 address/);
    controller.setNetwork(network('192.168.65.3/24', true, 'fd65::3/64'));
    assert.deepEqual(health.warnings(), []);
    assert.equal(controller.plan.value?.config, dualStack);
  });

  test('with a configuration that was deleted meanwhile is not taken up again', () => {
    start();
    controller.setConfig(dualStack);
    controller.setConfig({ trouble: { code: 'NO_CONFIG', reason: 'nobody wrote one' }, problems: [] });
    controller.setNetwork(network('192.168.65.3/24', true, 'fd65::3/64'));
    assert.equal(controller.plan.value?.config.ipv6, undefined);
  });

  test('with the configuration in the store does not end with a change of the underlay', () => {
    start();
    controller.setConfig({ trouble: { code: 'NO_CONFIG', reason: 'nobody wrote one' }, problems: [] });
    controller.setNetwork(network('192.168.65.4/24'));
    assert.deepEqual(
      health.warnings().map(({ text }) => text),
      ['nobody wrote one'],
    );
    controller.setConfig(config(88));
    assert.deepEqual(health.warnings(), []);
  });

  test('with the underlay leaves the kernel alone', () => {
    start();
    taken();
    controller.setNetwork(network('192.168.65.3/24', false));
    assert.equal(ready('underlay'), false);
    assert.deepEqual(taken(), []);
    controller.setNetwork(network('192.168.65.3/24'));
    assert.equal(ready('underlay'), true);
    assert.deepEqual(taken(), []);
  });
});

test('the status of peers tells the good, the useless and the rejected', () => {
  start();
  controller.changePeers([lease('10.3.99.0-24')], []);
  const status = controller.peers.status([
    { key: '10.3.8.0-24', reason: 'has no public address', createRevision: 4n, modRevision: 4n },
  ]);
  assert.deepEqual(
    status.map(({ key, state, reason }) => [key, state, reason]),
    [
      ['10.3.7.0-24', 'ok', undefined],
      ['10.3.8.0-24', 'rejected', 'has no public address'],
      ['10.3.99.0-24', 'unreachable', 'is of another kind'],
    ],
  );
});

test('a peer that cannot be reached is told once, and once that it can', () => {
  start();
  for (const revision of [1n, 1n, 2n, 3n]) controller.changePeers([lease('10.3.99.0-24', revision)], []);
  assert.deepEqual(
    events.list().flatMap(({ type, text }) => (type.startsWith('peer-') ? [text] : [])),
    [
      'the peer 10.3.99.0-24 cannot be reached: is of another kind',
      'the peer 10.3.99.0-24 can be reached now',
    ],
  );
});

test('the firewall is that of the network and the lease', () => {
  start();
  const outcome = controller.outcome.value ?? assert.fail('nothing stated');
  const options = { masquerade: true, forward: false, randomFully: true, resyncSeconds: 5 };
  assert.deepEqual(JSON.parse(JSON.stringify(firewallFor(outcome, options))), {
    nftables: false,
    blocks: [{ network: '10.3.0.0/16', subnet: '10.3.5.0/24' }],
    masquerade: true,
    forward: false,
    randomFully: true,
  });
});
