/** Containers of two real dockerds with addresses of both families and leases in etcd, and why there are none of IPv6 alone. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { familiesOf } from '../../src/base/per-family.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { findRecord } from '../../src/lab/record/record.ts';
import { lab, labName, needsLab, tracesOf } from '../support/lab.ts';

describe('a lab of both families with dockerd', needsLab({ docker: true, etcd: true }), () => {
  const name = labName();
  const size = ['--hosts', '2', '--containers', '1'];
  after(async () => {
    await lab(['down', '--name', name]);
    assert.deepEqual(await tracesOf(name), []);
  });

  test('every container has an address in each subnet of its host, and reaches every other', async () => {
    const up = await lab(['up', '--name', name, '--docker', '--family', 'dual', '--store', 'etcd', ...size]);
    assert.equal(up.status, 0, up.stderr);
    const hosts = findRecord(name)?.hosts ?? [];
    assert.equal(hosts.length, 2);
    for (const { subnet, containers } of hosts) {
      const ip = containers[0]?.ip ?? {};
      assert.deepEqual(familiesOf(ip), ['ipv4', 'ipv6']);
      for (const family of familiesOf(ip)) {
        assert.ok(Prefix.parse(subnet[family] ?? '').contains(Ip.parse(ip[family] ?? '')), ip[family]);
      }
    }
    const { stdout } = await lab(['ping', '--name', name, '--json']);
    const { pairs, lost } = JSON.parse(stdout) as Record<string, number>;
    assert.deepEqual({ pairs, lost }, { pairs: 8, lost: 0 }, stdout);
    const shown = await lab(['exec', '--name', name, 'docker1/c1', '--', 'ip', '-6', 'route']);
    assert.match(shown.stdout, /^default via fd00:188:172:[0-9a-f]+::1 dev eth0/m);
  });

  test('one of IPv6 alone is refused before anything is made', async () => {
    const other = labName();
    const { status, stderr } = await lab(['up', '--name', other, '--docker', '--family', 'ipv6', ...size]);
    assert.equal(status, 2);
    assert.match(stderr, /--family = "ipv6": is not possible with --docker: .*IPv4 address/);
    assert.equal(findRecord(other), undefined);
  });
});
