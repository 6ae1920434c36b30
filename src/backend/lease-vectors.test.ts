/**
 * flannel's leases of each backend, both ways: what a flannel host has written becomes these ways to it, and what this host
 * writes has these bytes in the members that flannel has. A vector is a file of test/vectors/leases:
 *
 *     network     the configuration
 *     addresses   of this host on eth0, which has index 2 and an MTU of 1500
 *     published   what this host writes, without the members that are ours: they begin with Tulle, and come last
 *     peers       by what they are, with the key and the value of a lease, exactly as in etcd; what is made of it
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { mapFamilies, type PerFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { PathEntry, PeerPath } from '../dataplane/desired.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { decodeAttributes, encodeAttributes } from '../subnet/lease/attributes.ts';
import { parseLeaseKey } from '../subnet/lease/key.ts';
import type { Backend } from './backend.ts';
import { createBackend } from './registry.ts';

interface Vector {
  readonly network: object;
  readonly addresses: PerFamily<string>;
  readonly published: string;
  readonly peers: Readonly<
    Record<
      string,
      {
        readonly key: string;
        readonly value: string;
        readonly paths: readonly string[];
        readonly problems?: readonly string[];
      }
    >
  >;
}

const DIRECTORY = join(import.meta.dirname, '../../test/vectors/leases');

const MACS: Readonly<Record<string, string>> = {
  'flannel.1': 'c6:d2:32:6f:8f:44',
  'flannel-v6.1': 'c6:d2:32:6f:8f:45',
};

function backendOf({ network, addresses }: Vector): Backend {
  const ip = mapFamilies(addresses, text => Ip.parse(text));
  return createBackend({
    config: parseNetworkConfig(JSON.stringify(network)).config,
    underlay: {
      link: { index: 2, name: 'eth0', mtu: 1500 },
      ip,
      publicIp: ip,
      routes: ['192.168.65.0/24', '2001:db8::/64'].map(text => ({
        destination: Prefix.parse(text),
        link: 2,
      })),
    },
    defaultVxlanPort: 8472,
    identity: { hostId: 'b7e4', mac: name => Mac.parse(MACS[name] ?? assert.fail(`a MAC for ${name}`)) },
    commands: { resultOf: () => ({ run: 1, output: 'text of a command' }) },
  });
}

function pathText({ link, subnet, underlayIp, entries }: PeerPath): string {
  return `${subnet} over ${link} to ${underlayIp}: ${entries.map(entryText).join(', ')}`;
}

function entryText(entry: PathEntry): string {
  const { kind, ...members } = entry;
  const textOf = (value: unknown) =>
    (typeof value === 'string' ? value : JSON.stringify(value)).replaceAll('"', '');
  const words = Object.entries(members).map(([name, value]) => `${name} ${textOf(value)}`);
  return [kind, ...words].join(' ');
}

for (const name of readdirSync(DIRECTORY)) {
  const vector = JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8')) as Vector;
  describe(`leases of ${name.replace('.json', '')}`, () => {
    const backend = backendOf(vector);

    test('what this host writes is what flannel writes, and members of ours after that', () => {
      const publicIp = mapFamilies(vector.addresses, text => Ip.parse(text));
      const written = new TextDecoder().decode(
        encodeAttributes({ publicIp, hostId: 'b7e4', ...backend.attributes() }),
      );
      const [shared, ours] = written.split(',"Tulle', 2);
      assert.equal(`${shared}}`, vector.published);
      assert.ok(ours !== undefined);
    });

    for (const [what, { key, value, paths, problems = [] }] of Object.entries(vector.peers)) {
      test(`${what}: ${paths.length > 0 ? 'reached' : 'not reached'}`, () => {
        const lease = {
          key,
          subnet: parseLeaseKey(key),
          attributes: decodeAttributes(new TextEncoder().encode(value)),
          storeLease: 1n,
          createRevision: 1n,
          modRevision: 1n,
        };
        const plan = backend.peer(lease);
        assert.deepEqual([plan.paths.map(pathText), plan.problems], [paths, problems]);
        const again = new TextDecoder().decode(encodeAttributes(lease.attributes));
        assert.equal(again, value, 'a value that is only read is written as it was');
      });
    }
  });
}
