/**
 * Names over two hosts, asked for with the programs that people use, from containers that are namespaces:
 *
 *     docker1                                    docker2
 *     web1 --- tb-blue --- tv-blue == tv-blue --- tb-blue --- web2
 *     (dnsmasq on 127.0.0.53: what docker1 asks itself)
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { hasProgram, requires } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { dumpHost, lab, labName, needsLab, programsOf } from '../support/lab.ts';

const RESOLVER = '169.254.53.53';
const needs = needsLab();
const programs = requires(['dig', 'dnsmasq', 'busybox'].every(hasProgram), 'dig, dnsmasq and busybox');

describe('names of containers on two hosts', needs.skip === false ? programs : needs, () => {
  const name = labName();
  let one: LabHost;
  let two: LabHost;
  let isBroken = true;

  const tulle = async (host: LabHost, ...args: string[]) => (await host.run(TULLE, args)).stdout;
  const inside = async (host: LabHost, container: string, ...words: string[]) =>
    (await host.run('ip', ['netns', 'exec', container, ...words], { anyStatus: true, timeout: 60_000 }))
      .stdout;
  const dig = async (host: LabHost, container: string, ...words: string[]) =>
    (await inside(host, container, 'dig', '+time=15', '+tries=1', ...words)).trim();
  /** Addresses of a name as the server says, sorted. */
  const lookup = async (host: LabHost, container: string, asked: string, server = RESOLVER) =>
    (await dig(host, container, '+short', `@${server}`, asked)).split('\n').sort().join(' ');

  /** A container that asks the resolver, on the network blue. */
  async function connect(host: LabHost, container: string): Promise<void> {
    mkdirSync(host.path(`/etc/netns/${container}`), { recursive: true });
    writeFileSync(
      host.path(`/etc/netns/${container}/resolv.conf`),
      `search blue.tulle example.com\nnameserver ${RESOLVER}\noptions timeout:15\n`,
    );
    await host.run('ip', ['netns', 'add', container]);
    await host.run('ip', ['-n', container, 'link', 'set', 'lo', 'up']);
    await tulle(host, 'network', 'connect', 'blue', container);
  }

  before(async () => {
    const up = await lab(['up', '--name', name, '--hosts', '2', '--containers', '0', '--family', 'dual']);
    assert.equal(up.status, 0, up.stderr);
    const [first, second] = requireRecord(name).hosts.map(host => new LabHost(host.name, host.anchor));
    assert.ok(first && second);
    [one, two] = [first, second];
    writeFileSync(one.path('/etc/resolv.conf'), 'nameserver 127.0.0.53\n');
    const answers = ['--address=/example.com/192.0.2.99', '--address=/big.example.org/192.0.2.98'];
    const quiet = ['--no-resolv', '--no-hosts', '--user=root', '--pid-file=', '--conf-file=/dev/null'];
    const records = Array.from(
      { length: 40 },
      (_, at) => `--txt-record=long.example.net,${`${at}`.padStart(60, 'x')}`,
    );
    await one.run('dnsmasq', [
      ...quiet,
      '--listen-address=127.0.0.53',
      '--bind-interfaces',
      ...answers,
      ...records,
    ]);
    await tulle(one, 'network', 'create', 'blue', '--subnet', '10.9.0.0/16', '--subnet', 'fd00:9::/64');
    for (const [host, container] of [
      [one, 'web1'],
      [two, 'web2'],
    ] as const) {
      await eventually('the network is there', async () =>
        (await tulle(host, 'network', 'list')).includes('blue'),
      );
      await eventually(`${container} is connected`, async () => {
        await connect(host, container).catch(async (error: unknown) => {
          await host.run('ip', ['netns', 'delete', container], { anyStatus: true });
          throw error;
        });
        return true;
      });
    }
    await eventually('both names are known on both hosts', async () => {
      const known = await Promise.all([one, two].map(host => tulle(host, 'names', '--json')));
      return known.every(text => text.includes('"web1"') && text.includes('"web2"'));
    });
  });
  after(async () => {
    if (isBroken)
      for (const host of [one, two])
        if (host !== undefined) process.stderr.write(`${await dumpHost(host)}\n`);
    await lab(['down', '--name', name]);
  });

  test('resolve with dig, nslookup and getent, forth and back', async () => {
    assert.equal(await lookup(one, 'web1', 'web2'), '10.9.2.1');
    assert.equal(await lookup(two, 'web2', 'WEB1.Blue.TULLE'), '10.9.1.1');
    assert.match(await dig(one, 'web1', '+short', `@${RESOLVER}`, 'web2', 'AAAA'), /^fd00:9::[\da-f:]+$/);
    assert.equal(await dig(one, 'web1', '+short', '-x', '10.9.2.1'), 'web2.blue.tulle.');
    assert.equal(await dig(one, 'web1', '+short', '+tcp', '@10.9.0.1', 'web2'), '10.9.2.1');
    assert.match(await inside(one, 'web1', 'getent', 'ahostsv4', 'web2'), /^10\.9\.2\.1 /);
    assert.match(await inside(one, 'web1', 'getent', 'hosts', '10.9.2.1'), /web2\.blue\.tulle/);
    assert.match(
      await inside(two, 'web2', 'busybox', 'nslookup', 'web1.blue.tulle'),
      /Address: +10\.9\.1\.1/,
    );
    assert.match(await inside(two, 'web2', 'getent', 'ahostsv6', 'web1'), /^fd00:9::/);
    assert.match(await inside(one, 'web1', 'ping', '-c', '1', '-W', '5', 'web2'), /0% packet loss/);
  });

  test('say that there is nothing, in a way that resolvers keep for a moment', async () => {
    const gone = await dig(one, 'web1', `@${RESOLVER}`, 'nobody.blue.tulle');
    assert.match(gone, /status: NXDOMAIN[^]*tulle\.\t+5\tIN\tSOA/);
    const other = await dig(one, 'web1', `@${RESOLVER}`, 'web2', 'MX');
    assert.match(other, /status: NOERROR[^]*ANSWER: 0[^]*SOA/);
  });

  test('lead questions to any server here, and ask the servers of the host for all else', async () => {
    assert.equal(await lookup(one, 'web1', 'web2', '192.0.2.53'), '10.9.2.1');
    assert.equal(await dig(one, 'web1', '+short', '+tcp', '@192.0.2.53', 'web2'), '10.9.2.1');
    assert.equal(await lookup(one, 'web1', 'www.example.com'), '192.0.2.99');
    assert.match(await inside(one, 'web1', 'getent', 'ahostsv4', 'www'), /^192\.0\.2\.99 /);
    const small = await dig(
      one,
      'web1',
      '+notcp',
      '+ignore',
      '+noedns',
      `@${RESOLVER}`,
      'long.example.net',
      'TXT',
    );
    assert.match(small, /flags: qr[a-z ]* tc/);
    const whole = await dig(one, 'web1', `@${RESOLVER}`, 'long.example.net', 'TXT');
    assert.match(whole, /ANSWER: 40[^]*\(TCP\)/);
  });

  test('are told to nobody outside of networks', async () => {
    // A machine on the underlay that is no host of the cluster, and has routes to the addresses of docker1.
    await two.run('ip', ['netns', 'add', 'stranger']);
    await two.run('ip', ['link', 'add', 'mv0', 'link', 'eth0', 'type', 'macvlan', 'mode', 'bridge']);
    await two.run('ip', ['link', 'set', 'mv0', 'netns', 'stranger', 'name', 'eth0']);
    await inside(two, 'stranger', 'ip', 'address', 'add', '192.168.65.77/24', 'dev', 'eth0');
    await inside(two, 'stranger', 'ip', 'link', 'set', 'eth0', 'up');
    await inside(two, 'stranger', 'ip', 'route', 'add', 'default', 'via', '192.168.65.3');
    await eventually('the stranger reaches the gateway address', async () =>
      (await inside(two, 'stranger', 'ping', '-c', '1', '-W', '1', '10.9.0.1')).includes(' 0% packet loss'),
    );
    const servers = ['10.9.0.1', RESOLVER, '192.168.65.3'];
    const asked = servers.flatMap(server => [[`@${server}`], ['+tcp', `@${server}`]]);
    const answers = await Promise.all(
      asked.map(how => dig(two, 'stranger', '+time=1', ...how, 'web1.blue.tulle')),
    );
    for (const answer of answers) assert.ok(!answer.includes('status:'), answer);
    await two.run('ip', ['netns', 'delete', 'stranger']);
    const { stdout: sockets } = await one.run('ss', ['-Hlntu', 'sport = 53']);
    const bound = Array.from(sockets.matchAll(/(\S+):53\s/g), ([, address = '']) => address);
    const isBound = (address: string) => address.includes('%') || address === '127.0.0.53';
    assert.ok(bound.length >= 8 && bound.every(isBound), sockets);
  });

  test('stay known while the store is away, also to an agent that was killed meanwhile', async () => {
    // What an agent has just heard it writes down within seconds; without the store the next one knows no more than that.
    await eventually('it is written down where the name is', async () => {
      const { stdout } = await two.run('sh', ['-c', 'cat /var/lib/tulle/known-*.json']);
      return stdout.includes('names/blue/10.9.1.1');
    });
    const [store] = programsOf(one).filter(({ words }) => words.includes('store'));
    assert.ok(store);
    await endProcess(store.id);
    assert.equal(await lookup(two, 'web2', 'web1'), '10.9.1.1');
    const [agent] = programsOf(two).filter(({ words }) => words.includes('agent'));
    assert.ok(agent);
    await endProcess(agent.id, 0);
    const started = await lab(['agent', 'start', '--name', name, two.name]);
    assert.equal(started.status, 0, started.stderr);
    await eventually(
      'the restarted agent answers',
      async () => (await lookup(two, 'web2', 'web1')) === '10.9.1.1',
    );
    await lab(['restart', '--name', name, one.name]);
  });

  test('are gone when the container is gone, and the resolver with all of it when it is turned off', async () => {
    await eventually(
      'web1 is forgotten',
      async () => !(await tulle(two, 'names', '--json')).includes('"web1"'),
    );
    await lab(['agent', 'stop', '--name', name, two.name]);
    await lab(['agent', 'start', '--name', name, two.name, '--', '--dns=off']);
    await eventually('nothing of it is left', async () => {
      const { stdout: address } = await two.run('ip', ['-4', 'address', 'show', 'dev', 'lo']);
      const { stdout: rules } = await two.run('nft', ['list', 'ruleset']);
      return !address.includes(RESOLVER) && !rules.includes('tulle-dns');
    });
    const { stdout: sockets } = await two.run('ss', ['-Hlntu', 'sport = 53']);
    assert.equal(sockets, '');
    isBroken = false;
  });
});
