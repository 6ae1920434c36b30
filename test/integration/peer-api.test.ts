/** Hosts of a lab ask each other, through the agents that a person would run there. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { HostSummary } from '../../src/cli/all-hosts.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { createLab } from '../../src/lab/lab.ts';
import { agentArguments, agentOf } from '../../src/lab/service/agent.ts';
import { planLab } from '../../src/lab/topology/simple.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { labName, needsLab } from '../support/lab.ts';

const LOOK = join(import.meta.dirname, '../support/look-at-hosts.ts');

interface Look {
  readonly name: string;
  readonly via?: string;
  readonly host?: string;
  readonly containers?: readonly string[];
  readonly error?: string;
}

async function threeHosts(t: TestContext) {
  const plan = planLab({ hosts: 3, containers: 1, runtime: 'namespace', store: 'tulle', name: labName() });
  const lab = await createLab(plan, { signal: deadline('a lab is made', 90_000) });
  t.after(() => lab[Symbol.asyncDispose]());
  const hosts = lab.record.hosts.map(({ name, anchor }) => new LabHost(name, anchor));
  return { lab, hosts: hosts as [LabHost, LabHost, LabHost] };
}

async function looksFrom(host: LabHost): Promise<Look[]> {
  const { stdout } = await host.run(process.execPath, [LOOK], { timeout: 90_000 });
  return stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Look)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function summaryFrom(host: LabHost): Promise<HostSummary[]> {
  const asked = ['status', '--all-hosts', '--json'];
  const { stdout } = await host.run(TULLE, asked, { anyStatus: true });
  return (JSON.parse(stdout) as { hosts: HostSummary[] }).hosts;
}

/** A host that is busy may not answer in time, and is then asked through another. */
const untilEqual = <T>(what: string, look: () => Promise<T>, wanted: T) =>
  eventually(
    what,
    async () => {
      assert.deepEqual(await look(), wanted);
      return true;
    },
    90_000,
  );

const iptables = (host: LabHost, ...args: string[]) => host.run('iptables', ['-w', '10', ...args]);

test('hosts of a lab answer each other', needsLab(), async t => {
  const { lab, hosts } = await threeHosts(t);
  const [first, second, third] = hosts;
  const answer = (name: string, via?: string): Look => ({
    name,
    ...(via && { via }),
    host: name,
    containers: ['c1'],
  });

  await t.test('each is looked at by the others', async () => {
    await untilEqual('both are seen', () => looksFrom(first), [answer('docker2'), answer('docker3')]);
    await untilEqual(
      'all is well',
      async () => (await summaryFrom(second)).map(({ host, ok, peers }) => ({ host, ok, peers })),
      ['docker2', 'docker1', 'docker3'].map(host => ({ host, ok: true, peers: { ok: 2, all: 2 } })),
    );
  });

  await t.test('one whose INPUT drops what no rule accepts is reached all the same', async () => {
    const established = ['INPUT', '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'];
    await iptables(second, '-A', ...established);
    await iptables(second, '-P', 'INPUT', 'DROP');
    try {
      await eventually('its agent has let peers in', async () => {
        const { stdout } = await iptables(second, '-S', 'INPUT');
        return stdout.includes('TULLE-API');
      });
      await untilEqual('both are seen', () => looksFrom(first), [answer('docker2'), answer('docker3')]);
    } finally {
      await iptables(second, '-P', 'INPUT', 'ACCEPT');
      await iptables(second, '-D', ...established);
    }
  });

  await t.test('one that is not reached from here alone is asked through the third', async () => {
    const lost = ['INPUT', '-s', '192.168.65.4', '-p', 'tcp', '-j', 'DROP'];
    await iptables(first, '-I', ...lost);
    try {
      await untilEqual('it is seen', () => looksFrom(first), [
        answer('docker2', 'docker3'),
        answer('docker3'),
      ]);
      await untilEqual(
        'it is asked',
        async () => (await summaryFrom(first)).map(({ host, via }) => ({ host, via })),
        [
          { host: 'docker1', via: undefined },
          { host: 'docker2', via: 'docker3' },
          { host: 'docker3', via: undefined },
        ],
      );
    } finally {
      await iptables(first, '-D', ...lost);
    }
  });

  await t.test('one without an agent is named, and answers again with its next agent', async () => {
    const agent = agentOf(third.anchor);
    assert.ok(agent !== undefined);
    await endProcess(agent);
    const stopped: Look = { name: 'docker3', error: 'NOT_LISTENING' };
    await untilEqual('it is named', () => looksFrom(first), [answer('docker2'), stopped]);
    const why = async () => {
      const { ok, reason } = (await summaryFrom(first)).find(({ host }) => host === 'docker3') ?? {};
      return { ok, message: reason?.message };
    };
    const message = 'docker3 at 192.168.65.5 port 8473 refuses connections';
    await untilEqual('the reason is said', why, { ok: false, message });

    const { etcdEndpoint, etcdPrefix } = lab.record;
    await third.start(TULLE, agentArguments({ etcdPrefix, ...(etcdEndpoint && { etcdEndpoint }) }), 'agent');
    await eventually('it answers again', async () => (await looksFrom(first))[1]?.host === 'docker3');
  });
});
