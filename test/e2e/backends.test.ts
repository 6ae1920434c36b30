/** The ways across: the same containers over each backend of flannel that needs no tunnel of its own kind. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { LabHost } from '../../src/lab/host/host.ts';
import { findRecord } from '../../src/lab/record/record.ts';
import { hasFastPath, isFastPathOff } from '../support/both-ways.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lab, labName } from '../support/lab.ts';

interface Expected {
  readonly backend: { readonly Type: string; readonly [option: string]: unknown };
  /** Of the containers. */
  readonly mtu: number;
  /** How docker1 reaches docker2's containers. */
  readonly route: RegExp;
}

const CASES: Readonly<Record<string, Expected>> = {
  vxlan: {
    backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
    mtu: 1450,
    route: /dev flannel\.88 proto 77 onlink/,
  },
  'vxlan with DirectRouting': {
    backend: { Type: 'vxlan', VNI: 88, Port: 4789, DirectRouting: true },
    mtu: 1450,
    route: /via 192\.168\.65\.4 dev eth0 proto 77/,
  },
  udp: { backend: { Type: 'udp' }, mtu: 1472, route: /dev flannel0 proto 77 scope link/ },
  auto: {
    backend: { Type: 'auto', VNI: 88, Port: 4789 },
    mtu: 1450,
    route: /via 192\.168\.65\.4 dev eth0 proto 77 src 188\./,
  },
  'host-gw': { backend: { Type: 'host-gw' }, mtu: 1500, route: /via 192\.168\.65\.4 dev eth0 proto 77/ },
};

for (const [name, { backend, mtu, route }] of Object.entries(CASES)) {
  if (isFastPathOff && !hasFastPath(backend.Type)) continue;
  describe(`over ${name}`, needsRoot, () => {
    const labs = labName();
    const create = ['up', '--name', labs, '--hosts', '2', '--containers', '1', '--json'];
    after(() => lab(['down', '--name', labs]));

    test('every container reaches every other, and the kernel has the route', async () => {
      const up = await lab([...create, '--backend-config', JSON.stringify(backend)]);
      assert.equal(up.status, 0, up.stderr);
      const ping = await lab(['ping', '--name', labs, '--json']);
      const { sent, lost } = JSON.parse(ping.stdout) as { sent: number; lost: number };
      assert.ok(sent > 0);
      assert.equal(lost, 0, ping.stdout);

      const [record, other] = findRecord(labs)?.hosts ?? [];
      assert.ok(record !== undefined && other !== undefined);
      const host = new LabHost(record.name, record.anchor);
      const routes = await host.run('ip', ['route', 'show', other.subnet.ipv4 ?? '']);
      assert.match(routes.stdout, route);
      const env = await host.run('cat', ['/run/flannel/subnet.env']);
      assert.match(env.stdout, new RegExp(`^FLANNEL_MTU=${mtu}$`, 'm'));
    });

    test('a packet of the full MTU passes unfragmented, and one byte more does not', async () => {
      const [, other] = findRecord(labs)?.hosts ?? [];
      const target = other?.containers[0]?.ip.ipv4 ?? '';
      const ping = (size: number) =>
        lab([
          'exec',
          '--name',
          labs,
          'docker1/c1',
          '--',
          'ping',
          '-c1',
          '-W2',
          '-M',
          'do',
          '-s',
          String(size - 28),
          target,
        ]);
      const whole = await ping(mtu);
      assert.equal(whole.status, 0, whole.stdout);
      const more = await ping(mtu + 1);
      assert.notEqual(more.status, 0, more.stdout);
    });
  });
}
