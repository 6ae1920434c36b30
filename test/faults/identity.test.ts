/**
 * Hosts that lose what they are known by, and hosts that are taken for each other: docs/decisions/0010-identity.md.
 *
 *     docker1 ==== docker2      c1 to c1, 50 pings a second
 *          \\       //
 *           docker3             loses its disk, is a copy of docker1, takes over from flannel
 */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { NETWORK_PREFIX, SUBNET_FILE } from '../../src/console/defaults.ts';
import { DEVICE, type FaultHost, needsFaultLab } from './fault-host.ts';
import { useFaultLab } from './fault-lab.ts';

const STATE = '/var/lib/tulle';

describe('identity', needsFaultLab, () => {
  const lab = useFaultLab({ hosts: 3 });
  let victim: FaultHost;
  before(() => {
    victim = lab.host(3);
  });

  const keyOf = async (host: FaultHost): Promise<string> => {
    const { lease } = await host.until('it holds a lease', status => status.lease?.ownership === 'held');
    return lease?.key ?? assert.fail();
  };

  /** Everything that a host knows itself by, but its hardware. */
  const loseDisk = async (host: FaultHost): Promise<void> => {
    await host.untilWhole(lab.hosts.length - 1);
    await host.killAgent();
    await host.shell(`ip link delete ${DEVICE}`);
    rmSync(host.host.path(STATE), { recursive: true });
    rmSync(host.host.path(SUBNET_FILE));
  };

  const revision = async (): Promise<number> => {
    const [{ Status }] = JSON.parse(await lab.store.ctl('endpoint', 'status', '--write-out=json')) as [
      { Status: { header: { revision: number } } },
    ];
    return Status.header.revision;
  };

  test('C4: state, subnet file and device lost at each of six starts: one subnet, one key', async () => {
    const lost = await lab.survive(async () => {
      const key = await keyOf(victim);
      const keys = await lab.leaseKeys();
      for (let start = 1; start <= 6; start++) {
        await loseDisk(victim);
        await victim.startAgent();
        assert.equal(await keyOf(victim), key);
        assert.deepEqual(await lab.leaseKeys(), keys);
      }
    });
    assert.equal(lost, 0);
  });

  test('H4: a lease of flannel is taken over without a word about a rejected one', async () => {
    const lost = await lab.survive(async () => {
      const key = await keyOf(victim);
      await loseDisk(victim);
      const { TulleHost: _id, TulleMachine: _machine, ...flannel } = await lab.leaseValue(key);
      await lab.putLease(Number(key.split('.')[2]), { ttl: 3600, value: flannel });
      await victim.startAgent();
      const events = await victim.eventsUntil(0, all =>
        all.some(({ type, text }) => type === 'state' && /is ready/.test(text)),
      );
      assert.ok(events.some(({ type, fields }) => type === 'lease-acquired' && fields['key'] === key));
      const wrong = events.filter(
        ({ type, text }) => /^lease-(rejected|accepted)$/.test(type) || /DUPLICATE/.test(text),
      );
      assert.deepEqual(wrong, []);
    });
    assert.equal(lost, 0);
  });

  test('C2: a plain put over a lease makes no reservation of it', async () => {
    const lost = await lab.survive(async () => {
      const key = await keyOf(victim);
      const before = await lab.leaseValue(key);
      const last = await victim.lastEvent();
      await lab.store.ctl('put', `${NETWORK_PREFIX}/subnets/${key}`, `{"PublicIP":"${victim.address}"}`);
      const events = await victim.eventsUntil(last, all =>
        all.some(({ type }) => type === 'lease-published'),
      );
      assert.match(
        events.find(({ type }) => type === 'lease-overwritten')?.text ?? '',
        /tulle lease reserve/,
      );
      assert.deepEqual(await lab.leaseValue(key), before);
      const { lease } = await victim.until('it is as it was', status => status.lease?.ownership === 'held');
      assert.equal(lease?.reservation, false);
    });
    assert.equal(lost, 0);
  });

  test('C1: a copy of a host with a reservation does not get it, both say so, and hardly anybody writes', async () => {
    await lab.survive(async () => {
      const original = lab.host(1);
      const key = await keyOf(original);
      const identity = `${STATE}/identity.json`;
      const own = readFileSync(victim.host.path(identity));
      await lab.store.ctl(
        'put',
        `${NETWORK_PREFIX}/subnets/${key}`,
        JSON.stringify({ ...(await lab.leaseValue(key)), TulleReserved: true }),
      );
      await original.until('its lease is reserved', ({ lease }) => lease?.reservation === true);
      await victim.killAgent();
      copyFileSync(original.host.path(identity), victim.host.path(identity));
      const before = await revision();
      await victim.startAgent();
      for (const [host, other] of [
        [original, victim],
        [victim, original],
      ] as const) {
        const { hint } = await host.untilWarned('DUPLICATE_IDENTITY', new RegExp(other.address));
        assert.match(hint ?? '', /identity\.json/);
      }
      assert.ok((await revision()) - before <= 4, 'a question and an answer');
      assert.equal((await lab.leaseValue(key))['PublicIP'], original.address);
      await victim.untilCondition('lease', false);

      await victim.killAgent();
      writeFileSync(victim.host.path(identity), own);
      await victim.startAgent();
      await original.killAgent();
      await lab.deleteLease(key);
      await original.startAgent();
      assert.equal(await keyOf(original), key);
      for (const host of lab.hosts) await host.until('no warning is left', s => s.warnings.length === 0);
    });
  });

  test('C5: a newer lease does not get the packets of a peer by naming its MAC address', async () => {
    const lost = await lab.survive(async () => {
      const { mac } = await lab.host(2).vtep();
      const key = await lab.putLease(201, { value: { BackendData: { VNI: 88, VtepMAC: mac } } });
      for (const host of lab.hosts) await host.untilPeer(key, 'rejected');
      const fdb = await lab.host(1).shell(`bridge fdb show dev ${DEVICE}`);
      assert.match(fdb, new RegExp(`${mac} dst ${lab.host(2).address} `));
      const { peers } = await lab.host(2).client.status();
      assert.match(peers.find(peer => peer.key === key)?.reason ?? '', /MAC address of this host/);
      await lab.deleteLease(key);
      for (const host of lab.hosts) await host.untilPeer(key, 'absent');
    });
    assert.equal(lost, 0);
  });
});
