/**
 * The host itself fails the agent: its disk is full, its files are damaged, its process is killed or frozen, its clock
 * jumps. Containers talk on; the agent says what it could not do, and does it once it can.
 *
 *     docker1   /var/lib/tulle  identity, last known peers      a file system of its own, in memory
 *               /run/flannel    subnet.env                      another one, of 16 KiB
 *               agent           SIGKILL, SIGSTOP, Date
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { SUBNET_FILE } from '../../src/console/defaults.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { DEVICE, KNOWN_STATE, needsFaultLab } from './fault-host.ts';
import { useFaultLab } from './fault-lab.ts';

const IDENTITY = '/var/lib/tulle/identity.json';

describe('a host on a bad day', needsFaultLab, () => {
  const lab = useFaultLab();

  /** Until the returned object is disposed of, nothing more can be written to the file system of this directory. */
  const fill = async (directory: string): Promise<AsyncDisposable> => {
    const host = lab.host(1);
    const ballast = `${directory}/ballast`;
    await assert.rejects(host.shell(`dd if=/dev/zero of=${ballast} bs=1k`), /No space left/);
    return { [Symbol.asyncDispose]: async () => void (await host.shell(`rm ${ballast}`)) };
  };

  test('no room for the state: the agent works on, also after a restart, and saves later', async () => {
    const host = lab.host(1);
    await host.shell('mount -o remount,size=64k /var/lib');
    const lost = await lab.survive(async () => {
      const { id } = (await host.client.status()).host;
      let key: string;
      {
        await using _full = await fill('/var/lib/tulle');
        key = await lab.putLease(200);
        await host.untilPeer(key, 'ok');
        const { code, reason } = await host.untilCondition('state', false);
        assert.equal(code, 'STATE_NOT_SAVED');
        assert.match(reason ?? '', /the last known peers could not be saved: .*ENOSPC/);
        const { agent } = await host.client.status();
        assert.deepEqual([agent.state, agent.ready], ['degraded', true]);
        await host.killAgent();
        await host.startAgent();
        await host.untilPeer(key, 'ok');
        assert.equal((await host.client.status()).host.id, id);
      }
      await host.untilKnown(key);
      await lab.deleteLease(key);
    });
    assert.equal(lost, 0);
  });

  test('no room for subnet.env: the old one stays whole, and the new one follows', async () => {
    const host = lab.host(1);
    const before = readFileSync(host.host.path(SUBNET_FILE), 'utf8');
    await host.shell('mount -t tmpfs -o size=16k tulle-lab /run/flannel');
    writeFileSync(host.host.path(SUBNET_FILE), before);
    const lost = await lab.survive(async () => {
      {
        await using _full = await fill('/run/flannel');
        await host.shell('ip link set eth0 mtu 1400');
        const { code, reason } = await host.untilCondition('subnet-file', false);
        assert.equal(code, 'SUBNET_FILE_NOT_WRITTEN');
        assert.match(reason ?? '', /\/run\/flannel\/subnet\.env could not be written: .*ENOSPC/);
        assert.equal(readFileSync(host.host.path(SUBNET_FILE), 'utf8'), before);
      }
      await waitForFile(host.host.path(SUBNET_FILE), deadline('subnet.env follows'), text =>
        text.includes('MTU=1350'),
      );
      await host.shell('ip link set eth0 mtu 1500');
      await waitForFile(
        host.host.path(SUBNET_FILE),
        deadline('subnet.env is as before'),
        text => text === before,
      );
    });
    assert.equal(lost, 0);
  });

  test('no room for the log: the agent works on, and says later that lines are missing', async () => {
    const host = lab.host(1);
    await host.shell('mount -t tmpfs -o size=64k tulle-lab /run/log');
    await host.killAgent();
    await host.startAgent();
    await lab.whole();
    const repair = async (times: number) => {
      for (let round = 0; round < times; round++) {
        const last = await host.lastEvent();
        await host.shell(`ip link set ${DEVICE} mtu 1300`);
        await host.eventsUntil(last, events => events.some(({ type }) => type === 'drift-repaired'));
      }
    };
    const lost = await lab.survive(async () => {
      {
        await using _full = await fill('/run/log');
        // More than fits into what is left of the last page.
        await repair(20);
      }
      await repair(1);
    });
    assert.equal(lost, 0);
    assert.match(host.log(), /"count":\d+,"msg":"lines of this log could not be written and are lost"/);
    await host.killAgent();
    await host.shell('umount /run/log');
    await host.startAgent();
    await lab.whole();
  });

  for (const [name, damage] of [
    ['empty', () => ''],
    ['cut off', (text: string) => text.slice(0, text.length / 2)],
    ['of zeros', (text: string) => '\0'.repeat(text.length)],
    ['of another program', () => '{"version":1,"hostId":"not an id","macs":{}}'],
  ] as const) {
    test(`files that are ${name}: the host keeps its subnet, and its peers`, async () => {
      const host = lab.host(1);
      const lost = await lab.survive(async () => {
        const { lease } = await host.client.status();
        const device = await host.vtep();
        await host.killAgent();
        for (const file of [IDENTITY, KNOWN_STATE, SUBNET_FILE]) {
          const path = host.host.path(file);
          writeFileSync(path, damage(readFileSync(path, 'utf8')));
        }
        await host.startAgent();
        const status = await host.untilWhole(1);
        assert.equal(status.lease?.key, lease?.key);
        assert.equal(status.dataplane.writes, 0);
        assert.deepEqual(await host.vtep(), device);
        await host.untilKnown(lease?.key ?? '');
      });
      assert.equal(lost, 0);
      const { lease } = await host.client.status();
      assert.deepEqual(await lab.leaseKeys().then(keys => keys.filter(key => key === lease?.key).length), 1);
      assert.equal((await lab.leaseKeys()).length, 2);
      assert.equal(host.subnet.toString(), lease?.subnet.ipv4);
    });
  }

  test('the agent is killed again and again, whatever it does: nothing is lost, and nothing is left behind', async () => {
    const host = lab.host(1);
    // What an earlier victim had only half written.
    for (const file of [IDENTITY, KNOWN_STATE, SUBNET_FILE]) {
      writeFileSync(host.host.path(join(dirname(file), `.${basename(file)}.half`)), '{');
    }
    const lost = await lab.survive(async () => {
      const { lease } = await host.client.status();
      for (let round = 0; round < 5; round++) {
        // Something to write down, and killed while it does.
        const key = await lab.putLease(200 + round);
        await host.killAgent();
        await host.startAgent();
        await lab.deleteLease(key);
      }
      const status = await host.untilWhole(1);
      assert.deepEqual([status.lease?.key, status.lease?.storeLease], [lease?.key, lease?.storeLease]);
    });
    assert.equal(lost, 0);
    await eventually('nothing is half written', async () => {
      const places = ['/var/lib/tulle', dirname(SUBNET_FILE)].map(place => host.host.path(place));
      return places.flatMap(place => readdirSync(place)).every(name => !name.startsWith('.'));
    });
  });

  test('the agent is frozen: it catches up with all it has missed', async () => {
    const host = lab.host(1);
    const lost = await lab.survive(async () => {
      const last = await host.lastEvent();
      process.kill(host.agent.pid, 'SIGSTOP');
      const [gone, comes] = [await lab.putLease(200), await lab.putLease(201)];
      await lab.host(2).untilPeer(comes, 'ok');
      await lab.deleteLease(gone);
      await host.shell(`ip link set ${DEVICE} mtu 1300`);
      process.kill(host.agent.pid, 'SIGCONT');
      await host.eventsUntil(last, events => events.some(({ type }) => type === 'drift-repaired'));
      await host.untilPeer(comes, 'ok');
      await host.untilPeer(gone, 'absent');
      await lab.deleteLease(comes);
    });
    assert.equal(lost, 0);
  });

  test('the wall clock jumps: nothing but the times in the status depends on it', async () => {
    const host = lab.host(1);
    const file = '/run/clock';
    await host.killAgent();
    await host.startAgentWith({
      NODE_OPTIONS: `--import=${import.meta.dirname}/clock-jump.ts`,
      TT_CLOCK_FILE: file,
    });
    await lab.whole();
    const lost = await lab.survive(async () => {
      const before = await host.client.status();
      for (const [hours, key] of [
        [10_000, 200],
        [-10_000, 201],
      ] as const) {
        writeFileSync(host.host.path(file), String(hours * 3_600_000));
        process.kill(host.agent.pid, 'SIGUSR2');
        const now = Date.now() + hours * 3_600_000;
        // The lease lasts a day, which is shown as a time of this clock.
        const { lease, store, uptimeSeconds } = await host.until('its clock has jumped', status => {
          return Math.abs(Date.parse(status.lease?.expires ?? '') - now - 24 * 3_600_000) < 3_600_000;
        });
        assert.deepEqual([lease?.key, lease?.ownership], [before.lease?.key, 'held']);
        assert.equal(store.connected, true);
        assert.ok(uptimeSeconds < 3600);
        // Every timer, deadline and retry is of another clock.
        const peer = await lab.putLease(key);
        await host.untilPeer(peer, 'ok');
        await lab.deleteLease(peer);
        await host.untilPeer(peer, 'absent');
        await host.reconnect();
      }
      assert.equal((await host.client.status()).lease?.storeLease, before.lease?.storeLease);
    });
    assert.equal(lost, 0);
  });
});
