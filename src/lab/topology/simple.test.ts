import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError } from '../../base/errors.ts';
import { parseLabName } from './lab-name.ts';
import { planLab } from './simple.ts';

const REQUEST = { name: 'x', hosts: 2, containers: 2, runtime: 'namespace', store: 'etcd' } as const;

describe('planLab', () => {
  test('has the addresses and the network of the walkthrough', () => {
    const plan = planLab(REQUEST);
    assert.deepEqual(
      plan.hosts.map(({ name, address, containers }) => [
        name,
        `${address.ipv4} ${address.ipv6}`,
        containers.map(container => container.name),
      ]),
      [
        ['docker1', '192.168.65.3 undefined', ['c1', 'c2']],
        ['docker2', '192.168.65.4 undefined', ['c1', 'c2']],
      ],
    );
    assert.deepEqual(JSON.parse(plan.networkConfig ?? ''), {
      Network: '188.172.0.0/16',
      Backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
    });
    assert.equal(plan.etcdEndpoint, 'http://192.168.65.3:2379');
  });

  test('without IPv4 nothing has an address of it, and with both families everything has two', () => {
    const only = planLab({ ...REQUEST, family: 'ipv6' });
    assert.deepEqual(
      only.hosts.map(({ address }) => `${address.ipv4} ${address.ipv6}`),
      ['undefined fd00:65::3', 'undefined fd00:65::4'],
    );
    assert.equal(only.etcdEndpoint, 'http://[fd00:65::3]:2379');
    const { networkConfig, hosts, etcdEndpoint } = planLab({ ...REQUEST, family: 'dual' });
    assert.deepEqual(
      [only.networkConfig, networkConfig].map(text => ({
        ...(JSON.parse(text ?? '') as object),
        Backend: undefined,
      })),
      [
        { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:188:172::/48', Backend: undefined },
        { Network: '188.172.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:188:172::/48', Backend: undefined },
      ],
    );
    assert.equal(`${hosts[1]?.address.ipv4} ${hosts[1]?.address.ipv6}`, '192.168.65.4 fd00:65::4');
    assert.equal(etcdEndpoint, 'http://192.168.65.3:2379');
    assert.throws(
      () => planLab({ ...REQUEST, family: 'ipv6', runtime: 'docker' }),
      /--family = "ipv6".*Docker/,
    );
  });

  test('gives every dockerd the plugin of its agent', () => {
    const { hosts } = planLab({ ...REQUEST, runtime: 'docker', plugin: true });
    assert.ok(hosts.every(({ docker }) => docker?.plugin === true));
    assert.throws(() => planLab({ ...REQUEST, plugin: true }), /--plugin.*--docker/);
  });

  test('takes another backend as it is written', () => {
    const { networkConfig } = planLab({ ...REQUEST, backend: { Type: 'host-gw' } });
    assert.deepEqual((JSON.parse(networkConfig ?? '') as { Backend: unknown }).Backend, { Type: 'host-gw' });
  });

  test('the largest lab stays inside the underlay', () => {
    const last = planLab({ ...REQUEST, hosts: 250 }).hosts.at(-1);
    assert.equal(String(last?.address.ipv4), '192.168.65.252');
    assert.throws(() => planLab({ ...REQUEST, hosts: 251 }), { code: 'INVALID_CONFIG' });
    assert.equal(planLab({ ...REQUEST, containers: 200 }).hosts[0]?.containers.at(-1)?.name, 'c200');
    assert.throws(() => planLab({ ...REQUEST, containers: 201 }), { code: 'INVALID_CONFIG' });
  });

  test('reports everything that is wrong at once', () => {
    assert.throws(
      () => planLab({ ...REQUEST, name: '../x', hosts: 0, containers: 1.5 }),
      (error: ConfigError) => {
        assert.deepEqual(
          error.problems.map(({ path }) => path),
          ['--name', '--hosts', '--containers'],
        );
        return true;
      },
    );
  });
});

test('a name that could lead out of a directory is no name for a lab', () => {
  assert.equal(parseLabName('s7-b'), 's7-b');
  for (const text of ['', '..', '../x', '/../../etc', 'A', 'a b', '-a', 'a'.repeat(33)]) {
    assert.throws(() => parseLabName(text), { code: 'INVALID_VALUE' }, text);
  }
});
