import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DaemonJson } from '../../docker/daemon-json.ts';
import { parseSubnetEnv } from '../../subnet/subnet-env.ts';
import { fc } from '../../testing/properties.ts';
import { applyChanges, OUR_KEYS, planDaemon, planUndo } from './plan.ts';

const lease = parseSubnetEnv(
  'FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
);
const dual = parseSubnetEnv(
  'FLANNEL_SUBNET=10.3.1.1/24\nFLANNEL_IPV6_SUBNET=fd00:5:0:22::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
);
const OLD = new Set(['bip', 'mtu']);
const NEW = new Set([...OLD, 'allow-direct-routing', 'bridge-accept-fwmark']);

const plan = (text: string, { words = [] as string[], options = OLD, resolver = true, of = lease } = {}) =>
  planDaemon(DaemonJson.parse(text), { lease: of, resolver, dockerd: { words, options } });
const valuesOf = ({ config }: ReturnType<typeof plan>) => JSON.parse(config.text) as Record<string, unknown>;
const WANTED = { bip: '10.3.1.1/24', mtu: 1450, 'ip-masq': false, dns: ['169.254.53.53'] };

describe('what daemon.json should say', () => {
  test('follows from the lease, and from what dockerd knows', () => {
    assert.deepEqual(valuesOf(plan('')), WANTED);
    assert.deepEqual(valuesOf(plan('', { options: NEW })), {
      ...WANTED,
      'allow-direct-routing': true,
      'bridge-accept-fwmark': '0x10000/0x10000',
    });
    assert.deepEqual(valuesOf(plan('', { of: dual, resolver: false })), {
      bip: '10.3.1.1/24',
      mtu: 1450,
      'ip-masq': true,
      ipv6: true,
      'fixed-cidr-v6': 'fd00:5:0:22::/64',
    });
  });

  test('keeps what its author wrote, and says which of their values it replaces', () => {
    const { changes } = plan('{"mtu": 1500, "ip-masq": false, "debug": true}');
    assert.deepEqual(changes, [
      { key: 'bip', before: undefined, after: '10.3.1.1/24' },
      { key: 'mtu', before: 1500, after: 1450 },
      { key: 'dns', before: undefined, after: ['169.254.53.53'] },
    ]);
  });

  test("asks the agent's resolver first, and other servers after it, as long as there is one", () => {
    const dnsOf = (text: string, resolver: boolean) => valuesOf(plan(text, { resolver }))['dns'];
    assert.deepEqual(dnsOf('{"dns": ["192.0.2.1"]}', true), ['169.254.53.53', '192.0.2.1']);
    assert.deepEqual(dnsOf('{"dns": ["169.254.53.53", "192.0.2.1"]}', false), ['192.0.2.1']);
    assert.equal(dnsOf('{"dns": ["169.254.53.53"]}', false), undefined);
    assert.deepEqual(dnsOf('{"dns": ["192.0.2.1"]}', false), ['192.0.2.1']);
  });

  test("does not repeat what dockerd's command line says, and names what it contradicts", () => {
    const given = plan('', { words: ['-H', 'fd://', '--bip=10.3.1.1/24', '--mtu', '1450'] });
    assert.deepEqual([given.givenByFlag, given.problems], [['bip', 'mtu'], []]);
    assert.deepEqual(valuesOf(given), { 'ip-masq': false, dns: ['169.254.53.53'] });

    const words = ['--bip', '172.30.0.1/16', '-b', 'br0', '--fixed-cidr=10.9.0.0/24'];
    const { problems } = plan('{"default-gateway": "10.3.1.7"}', { words });
    assert.deepEqual(
      problems.map(({ path, value }) => `${path} ${String(value)}`),
      ['--bip 172.30.0.1/16', '--bridge br0', '--fixed-cidr 10.9.0.0/24'],
    );
    const [wrong] = plan('{"default-gateway": "10.9.0.1"}').problems;
    assert.match(wrong?.message ?? '', /not in 10\.3\.1\.0\/24/);
  });

  const files = fc
    .tuple(
      fc.dictionary(fc.oneof(fc.string(), fc.constantFrom(...OUR_KEYS)), fc.jsonValue()),
      fc.constantFrom(0, 2, '\t'),
    )
    .map(([object, indent]) => JSON.stringify(object, null, indent));

  test('of any file: a second time nothing changes, all else stays, and undo gives back the meaning of the first', () => {
    fc.assert(
      fc.property(files, fc.boolean(), fc.boolean(), (text, resolver, isNew) => {
        const former = DaemonJson.parse(text);
        const wishes = { resolver, options: isNew ? NEW : OLD };
        const { config } = plan(text, wishes);
        assert.deepEqual(plan(config.text, wishes).changes, []);
        const isOurs = (key: string) => (OUR_KEYS as readonly string[]).includes(key);
        for (const key of former.keys.filter(each => !isOurs(each))) {
          assert.equal(config.raw(key), former.raw(key));
        }
        const order = (keys: readonly string[]) => keys.filter(key => former.keys.includes(key));
        assert.deepEqual(
          order(config.keys),
          order(former.keys).filter(key => config.keys.includes(key)),
        );
        const undone = applyChanges(config, planUndo(config, former));
        assert.deepEqual(JSON.parse(undone.text), JSON.parse(former.text));
      }),
      { numRuns: 300 },
    );
  });
});
