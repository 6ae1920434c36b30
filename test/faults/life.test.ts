/**
 * How an agent's process ends: when it is asked to, and when it meets an unexpected error.
 *
 * 20 stops of each kind in `npm test`; TULLE_STOP_ROUNDS sets another number.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT } from '../../src/console/exit-codes.ts';
import type { Exit, RunningProcess } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Cluster, CONFIG } from '../support/cluster.ts';
import type { ClusterHost } from '../support/cluster-host.ts';
import { needsEtcd } from '../support/etcd.ts';
import { eventually, within } from '../support/eventually.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;
const ROUNDS = Number(process.env['TULLE_STOP_ROUNDS'] ?? 20);
/** The moments of a start at which it is asked to stop, in milliseconds after it. */
const FIRST = 100;
const LAST = 1_200;
/** Milliseconds in which a process must have ended. */
const PATIENCE = 60_000;

const ended = (agent: RunningProcess, what: string): Promise<Exit> =>
  within(`the agent ends after ${what}`, agent.exited, PATIENCE);

/** Starts an agent that knows nothing and stops it, at a different moment each time. */
async function stopAtEveryMoment(host: ClusterHost, onRound: () => Promise<void>): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    rmSync(host.stateDirectory, { recursive: true, force: true });
    rmSync(host.subnetFile, { force: true });
    const moment = FIRST + ((LAST - FIRST) * round) / ROUNDS;
    const agent = await host.launchAgent();
    await sleep(moment);
    agent.kill('SIGTERM');
    const exit = await ended(agent, `SIGTERM ${moment} ms after its start`);
    // Before the program listens, the signal itself ends it.
    assert.ok(exit.status === 0 || exit.signal === 'SIGTERM', `${JSON.stringify(exit)}: ${host.log()}`);
    await onRound();
  }
}

describe('an agent that is asked to stop ends, at every moment of its start', needs, () => {
  test('with a fresh state directory (G1)', async t => {
    const cluster = await Cluster.start(t, { hosts: 1 });
    await stopAtEveryMoment(cluster.host(1), async () => {
      for (const key of await cluster.leaseKeys()) await cluster.deleteLease(key);
    });
  });

  test('while there is no subnet left (G1)', async t => {
    const config = { ...CONFIG, SubnetMin: '10.77.9.0', SubnetMax: '10.77.9.0' };
    const cluster = await Cluster.start(t, { hosts: 1, config });
    await cluster.putLease('10.77.9.0-24', {
      PublicIP: '192.168.65.200',
      BackendType: 'vxlan',
      BackendData: { VNI: 88, VtepMAC: '02:00:00:00:00:09' },
    });
    await stopAtEveryMoment(cluster.host(1), async () => undefined);
  });
});

/** Makes the program fail unexpectedly on SIGUSR2. */
const PLANTED = {
  exception: `throw new TypeError('a planted defect')`,
  rejection: `Promise.reject(new TypeError('a planted defect'))`,
};

function planting(code: string): string {
  const module = `import p from 'node:process'; p.on('SIGUSR2', () => { ${code} });`;
  return `--import=data:text/javascript,${encodeURIComponent(module)}`;
}

describe('an agent that meets an unexpected error', needs, () => {
  for (const [kind, code] of Object.entries(PLANTED)) {
    test(`ends with a report of the ${kind}, and the next one loses no packet (G4)`, async t => {
      const { host, pinging } = await hostWithTraffic(t, planting(code));
      const before = await host.client.status();
      const agent = host.agent;
      agent.kill('SIGUSR2');
      assert.deepEqual(await ended(agent, 'a planted defect'), { status: EXIT.internal.status });
      const report = host.log().slice(host.log().indexOf('tulle: error:'));
      assert.match(report, /^tulle: error: internal error: a planted defect\n {4}at /);
      assert.match(report, /\n {2}tulle \d.*, Node\.js \d.*\nhint: this is a defect in Tulle; report it/);

      // As the service manager does.
      await host.startAgent();
      const after = await host.untilConnected(1);
      assert.deepEqual(await pinging, { sent: 300, received: 300 });
      assert.equal(after.dataplane.writes, 0);
      assert.equal(after.lease?.key, before.lease?.key);
    });
  }
});

async function hostWithTraffic(t: TestContext, nodeOptions: string) {
  const cluster = await Cluster.start(t);
  const [one, two] = [cluster.host(1), cluster.host(2)];
  await one.launchAgent({ nodeOptions });
  await two.startAgent();
  await eventually('both are connected', async () => {
    const statuses = await Promise.all([one.client.status(), two.client.status()]);
    return statuses.every(({ agent, peers }) => agent.ready && peers.length === 1);
  });
  const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
  await from.ping(to);
  await one.untilAtLinks(1);
  return { host: one, pinging: from.ping(to, { count: 300 }) };
}
