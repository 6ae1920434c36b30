/** The backend udp in a lab: what outlives the agent and the forwarder, and what is left after a cleanup. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { findRecord } from '../../src/lab/record/record.ts';
import { agentArguments } from '../../src/lab/service/agent.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lostEchoes } from '../support/echoes.ts';
import { eventually, within } from '../support/eventually.ts';
import { agentOf, lab, labName } from '../support/lab.ts';

/** Its index and name. */
const DEVICE = 'ip -o link show flannel0 2>/dev/null | cut -d: -f1,2';

describe('a network over udp', needsRoot, () => {
  const name = labName();
  let host: LabHost;
  let target = '';

  before(async () => {
    const up = await lab([
      'up',
      '--name',
      name,
      '--hosts',
      '2',
      '--backend-config',
      '{"Type":"udp"}',
      '--json',
    ]);
    assert.equal(up.status, 0, up.stderr);
    const [first, second] = findRecord(name)?.hosts ?? [];
    assert.ok(first !== undefined && second !== undefined);
    host = new LabHost(first.name, first.anchor);
    target = second.containers[0]?.ip.ipv4 ?? '';
  });

  after(() => lab(['down', '--name', name]));

  const sh = async (script: string) => (await host.run('sh', ['-c', script])).stdout.trim();
  /** Process id of the agent or the forwarder: the oldest, as what one is about to start has its words for a moment. */
  const pidOf = (command: 'agent' | 'forwarder') => sh(`pgrep -o -f '[m]ain.ts ${command} '`);
  const status = async () => JSON.parse(await sh(`${TULLE} status --json`)) as { agent: { state: string } };

  /** Pings through `act`, and returns how many of the packets were lost. */
  async function lostDuring(act: () => Promise<void>): Promise<number> {
    const lost = lostEchoes({ from: host.netnsFile, to: target, count: 150, interval: 20 });
    await act();
    return await within('the pings end', lost, 60_000);
  }

  test('the containers reach each other', async () => {
    const { stdout } = await lab(['ping', '--name', name, '--json']);
    assert.equal((JSON.parse(stdout) as { lost: number }).lost, 0, stdout);
    const shown = await sh(`${TULLE} status --peer docker2`);
    assert.match(shown, /^traffic +sent [1-9][\d,]* packets? \(.*received [1-9][\d,]* packets? \(/m);
  });

  test('no packet is lost while the agent is killed, and the next one adopts the forwarder', async () => {
    const forwarder = await pidOf('forwarder');
    const agent = await agentOf(host);
    const lost = await lostDuring(async () => {
      // One that has not ended yet keeps the next one from its socket.
      await endProcess(agent.id, 0);

      const record = findRecord(name);
      assert.ok(record !== undefined);
      await host.start(TULLE, agentArguments(record), 'agent');
      await eventually('the agent is ready again', async () => (await status()).agent.state === 'ready');
    });
    assert.equal(lost, 0);
    assert.equal(await pidOf('forwarder'), forwarder);
  });

  test('a forwarder that is killed is started again with its routes, on the device that stayed', async () => {
    const [device, before] = [await sh(DEVICE), await pidOf('forwarder')];
    await sh(`kill -9 ${before}`);
    await eventually('another forwarder runs', async () => {
      const now = await pidOf('forwarder');
      return now !== '' && now !== before;
    });
    await eventually('packets arrive again', async () =>
      (await sh(`ping -q -c1 -W1 ${target}`)).includes(' 0% '),
    );
    assert.equal(await sh(DEVICE), device);
    await eventually('the event is there', async () =>
      (await sh(`${TULLE} events`)).includes('the forwarder has ended and was started again'),
    );
  });

  test('a device that is renamed gets its name back, also when no agent saw it', async () => {
    const [device, forwarder] = [await sh(DEVICE), await pidOf('forwarder')];
    const rename = 'ip link set flannel0 down && ip link set flannel0 name tt0 && ip link set tt0 up';
    const works = async () => (await sh(`ping -q -c1 -W1 ${target}`)).includes(' 0% ');
    await sh(rename);
    await eventually('it has its name back', async () => (await sh(`${DEVICE} || true`)) === device);
    await eventually('packets arrive again', works);
    assert.equal(await pidOf('forwarder'), forwarder);

    await endProcess((await agentOf(host)).id, 0);
    await sh(rename);
    const record = findRecord(name);
    assert.ok(record !== undefined);
    await host.start(TULLE, agentArguments(record), 'agent');
    await eventually('another forwarder has made the device', works);
    await eventually('the former one has ended', async () => (await pidOf('forwarder')) !== forwarder);
    await sh('ip link delete tt0');
  });

  test('cleanup ends the forwarder and removes its device and files', async () => {
    await sh(`kill ${await pidOf('agent')}`);
    await eventually('the agent has ended', async () => (await pidOf('agent').catch(() => '')) === '');
    await sh(`${TULLE} cleanup`);
    await eventually('it has ended', async () => (await pidOf('forwarder').catch(() => '')) === '');
    assert.equal(await sh(`${DEVICE} || true`), '');
    assert.equal(await sh('ls /run/tulle | grep forwarder || true'), '');
  });
});
