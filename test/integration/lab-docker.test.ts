/** A dockerd on a host of a lab that has no agent: as on a machine where somebody has just installed it. */
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { LabHost } from '../../src/lab/host/host.ts';
import { createLab } from '../../src/lab/lab.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import type { TopologyHost } from '../../src/lab/topology/topology.ts';
import { run } from '../../src/sys/process.ts';
import { deadline } from '../support/eventually.ts';
import { lab as labCommand, labName, needsLab, tracesOf } from '../support/lab.ts';

describe('dockerd on a bare host', needsLab({ docker: true }), () => {
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

  test('is restarted with another daemon.json, and comes back with its host', async t => {
    await using vm1 = await published(t);
    const { name, named, command, inside, on, config } = vm1;
    await writeFile(config, JSON.stringify({ bip: '10.9.0.1/24', mtu: 1400 }));
    const text = await command('docker', 'restart', ...named, 'vm1', '--config', config);
    assert.equal(text, 'dockerd of vm1 is up again: c1 10.9.0.2, c2 10.9.0.3\n');
    assert.match(await inside('ip', 'link', 'show', 'eth0'), / mtu 1400 /);
    assert.equal(await inside('cat', '/note'), 'kept\n');
    const listed = JSON.parse(await command('list', '--json')) as { name: string; hosts: Listed[] }[];
    const [host] = listed.find(each => each.name === name)?.hosts ?? [];
    assert.deepEqual(
      host?.containers.map(({ ip }) => ip),
      ['10.9.0.2', '10.9.0.3'],
    );

    // What a person changes there is kept, too.
    await on('sh', '-c', `echo '{"bip": "10.8.0.1/24"}' >/etc/docker/daemon.json`);
    await command('restart', ...named, 'vm1');
    assert.match(await inside('ip', '-4', 'address', 'show', 'eth0'), / 10\.8\.0\.[23]\/24 /);
    assert.equal(await inside('cat', '/note'), 'kept\n');
    assert.equal((await on('docker', 'ps', '--quiet')).trim().split('\n').length, 2);
  });

  test('says what a daemon.json has that dockerd cannot use, and takes the next one', async t => {
    await using vm1 = await published(t);
    const { named, command, inside, on, config } = vm1;
    // With one that dockerd cannot use the host is up all the same, and can be looked at.
    await on('sh', '-c', `echo '{"bip": "nonsense"}' >/etc/docker/daemon.json`);
    const partly = await labCommand(['restart', ...named, 'vm1']);
    assert.equal(partly.status, 1);
    assert.match(partly.stderr, /vm1 is up, but not all that runs on it: dockerd on vm1 ended.*\nhint: /);
    assert.match(await on('tail', '-n', '1', '/run/log/dockerd.log'), /nonsense/);
    await on('rm', '/etc/docker/daemon.json');
    assert.match(await command('docker', 'restart', ...named, 'vm1'), /: c1 [\d.]+, c2 [\d.]+\n/);

    const refused = await labCommand(['docker', 'restart', ...named, 'vm1', '--config', '/dev/null']);
    assert.equal(refused.status, 2);
    await writeFile(config, '{"bip": "nonsense"}');
    const broken = await labCommand(['docker', 'restart', ...named, 'vm1', '--config', config]);
    assert.equal(broken.status, 1);
    assert.match(broken.stderr, /dockerd on vm1 ended before it was ready.*nonsense/s);
    await command('docker', 'restart', ...named, 'vm1', '--config', await goodConfig(config));
    assert.equal(await inside('cat', '/note'), 'kept\n');

    // What an agent has leased that is none of the lab is for its user to pass on, as the guide does.
    const leased = [
      'FLANNEL_NETWORK=10.7.0.0/16',
      'FLANNEL_SUBNET=10.7.1.1/24',
      'FLANNEL_MTU=1450',
      'FLANNEL_IPMASQ=true',
    ];
    await on(
      'sh',
      '-c',
      `mkdir -p /run/flannel; printf '%s\\n' ${leased.join(' ')} >/run/flannel/subnet.env`,
    );
    await writeFile(config, JSON.stringify({ bip: '10.7.1.1/24', mtu: 1450 }));
    assert.match(
      await command('docker', 'restart', ...named, 'vm1', '--config', config),
      /: c1 10\.7\.1\.\d/,
    );
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

/** A lab of one host with two containers that have a note, and a file of its own for what dockerd is told. */
async function published(t: TestContext) {
  const name = labName();
  const lab = await make(name, { vm1: { docker: true, containers: ['c1', 'c2'] } });
  await using stack = new AsyncDisposableStack();
  stack.use(lab);
  await lab.publish();
  const command = async (...words: string[]) => {
    const { status, stdout, stderr } = await labCommand(words);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const named = ['--name', name];
  const inside = (...words: string[]) => command('exec', ...named, 'vm1/c1', '--', ...words);
  const on = (...words: string[]) => command('exec', ...named, 'vm1', '--', ...words);
  await inside('sh', '-c', 'echo kept >/note');
  const config = join(tmpdir(), `${name}.json`);
  t.after(() => rm(config, { force: true }));
  const kept = stack.move();
  return { name, named, command, inside, on, config, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

interface Listed {
  readonly containers: readonly { readonly ip: string }[];
}

async function goodConfig(file: string): Promise<string> {
  await writeFile(file, '{}');
  return file;
}

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
