import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { byFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { DesiredHost } from '../dataplane/desired.ts';
import type { DesiredLink } from '../dataplane/desired-link.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { decodeAttributes } from '../subnet/lease/attributes.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { Backend, PeerPlan } from './backend.ts';
import { canBeSideBySide, handingOver, isLeftBehind, preparing } from './handover.ts';
import { createBackend } from './registry.ts';

/** A backend whose methods belong to its class, and need their object. */
class NamedBackend implements Backend {
  readonly type: string;
  readonly leftOut = [];
  readonly mtuParts = [];
  readonly reduced = [];
  readonly #problems: readonly string[];
  readonly #devices: readonly string[];

  constructor(type: string, problems: readonly string[] = [], devices: readonly string[] = []) {
    this.type = type;
    this.#problems = problems;
    this.#devices = devices;
  }

  get overlayMtu(): number {
    return this.type.length;
  }

  attributes() {
    return { backendType: this.type };
  }

  host(): DesiredHost {
    const sysctl = { link: this.type, path: this.type, value: '0' };
    const links = this.#devices.map(name => ({ kind: 'vxlan', name }) as DesiredLink);
    return { networks: [], links, addresses: [], sysctls: [sysctl] };
  }

  peer(): PeerPlan {
    return { paths: [], problems: this.#problems };
  }
}

const lease = {} as Lease;

test('backends side by side keep the methods that an object of a class has', () => {
  const [from, to] = [new NamedBackend('former'), new NamedBackend('new', ['has not followed'])];
  const [before, after] = [preparing(from, to), handingOver(from, to)];
  const summary = (backend: Backend) => [
    backend.type,
    backend.overlayMtu,
    backend.attributes(),
    backend.host({}).sysctls.map(({ link }) => link),
    backend.peer(lease).problems,
  ];
  assert.deepEqual(summary(before), ['former', 6, { backendType: 'former' }, ['former', 'new'], []]);
  assert.deepEqual(summary(after), ['new', 3, { backendType: 'new' }, ['new', 'former'], []]);
});

test('two backends can be side by side when no device of one has the name of another device of the other', () => {
  const can = (from: readonly string[], to: readonly string[], type = 'new') =>
    canBeSideBySide(new NamedBackend('former', [], from), new NamedBackend(type, [], to));
  assert.equal(can(['flannel.88'], ['flannel.89']), true);
  assert.equal(can(['flannel.88', 'flannel-v6.88'], ['flannel.89', 'flannel-v6.89']), true);
  assert.equal(can(['flannel.88'], ['flannel.88']), true, 'it is the same device');
  assert.equal(can(['flannel.88'], ['flannel.89'], 'former'), false, 'no peer can tell them apart');
  assert.equal(can([], ['flannel.89']), false, 'there is nothing to keep meanwhile');
});

/** Backends of one host, by their configuration. */
function real(backend: object): Backend {
  const ip = byFamily(Ip.parse('192.168.65.3'));
  return createBackend({
    config: parseNetworkConfig(JSON.stringify({ Network: '10.3.0.0/16', Backend: backend })).config,
    underlay: {
      link: { index: 2, name: 'eth0', mtu: 1500 },
      ip,
      publicIp: ip,
      routes: [{ destination: Prefix.parse('192.168.65.0/24'), link: 2 }],
    },
    defaultVxlanPort: 8472,
    identity: { hostId: 'b7e4', mac: name => Mac.parse(name === 'flannel.88' ? OUR_MACS[0] : OUR_MACS[1]) },
  });
}

const OUR_MACS = ['c6:d2:32:6f:8f:44', 'c6:d2:32:6f:8f:45'] as const;

const VXLAN = { Type: 'vxlan', VNI: 88, Port: 4789 };

for (const [from, to, expected] of [
  [VXLAN, { ...VXLAN, VNI: 99 }, true],
  [VXLAN, { ...VXLAN, Port: 8472 }, false],
  [VXLAN, { ...VXLAN, Learning: true }, false],
  [VXLAN, { ...VXLAN, DirectRouting: true }, false],
  [VXLAN, { Type: 'host-gw' }, true],
  [{ ...VXLAN, DirectRouting: true }, { Type: 'host-gw' }, true],
  [VXLAN, { Type: 'udp' }, true],
  [{ Type: 'host-gw' }, { Type: 'udp' }, true],
  [{ Type: 'host-gw' }, { Type: 'host-gw', Unused: 1 }, false],
  [{ Type: 'udp' }, { Type: 'udp', Port: 9000 }, false],
  [{ Type: 'udp' }, { Type: 'alloc' }, true],
  [{ Type: 'alloc' }, { Type: 'udp' }, false],
] as const) {
  test(`${JSON.stringify(from)} to ${JSON.stringify(to)}: ${expected ? 'side by side' : 'at once'}`, () => {
    assert.equal(canBeSideBySide(real(from), real(to)), expected);
  });
}

/** A lease as its holder writes it with this backend. */
function leaseOf(backend: object): Lease {
  const data = { BackendType: 'vxlan', BackendData: { VNI: 88, VtepMAC: 'c6:d2:32:6f:8f:99' } };
  const members = { vxlan: data, 'host-gw': { BackendType: 'host-gw' }, udp: {} };
  const json = { PublicIP: '192.168.65.4', ...members[(backend as { Type: keyof typeof members }).Type] };
  return {
    key: '10.3.81.0-24',
    subnet: { ipv4: Prefix.parse('10.3.81.0/24') },
    attributes: decodeAttributes(new TextEncoder().encode(JSON.stringify(json))),
    storeLease: 1n,
    createRevision: 1n,
    modRevision: 1n,
  };
}

const ALL = [VXLAN, { Type: 'host-gw' }, { Type: 'udp' }];
const LINKS = { vxlan: 'flannel.88', 'host-gw': 'eth0', udp: 'flannel0' } as const;

for (const from of ALL) {
  for (const to of ALL.filter(other => other !== from)) {
    test(`${from.Type} -> ${to.Type}: each peer is reached as it says, and may send over both`, () => {
      const type = (backend: { Type: string }) => LINKS[backend.Type as keyof typeof LINKS];
      const used = (backend: Backend, { Type }: { Type: string }) => {
        const { paths, provisional = paths } = backend.peer(leaseOf({ Type }));
        const [way, ...rest] = paths.length > 0 ? paths : provisional;
        // Only the forwarder of udp asks who sends.
        const accepted = [from, to].some(backend => backend.Type === 'udp') && way?.link !== 'flannel0';
        assert.deepEqual(
          rest.map(({ link, receivesOnly, entries }) => [
            link,
            receivesOnly,
            entries.map(({ kind }) => kind),
          ]),
          accepted ? [['flannel0', true, ['tunnel']]] : [],
        );
        return way?.link;
      };
      const [before, after] = [real(from), real(to)];
      for (const backend of [preparing(before, after), handingOver(before, after)]) {
        assert.equal(used(backend, from), type(from));
        assert.equal(used(backend, to), type(to));
      }
      assert.deepEqual(preparing(before, after).peer(leaseOf(to)).paths, [], 'which may not work yet');
      const { host, forwarder } = handingOver(before, after);
      const own = { ipv4: Prefix.parse('10.3.50.0/24') };
      assert.deepEqual(
        host(own).links.map(({ name }) => name),
        [type(to), type(from)],
      );
      assert.equal(forwarder?.device, [from, to].some(({ Type }) => Type === 'udp') ? 'flannel0' : undefined);
    });
  }
}

test('a peer is left behind while the former backend reaches it and the new one does not', () => {
  const fine = new NamedBackend('fine');
  const useless = new NamedBackend('useless', ['is of another kind']);
  assert.equal(isLeftBehind(fine, useless, lease), true);
  assert.equal(isLeftBehind(fine, fine, lease), false);
  assert.equal(isLeftBehind(useless, fine, lease), false);
  assert.equal(isLeftBehind(useless, useless, lease), false);
});
