/** One host of a lab boots again, and its daemons are stopped and started: the others go on, and the lab's record is right. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { type HostRecord, requireRecord } from '../../src/lab/record/record.ts';
import type { PingReport } from '../../src/lab/traffic/ping.ts';
import { endProcess, isAlive } from '../../src/sys/pidfd.ts';
import { start } from '../../src/sys/process.ts';
import { eventually, within } from '../support/eventually.ts';
import { agentOf, lab, labName, needsLab, programsOf, survivors, tracesOf } from '../support/lab.ts';

describe('a host of a lab', needsLab(), () => {
  const name = labName();
  const named = ['--name', name];
  const on = (target: string, ...words: string[]) => lab(['exec', ...named, target, '--', ...words]);
  const recordOf = (host: string): HostRecord =>
    requireRecord(name).hosts.find(each => each.name === host) ?? assert.fail(`no host ${host}`);
  const hostOf = (host: string) => new LabHost(host, recordOf(host).anchor);
  const agents = (host: string) => programsOf(hostOf(host)).filter(({ words }) => words.includes('agent'));
  /** Peers learn of a new host a moment later. */
  const untilAllReach = () =>
    eventually('every packet arrives', async () => {
      const { stdout } = await lab(['ping', ...named, '--json']);
      const { sent, lost } = JSON.parse(stdout) as PingReport;
      assert.deepEqual({ sent, lost }, { sent: 36, lost: 0 });
      return true;
    });

  before(async () => {
    const { status, stderr } = await lab(['up', ...named, '--hosts', '2', '--containers', '2']);
    assert.equal(status, 0, stderr);
  });
  after(async () => {
    await lab(['down', ...named]);
    assert.deepEqual(await tracesOf(name), []);
  });

  test('boots again: what ran has ended, its disk has stayed, and all reach each other', async () => {
    const former = recordOf('docker2');
    const [other, programs] = [recordOf('docker1').anchor, programsOf(hostOf('docker2'))];
    assert.ok(programs.length >= 2);
    const script = 'touch /etc/on-disk /var/lib/on-disk /run/in-memory; ip link add extra type bridge';
    assert.equal((await on('docker2', 'sh', '-c', script)).status, 0);
    const id = (await on('docker2', 'cat', '/etc/machine-id')).stdout;

    const { status, stdout, stderr } = await lab(['restart', ...named, 'docker2', '--json']);
    assert.equal(status, 0, stderr);
    const shown = JSON.parse(stdout) as { name: string; state: string; subnets: object };
    assert.deepEqual(
      [shown.name, shown.state, shown.subnets],
      ['docker2', 'up', former.subnet],
      'it has the lease that it had',
    );
    assert.deepEqual(await survivors(programs), []);
    assert.ok(isAlive(other));
    const record = recordOf('docker2');
    assert.notDeepEqual(record.anchor, former.anchor);
    assert.deepEqual({ ...record, anchor: former.anchor }, former);

    assert.equal((await on('docker2', 'ls', '/etc/on-disk', '/var/lib/on-disk')).status, 0);
    assert.notEqual((await on('docker2', 'ls', '/run/in-memory')).status, 0);
    assert.notEqual((await on('docker2', 'ip', 'link', 'show', 'extra')).status, 0);
    assert.equal((await on('docker2', 'cat', '/etc/machine-id')).stdout, id);
    assert.equal((await on('docker2', 'hostname')).stdout, 'docker2\n');
    await untilAllReach();
  });

  test('with the store boots again: the network is as it was', async () => {
    const { status, stderr } = await lab(['restart', ...named, 'docker1']);
    assert.equal(status, 0, stderr);
    const leases = await on('docker1', 'tulle', 'lease', 'list', '--json');
    assert.equal((JSON.parse(leases.stdout) as { leases: unknown[] }).leases.length, 2, leases.stdout);
    await untilAllReach();
  });

  test('is down when its restart is killed, and up after the next one', async t => {
    const { anchor } = recordOf('docker2');
    // With neither a store that answers nor what it said last the agent waits, and the restart for the agent.
    await on('docker2', 'sh', '-c', 'rm /var/lib/tulle/known-*.json');
    const [store] = programsOf(hostOf('docker1')).filter(({ words }) => words.includes('store'));
    assert.ok(store);
    process.kill(store.id.pid, 'SIGSTOP');
    t.after(() => process.kill(store.id.pid, 'SIGCONT'));
    const restart = await start(TULLE, ['lab', 'restart', ...named, 'docker2']);
    await eventually('the host goes down', async () => !isAlive(anchor));
    restart.kill('SIGKILL');
    await within('the restart ends', restart.exited);
    const { hosts } = JSON.parse(
      await eventually('it is down', async () => {
        const [text, state] = await stateOf('docker2');
        return state === 'down' && text;
      }),
    ) as { hosts: { name: string }[] };
    assert.deepEqual(
      hosts.map(host => host.name),
      ['docker1', 'docker2'],
    );
    assert.match((await lab(['list'])).stdout, new RegExp(`^${name} +2 \\(1 down\\) `, 'm'));
    const exec = await on('docker2', 'true');
    assert.equal(exec.status, 1);
    assert.match(exec.stderr, /host docker2 is down.*\nhint: .*tulle lab restart --name .* docker2/);
    assert.equal((await on('docker1', 'true')).status, 0);
    const ping = await lab(['ping', ...named, '--count', '1']);
    assert.equal(ping.status, 3);

    process.kill(store.id.pid, 'SIGCONT');
    assert.equal((await lab(['restart', ...named, 'docker2'])).status, 0);
    await untilAllReach();
  });

  test('keeps its containers connected while its agent is stopped', async () => {
    await agentOf(hostOf('docker1'));
    const stop = await lab(['agent', 'stop', ...named, 'docker1', '--json']);
    assert.deepEqual(JSON.parse(stop.stdout), { host: 'docker1', existed: true });
    // A program that an agent is starting looks like the agent for a moment.
    await eventually('no agent runs', async () => agents('docker1').length === 0);
    await untilAllReach();
    const again = await lab(['agent', 'stop', ...named, 'docker1']);
    assert.deepEqual([again.status, again.stdout], [0, 'no agent runs on docker1\n']);

    const { ipv4 = '' } = recordOf('docker1').subnet;
    const started = await lab(['agent', 'start', ...named, 'docker1', '--iptables-resync=7']);
    assert.deepEqual([started.status, started.stdout], [0, `the agent of docker1 has ${ipv4}\n`]);
    assert.ok(agents('docker1')[0]?.words.includes('--iptables-resync=7'));
    const second = await lab(['agent', 'start', ...named, 'docker1']);
    assert.deepEqual([second.status, second.stdout], [0, 'an agent runs on docker1 already\n']);
    await agentOf(hostOf('docker1'));
    await untilAllReach();
  });

  test('shows its frames', async () => {
    const capturing = lab(['capture', ...named, 'docker1', 'eth0', '--filter', 'inner icmp', '--count', '2']);
    const ping = ['ping', '-n', '-c', '1', '-W', '1', recordOf('docker2').containers[0]?.ip.ipv4 ?? ''];
    let done = false;
    const captured = capturing.finally(() => (done = true));
    await eventually('two frames are shown', async () => {
      await on('docker1/c1', ...ping);
      return done;
    });
    const { status, stdout, stderr } = await captured;
    assert.equal(status, 0, stderr);
    assert.match(stdout, /vni 88.*ICMP/i);
  });

  test('that there is none is said with what there is', async () => {
    for (const command of [['restart'], ['agent', 'stop'], ['agent', 'start'], ['docker', 'restart']]) {
      const { status, stderr } = await lab([...command, ...named, 'docker7']);
      assert.equal(status, 7);
      assert.match(stderr, /has no host docker7\nhint: its hosts are docker1, docker2\n/);
    }
    const { status, stderr } = await lab(['docker', 'restart', ...named, 'docker1']);
    assert.equal(status, 7);
    assert.match(stderr, /host docker1 has no dockerd\nhint: /);
  });

  test('that boots again ends with its lab', async () => {
    const programs = programsOf(hostOf('docker2'));
    await endProcess(requireRecord(name).keeper, 0);
    assert.deepEqual(await survivors(programs), []);
  });

  async function stateOf(host: string): Promise<[string, string | undefined]> {
    const { stdout } = await lab(['list', '--json']);
    const labs = JSON.parse(stdout) as { name: string; hosts: { name: string; state: string }[] }[];
    const found = labs.find(each => each.name === name);
    return [JSON.stringify(found), found?.hosts.find(each => each.name === host)?.state];
  }
});
