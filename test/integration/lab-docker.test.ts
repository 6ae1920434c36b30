/** A dockerd on a host of a lab that has no agent: as on a machine where somebody has just installed it. */
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { LabHost } from '../../src/lab/host/host.ts';
import { createLab } from '../../src/lab/lab.ts';
import { requireCapabilities } from '../../src/lab/requirements.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import type { TopologyHost } from '../../src/lab/topology/topology.ts';
import { run } from '../../src/sys/process.ts';
import { requires } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';
import { labName, tracesOf } from '../support/lab.ts';

describe('dockerd on a bare host', requires(...canRun()), () => {
  test("has Docker's own bridge, or what its daemon.json says, and the image of a tar", async t => {
    const directory = await mkdtemp(join(tmpdir(), 'tt-image-'));
    t.after(() => rm(directory, { recursive: true }));
    const exported = await exportedImage(directory);
    const name = labName();
    {
      await using lab = await make(name, {
        vm1: { docker: true, containers: ['c1'] },
        vm2: {
          docker: { config: { bip: '10.9.0.1/24', mtu: 1400 }, image: exported },
          containers: { c1: {}, c2: { command: ['sleep', '12345'], flags: ['--env', 'COLOUR=blue'] } },
        },
      });
      const { hosts } = lab.record;
      assert.deepEqual(
        hosts.map(({ runtime, subnet, containers }) => [
          runtime,
          subnet,
          containers.map(container => `${container.name} ${container.ip.ipv4}`),
        ]),
        [
          ['docker', {}, ['c1 172.17.0.2']],
          ['docker', {}, ['c1 10.9.0.2', 'c2 10.9.0.3']],
        ],
      );
      const [vm1, vm2] = hosts.map(host => new LabHost(host.name, host.anchor));
      assert.ok(vm1 && vm2);
      const inside = async (...words: string[]) => (await vm2.run('docker', ['exec', ...words])).stdout;
      assert.match(await inside('c1', 'ip', 'link', 'show', 'eth0'), / mtu 1400 /);
      assert.equal(await inside('c1', 'cat', '/mark'), 'own image\n');
      assert.match(await inside('c2', 'ps'), /^ +1 .* sleep 12345$/m);
      assert.match(await inside('c2', 'env'), /^COLOUR=blue$/m);
      await vm1.run('docker', ['exec', 'c1', 'ping', '-c', '1', '-W', '5', '172.17.0.1']);
      await vm2.run('docker', ['tag', 'rootfs', 'example/saved:7']);
      await vm2.run('docker', ['save', '--output', join(directory, 'saved.tar'), 'example/saved:7']);
    }
    assert.deepEqual(await tracesOf(name), []);
    await using lab = await make(name, {
      vm1: { docker: { image: join(directory, 'saved.tar') }, containers: ['c1'] },
    });
    const [record] = lab.record.hosts;
    assert.ok(record);
    const host = new LabHost(record.name, record.anchor);
    const { stdout } = await host.run('docker', ['ps', '--format', '{{.Names}} {{.Image}}']);
    assert.equal(stdout, 'c1 example/saved:7\n');
  });

  test('an image or a setting that cannot be is refused before anything is made', async () => {
    const name = labName();
    await assert.rejects(
      make(name, { vm1: { docker: { image: '/nowhere/x.tar' } } }),
      /hosts\.vm1\.docker\.image = "\/nowhere\/x\.tar": there is no such file/,
    );
    await assert.rejects(
      async () => make(name, { vm1: { docker: { config: { 'cgroup-parent': '/x' } } } }),
      /hosts\.vm1\.docker\.config\.cgroup-parent = "\/x": every dockerd of a lab has its own/,
    );
    assert.deepEqual(await tracesOf(name), []);
  });
});

const make = (name: string, hosts: Readonly<Record<string, TopologyHost>>) =>
  createLab(planTopology({ hosts }, { name }), { signal: deadline('a lab is made', 120_000) });

/** A file system with busybox and a mark, as `docker export` writes one. */
async function exportedImage(directory: string): Promise<string> {
  const root = join(directory, 'root');
  await mkdir(join(root, 'bin'), { recursive: true });
  await cp('/bin/busybox', join(root, 'bin/busybox'));
  for (const applet of ['sh', 'ip', 'ps', 'cat', 'sleep', 'env']) {
    await symlink('busybox', join(root, 'bin', applet));
  }
  await run('tee', [join(root, 'mark')], { input: 'own image\n' });
  const tar = join(directory, 'rootfs.tar');
  await run('tar', ['-C', root, '-cf', tar, '.']);
  return tar;
}

function canRun(): [boolean, string] {
  try {
    requireCapabilities({ docker: true });
    return [true, ''];
  } catch (error) {
    return [false, (error as Error).message];
  }
}
