/**
 * Docker's plugin under two real dockerds. Nothing is configured on either: the networks are those of the cluster by their
 * names.
 *
 *     docker1                                            docker2
 *     web, back --- tb-blue --- tv-blue == vxlan == tv-blue --- tb-blue --- peer
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Prefix } from '../../src/base/prefix.ts';
import { parseBook } from '../../src/ipam/book-text.ts';
import { startAgentOn } from '../../src/lab/control.ts';
import { startDaemon } from '../../src/lab/host/daemon.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { agentOf } from '../../src/lab/service/agent.ts';
import { parseAttachments } from '../../src/network/attachment/attachment-record.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { dumpHost, lab, labName, needsLab, programsOf, tracesOf } from '../support/lab.ts';
import { begun } from '../support/link-changes.ts';

const IDLE = ['busybox', 'sleep', '2147483647'];
const BYTES = 1 << 20;
const CREATE = ['network', 'create', '--driver', 'tulle', '--ipam-driver', 'tulle'];
/** Milliseconds after which the plugin gives up a call. */
const LONGEST = 9000;

describe("Docker's plugin", needsLab({ docker: true }), () => {
  const name = labName();
  let one: LabHost;
  let two: LabHost;
  let failed = true;

  before(async () => {
    const flags = ['--docker', '--plugin', '--hosts', '2', '--containers', '0', '--store', 'tulle'];
    const up = await lab(['up', '--name', name, ...flags]);
    assert.equal(up.status, 0, up.stderr);
    assert.match(up.stderr, /docker network create -d tulle --ipam-driver tulle blue\n$/);
    const [first, second] = requireRecord(name).hosts.map(host => new LabHost(host.name, host.anchor));
    assert.ok(first && second);
    [one, two] = [first, second];
  });
  after(async () => {
    if (failed) for (const host of [one, two]) if (host) process.stderr.write(`${await dumpHost(host)}\n`);
    await lab(['down', '--name', name]);
    assert.deepEqual(await tracesOf(name), []);
  });

  const docker = async (host: LabHost, ...args: string[]) => (await host.run('docker', args)).stdout.trim();
  const refused = async (host: LabHost, ...args: string[]) => {
    const { status, stderr } = await host.run('docker', args, { anyStatus: true });
    assert.notEqual(status, 0);
    return stderr;
  };
  const start = (host: LabHost, container: string, network: string, ...args: string[]) =>
    docker(
      host,
      'run',
      '--detach',
      '--init=false',
      '--name',
      container,
      '--network',
      network,
      ...args,
      ...IDLE,
    );
  const exec = (host: LabHost, container: string, ...words: string[]) =>
    docker(host, 'exec', container, ...words);
  const pingOnce = (host: LabHost, from: string, ip: string) =>
    exec(host, from, 'ping', '-c', '1', '-W', '3', ip);
  /** Waits until an echo is answered: what one agent has published, the others hear a moment later. */
  const ping = (host: LabHost, from: string, ip: string) =>
    eventually(`${from} reaches ${ip}`, () => pingOnce(host, from, ip));
  const addressOf = (host: LabHost, container: string, network: string, field = 'IPAddress') =>
    docker(
      host,
      'inspect',
      '--format',
      `{{(index .NetworkSettings.Networks "${network}").${field}}}`,
      container,
    );
  const processesNamed = (host: LabHost, program: RegExp) =>
    programsOf(host).filter(({ words: [word = ''] }) => program.test(word));

  /** What a host has for Docker's containers: links, and addresses that its file holds. */
  const holdings = async (host: LabHost) => {
    const { stdout } = await host.run('ip', ['-oneline', 'link']);
    const directory = host.path('/var/lib/tulle');
    const linesOf = (file: string) => readFileSync(`${directory}/${file}`, 'utf8').split('\n').slice(0, -1);
    const held = readdirSync(directory)
      .filter(file => file.startsWith('addresses-') && file.endsWith('.json'))
      .map(
        file =>
          parseBook(linesOf(file))
            .addresses()
            .filter(({ engine }) => engine === 'docker').length,
      );
    return {
      links: stdout.match(/: t[ve][0-9a-f]{12}@/g)?.length ?? 0,
      addresses: held.reduce((sum, count) => sum + count, 0),
      records: parseAttachments(linesOf('attachments.json')).size,
    };
  };
  const holds = (host: LabHost, containers: number, addresses = containers) =>
    eventually(`${host.name} holds what ${containers} containers have`, async () => {
      const { links, records, addresses: held } = await holdings(host);
      const is = `links ${links} addresses ${held} records ${records}`;
      const want = `links ${containers} addresses ${addresses} records ${containers}`;
      if (is !== want) throw new Error(`${is}, not ${want}`);
      return true;
    });

  test('a network of one name on both is one network: packets and a megabyte both ways', async () => {
    for (const host of [one, two]) await docker(host, ...CREATE, 'blue');
    await start(one, 'web', 'blue');
    await start(two, 'peer', 'blue');
    const [web, peer] = [await addressOf(one, 'web', 'blue'), await addressOf(two, 'peer', 'blue')];
    assert.notEqual(web, peer);
    await ping(one, 'web', peer);
    await ping(two, 'peer', web);
    const serve = 'mkdir /w; head -c 1048576 /dev/urandom > /w/f; httpd -f -p 80 -h /w';
    for (const [host, container] of [
      [one, 'web'],
      [two, 'peer'],
    ] as const) {
      await docker(host, 'exec', '--detach', container, 'sh', '-c', serve);
    }
    for (const [host, container, ip] of [
      [one, 'web', peer],
      [two, 'peer', web],
    ] as const) {
      await eventually(`a megabyte arrives in ${container}`, async () => {
        return (
          Number(await exec(host, container, 'sh', '-c', `wget -q -O - http://${ip}/f | wc -c`)) === BYTES
        );
      });
    }
    // The way out is over this network, and there is no other link.
    assert.match(await exec(one, 'web', 'ip', 'route'), /^default via [\d.]+ dev eth0/m);
    assert.equal((await exec(one, 'web', 'ip', '-o', 'link')).split('\n').length, 2);
  });

  test('the names of containers are learned', async () => {
    await eventually('both names are known', async () => {
      const { stdout } = await one.run(TULLE, ['network', 'inspect', 'blue']);
      return /^web /m.test(stdout) && /^peer /m.test(stdout);
    });
    assert.match((await one.run(TULLE, ['network', 'list'])).stdout, /^blue .* plugin$/m);
  });

  test('subnet, gateway, auxiliary and own addresses are kept, and what cannot be is said', async () => {
    const options = ['--subnet', '10.66.0.0/24', '--gateway', '10.66.0.254', '--aux-address', 'a=10.66.0.7'];
    await docker(one, ...CREATE, ...options, 'red');
    await start(one, 'back', 'red', '--ip', '10.66.0.9');
    assert.equal(await addressOf(one, 'back', 'red'), '10.66.0.9');
    assert.match(await exec(one, 'back', 'ip', 'route'), /default via 10\.66\.0\.254/);
    assert.match(
      await refused(one, 'run', '--rm', '--network', 'red', '--ip', '10.66.0.7', 'busybox', 'true'),
      /10\.66\.0\.7/,
    );
    assert.match(
      await refused(one, 'run', '--rm', '--network', 'red', '--ip', '10.66.0.9', 'busybox', 'true'),
      /10\.66\.0\.9/,
    );
    assert.match(
      await refused(one, ...CREATE, '--opt', 'tulle.netwrk=x', 'no'),
      /tulle\.netwrk.*there are tulle\.network/,
    );
    assert.match(
      await refused(one, 'network', 'create', '--driver', 'tulle', 'no'),
      /--ipam-driver.*has to be tulle/,
    );
    // The other host is told that its network of this name is another one.
    await docker(two, ...CREATE, '--subnet', '10.67.0.0/24', 'red');
    await refused(two, 'run', '--rm', '--network', 'red', 'busybox', 'true');
    await eventually('the status says so', async () => {
      const { stdout } = await two.run(TULLE, ['status'], { anyStatus: true });
      return stdout.includes('DOCKER_NETWORK_UNUSABLE');
    });
    await docker(two, 'network', 'rm', 'red');
  });

  test('an internal network has no way out, IPv6 comes when asked for, and ports are published', async () => {
    await docker(one, ...CREATE, '--internal', 'inner');
    assert.doesNotMatch(
      await docker(one, 'run', '--rm', '--network', 'inner', 'busybox', 'ip', 'route'),
      /default/,
    );
    for (const host of [one, two]) await docker(host, ...CREATE, '--ipv6', 'six');
    await start(one, 'six1', 'six');
    await start(two, 'six2', 'six');
    const field = 'GlobalIPv6Address';
    const [here, there] = [
      await addressOf(one, 'six1', 'six', field),
      await addressOf(two, 'six2', 'six', field),
    ];
    assert.ok(Prefix.parse('fd00::/8').contains(Prefix.parse(`${here}/128`)), here);
    await eventually('IPv6 passes', async () => exec(one, 'six1', 'ping', '-6', '-c', '1', '-W', '1', there));
    // A port of the host leads to a container, from another host and from this one; it goes with the container.
    const serve = 'mkdir /w; echo served > /w/f; httpd -f -p 80 -h /w';
    const run = [
      'run',
      '--detach',
      '--init=false',
      '--name',
      'server',
      '--network',
      'blue',
      '--publish',
      '8080:80',
    ];
    await docker(one, ...run, 'busybox', 'sh', '-c', serve);
    for (const host of [one, two]) {
      await eventually(`port 8080 is served to ${host.name}`, async () => {
        const { stdout } = await host.run('busybox', ['wget', '-q', '-O', '-', 'http://192.168.65.3:8080/f']);
        return stdout.trim() === 'served';
      });
    }
    assert.match(
      await refused(one, 'run', '--rm', '--network', 'blue', '--publish', '8080:80', 'busybox', 'true'),
      /8080/,
    );
    await docker(one, 'rm', '--force', 'server');
    await docker(one, 'rm', '--force', 'six1');
    await docker(two, 'rm', '--force', 'six2');
  });

  test('a running container is connected and disconnected, and started again', async () => {
    await docker(one, 'network', 'connect', '--alias', 'also', 'red', 'web');
    await ping(one, 'web', '10.66.0.9');
    await docker(one, 'restart', '--time', '0', 'web');
    await ping(one, 'web', '10.66.0.9');
    await ping(one, 'web', await addressOf(two, 'peer', 'blue'));
    await docker(one, 'network', 'disconnect', 'red', 'web');
    await ping(one, 'web', await addressOf(two, 'peer', 'blue'));
    // web and back; the auxiliary address is held as well.
    await holds(one, 2, 3);
    await holds(two, 1);
  });

  test('an agent that is killed at any moment of a start loses no call that it had not begun, and leaves nothing', async () => {
    const startAgent = () => startAgentOn(name, 'docker1', [], deadline('the agent starts again', 60_000));
    for (const changes of [1, 4, 7]) {
      const { running } = await begun(one, changes, () =>
        one.run('docker', ['run', '--rm', '--network', 'blue', 'busybox', 'true'], { anyStatus: true }),
      );
      const agent = agentOf(one.anchor);
      assert.ok(agent);
      await endProcess(agent, 0);
      await startAgent();
      // It may fail, and never hangs.
      await within('docker run ends', running, 60_000);
    }
    // While there is no agent, dockerd waits for the next one.
    const agent = agentOf(one.anchor);
    assert.ok(agent);
    await endProcess(agent, 0);
    const waiting = start(one, 'late', 'blue');
    await startAgent();
    await within('the container starts', waiting, 60_000);
    await ping(one, 'late', await addressOf(two, 'peer', 'blue'));
    await docker(one, 'rm', '--force', 'late');
    await holds(one, 2, 3);
  });

  test('a dockerd that is killed and comes back has its containers on their networks, and nothing is left over', async () => {
    await start(two, 'always', 'blue', '--restart', 'always');
    const [dockerd] = processesNamed(two, /dockerd$/);
    assert.ok(dockerd);
    const [program = '', ...args] = dockerd.words;
    for (const { id } of processesNamed(two, /(dockerd|containerd|containerd-shim-runc-v2)$/))
      await endProcess(id, 0);
    rmSync(two.path('/run/docker.pid'), { force: true });
    await startDaemon(two, {
      name: 'dockerd',
      program,
      args,
      accept: log => log.includes('API listen on'),
      patience: 60_000,
      signal: deadline('dockerd starts', 60_000),
    });
    await eventually('the container runs again', async () => {
      return (await docker(two, 'ps', '--format', '{{.Names}}')).includes('always');
    });
    await eventually('it is reached', async () =>
      pingOnce(one, 'web', await addressOf(two, 'always', 'blue')),
    );
    await holds(two, 1);
    await eventually('the other host knows of one container there', async () => {
      const { stdout } = await one.run(TULLE, ['network', 'inspect', 'blue']);
      return /^docker2 .* 1$/m.test(stdout);
    });
  });

  test('no call was given up, and everything goes with its containers', async () => {
    for (const host of [one, two]) {
      const log = readFileSync(host.logFile('agent'), 'utf8').split('\n');
      const long = log.flatMap(line => /"milliseconds":(\d+)/.exec(line)?.[1] ?? []).map(Number);
      assert.ok(
        long.every(milliseconds => milliseconds < LONGEST),
        long.join(' '),
      );
    }
    await docker(one, 'rm', '--force', 'web', 'back');
    await docker(two, 'rm', '--force', 'peer', 'always');
    await docker(one, 'network', 'rm', 'blue', 'red', 'inner', 'six');
    await holds(one, 0);
    await holds(two, 0);
    const { stdout } = await one.run(TULLE, ['status']);
    assert.doesNotMatch(stdout, /DOCKER NETWORK/);
    failed = false;
  });
});
