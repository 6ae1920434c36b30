/**
 * An L2 network as a Docker network of two real dockerds: containers of both hosts in one subnet, with addresses that
 * each Docker gives out by itself.
 *
 *     docker1                            docker2
 *     c11 c12 --- tb-blue --- tv-blue == tv-blue --- tb-blue --- c21 c22
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { eventually } from '../support/eventually.ts';
import { dumpHost, lab, labName, needsLab } from '../support/lab.ts';

const IDLE = ['sleep', '2147483647'];
/** A megabyte of the busybox in every container is read from a web server in another one. */
const BYTES = 1 << 20;

describe('an L2 network with --docker', needsLab({ docker: true }), () => {
  const name = labName();
  let one: LabHost;
  let two: LabHost;
  let isBroken = true;

  before(async () => {
    const up = await lab([
      'up',
      '--name',
      name,
      '--docker',
      '--hosts',
      '2',
      '--containers',
      '0',
      '--store',
      'tulle',
    ]);
    assert.equal(up.status, 0, up.stderr);
    const [first, second] = requireRecord(name).hosts.map(host => new LabHost(host.name, host.anchor));
    assert.ok(first && second);
    [one, two] = [first, second];
  });
  after(async () => {
    if (isBroken)
      for (const host of [one, two])
        if (host !== undefined) process.stderr.write(`${await dumpHost(host)}\n`);
    await lab(['down', '--name', name]);
  });

  const tulle = async (host: LabHost, ...args: string[]) => (await host.run(TULLE, args)).stdout;
  const docker = async (host: LabHost, ...args: string[]) => (await host.run('docker', args)).stdout.trim();
  const hasNetwork = async (host: LabHost) =>
    (await docker(host, 'network', 'ls', '--format', '{{.Name}}')).includes('blue');
  /** Waits until an echo is answered: what one agent has published, the others hear a moment later. */
  const reaches = (host: LabHost, container: string, ip: string) =>
    eventually(`${container} reaches ${ip}`, () =>
      docker(host, 'exec', container, 'ping', '-c', '1', '-W', '3', ip),
    );
  const start = async (host: LabHost, container: string, ...args: string[]) => {
    const common = ['--detach', '--init=false', '--network', 'blue', '--name', container, ...args];
    await docker(host, 'run', ...common, 'busybox', ...IDLE);
    return docker(host, 'inspect', '--format', '{{.NetworkSettings.Networks.blue.IPAddress}}', container);
  };

  test('appears in each Docker, with half of the range of its host', async () => {
    await tulle(one, 'network', 'create', 'blue', '--subnet', '10.9.0.0/16', '--docker');
    for (const host of [one, two]) {
      await eventually(`Docker of ${host.name} has the network`, () => hasNetwork(host));
    }
    const ranges = await Promise.all(
      [one, two].map(host =>
        docker(host, 'network', 'inspect', '--format', '{{(index .IPAM.Config 0).IPRange}}', 'blue'),
      ),
    );
    // A host that loses the race for the first free range takes one at random.
    for (const range of ranges) assert.match(range, /^10\.9\.\d+\.128\/25$/);
    assert.equal(new Set(ranges).size, 2);
  });

  test('containers of both have different addresses, and reach each other with packets of every size', async () => {
    const containers: { host: LabHost; name: string; ip: string }[] = [];
    for (const [host, prefix] of [
      [one, 'c1'],
      [two, 'c2'],
    ] as const) {
      for (const container of [`${prefix}1`, `${prefix}2`]) {
        containers.push({ host, name: container, ip: await start(host, container) });
      }
    }
    const ips = containers.map(({ ip }) => ip);
    assert.equal(new Set(ips).size, 4, ips.join(' '));
    for (const from of containers) {
      for (const { ip } of containers) {
        await reaches(from.host, from.name, ip);
      }
    }
    // 1400 bytes of ICMP and 28 of headers, in one piece.
    const netns = await docker(one, 'inspect', '--format', '{{.NetworkSettings.SandboxKey}}', 'c11');
    await one.run('nsenter', [
      `--net=${netns}`,
      'ping',
      '-n',
      '-c',
      '1',
      '-W',
      '10',
      '-M',
      'do',
      '-s',
      '1400',
      ips[3] ?? '',
    ]);

    await docker(
      two,
      'exec',
      '--detach',
      'c21',
      'sh',
      '-c',
      'mkdir /w; head -c 1048576 /dev/urandom > /w/f; httpd -f -p 80 -h /w',
    );
    await eventually('a megabyte arrives', async () => {
      const size = await docker(one, 'exec', 'c11', 'sh', '-c', `wget -q -O - http://${ips[2]}/f | wc -c`);
      return Number(size) === BYTES;
    });
  });

  test('the containers are shown by name', async () => {
    await eventually('each is shown', async () => {
      const shown = await tulle(two, 'network', 'inspect', 'blue');
      return ['c11', 'c12', 'c21', 'c22'].every(container => shown.includes(`${container} `));
    });
  });

  test('an address that another host gave out is refused in spite of Docker: reported, not published', async () => {
    const ip = await docker(
      two,
      'inspect',
      '--format',
      '{{.NetworkSettings.Networks.blue.IPAddress}}',
      'c21',
    );
    await start(one, 'thief', '--ip', ip);
    await eventually('the duplicate is reported', async () =>
      (await tulle(one, 'status').catch(error => String(error))).includes('c21 on docker2'),
    );
    await reaches(one, 'c11', ip);
    await docker(one, 'rm', '--force', 'thief');
  });

  test('comes back after dockerd was started again, and stays that of another when it is foreign', async () => {
    await docker(two, 'rm', '--force', 'c21', 'c22');
    await docker(two, 'network', 'rm', 'blue');
    await eventually('it is made again', () => hasNetwork(two));

    const restarted = await lab(['docker', 'restart', 'docker2', '--name', name]);
    assert.equal(restarted.status, 0, restarted.stderr);
    await docker(two, 'network', 'rm', 'blue');
    await eventually('the new daemon is followed', () => hasNetwork(two));
    const ip = await start(two, 'c23');
    await reaches(one, 'c11', ip);
    await eventually('its container is shown', async () =>
      (await tulle(one, 'network', 'inspect', 'blue')).includes('c23 '),
    );
    await docker(two, 'rm', '--force', 'c23');

    await tulle(one, 'network', 'create', 'red', '--subnet', '10.10.0.0/16');
    await docker(two, 'network', 'create', 'green');
    await tulle(one, 'network', 'create', 'green', '--subnet', '10.11.0.0/16', '--docker');
    await eventually('the foreign one is named', async () =>
      (await two.run(TULLE, ['status'], { anyStatus: true })).stdout.includes('the Docker network green'),
    );
    assert.equal((await docker(two, 'network', 'ls', '--format', '{{.Name}}')).includes('red'), false);
  });

  test('goes when it is deleted, which is refused while containers are on it', async () => {
    const refused = await one.run(TULLE, ['network', 'delete', 'blue'], { anyStatus: true });
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, /c11 on docker1/);
    await docker(one, 'rm', '--force', 'c11', 'c12');
    await eventually('it can be deleted', async () => {
      await tulle(one, 'network', 'delete', 'blue');
      return true;
    });
    for (const host of [one, two]) {
      await eventually(`it is gone from Docker of ${host.name}`, async () => !(await hasNetwork(host)));
      await eventually(
        `its links are gone from ${host.name}`,
        async () => !(await host.run('ip', ['-br', 'link'])).stdout.includes('blue'),
      );
    }
    isBroken = false;
  });
});
