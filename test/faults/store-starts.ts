/**
 * One trouble of the store, three hosts: what a host does about it must not depend on when its agent was started.
 *
 *     docker1   its agent has been running for long
 *     docker2   its agent is restarted in the middle of it: it has what it knew on its disk
 *     docker3   its agent starts without its memory, but for subnet.env: it waits, says why, and touches nothing
 *
 *     c1 on docker1 ---- 50 pings a second ----> c1 on docker2, and none may be lost
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import type { FaultHost } from './fault-host.ts';
import { needsFaultLab } from './fault-host.ts';
import { CONFIG, FaultLab, openStore, type StoreKind } from './fault-lab.ts';

const ROOT = ['--user=root:secret-of-root'];
const USER = ['tulle', 'secret-of-agents'] as const;

interface StoreTrouble {
  readonly name: string;
  readonly begin: (lab: FaultLab) => Promise<void>;
  readonly end: (lab: FaultLab) => Promise<void>;
  /** What an agent without memory waits for; undefined when it need not wait. */
  readonly newcomer?: RegExp;
  /** What the others say, in a condition or a warning. */
  readonly reason?: RegExp;
  /** A lease that was deleted is gone until its host writes it again: packets are lost meanwhile. */
  readonly losesPackets?: boolean;
}

const cutConnections = (lab: FaultLab): void => {
  for (const { way } of lab.hosts) way.reset();
};

const withUsers = async (lab: FaultLab, password: string): Promise<void> => {
  await lab.store.ctl('user', 'add', 'root:secret-of-root');
  await lab.store.ctl('user', 'grant-role', 'root', 'root');
  await lab.store.ctl('user', 'add', `${USER[0]}:${password}`);
  await lab.store.ctl('auth', 'enable');
  cutConnections(lab);
};

const withoutUsers = async (lab: FaultLab): Promise<void> => {
  await lab.store.ctl(...ROOT, 'auth', 'disable');
  for (const user of [USER[0], 'root']) await lab.store.ctl('user', 'delete', user);
};

const writeConfig = (text: string) => async (lab: FaultLab) => {
  await lab.store.ctl('put', `${NETWORK_PREFIX}/config`, text);
};

/** @param early a snapshot of the store before any host had a lease */
function troubles(early: () => string): readonly StoreTrouble[] {
  return [
    {
      name: 'is away',
      begin: lab => lab.store.kill(),
      end: lab => lab.store.restart(),
      newcomer: /the store does not answer: .*127\.0\.0\.1:2379/,
      reason: /the store does not answer: .*127\.0\.0\.1:2379/,
    },
    {
      name: 'lets nobody in, because the password was changed',
      begin: lab => withUsers(lab, 'another-secret'),
      end: withoutUsers,
      newcomer: /the store cannot be used: .*authentication failed, invalid user ID or password/,
      reason: /the store cannot be used: .*authentication failed, invalid user ID or password/,
    },
    {
      name: 'has taken the rights of its user away',
      begin: lab => withUsers(lab, USER[1]),
      end: withoutUsers,
      newcomer: /the store cannot be used: .*permission denied/,
      reason: /the store cannot be used: .*permission denied/,
    },
    {
      name: 'is full',
      begin: lab => assert.rejects(lab.fill(), /database space exceeded/),
      end: lab => lab.makeRoom(),
      newcomer: /database space exceeded/,
    },
    {
      name: 'is empty',
      begin: lab => lab.store.restart({ empty: true }),
      end: lab => lab.configure(),
      newcomer: /has no network configuration/,
      reason: /has no network configuration/,
    },
    {
      name: 'has no configuration any more',
      begin: async lab => void (await lab.store.ctl('del', `${NETWORK_PREFIX}/config`)),
      end: lab => lab.configure(),
      newcomer: /has no network configuration/,
      reason: /has no network configuration/,
    },
    {
      name: 'has a configuration that is no JSON',
      begin: writeConfig('{"Network": '),
      end: lab => lab.configure(),
      newcomer: /JSON/,
      reason: /JSON/,
    },
    {
      name: 'has a configuration that nobody can follow',
      begin: writeConfig('{"Network": "188.172.0.0/16", "Backend": {"Type": "carrier-pigeon"}}'),
      end: lab => lab.configure(),
      newcomer: /carrier-pigeon/,
      reason: /carrier-pigeon/,
    },
    {
      name: 'was set back to before the leases of all hosts',
      begin: lab => lab.store.restore(early()),
      end: async () => undefined,
    },
    {
      name: 'has lost every lease, by `etcdctl del --prefix`',
      begin: async lab => void (await lab.store.ctl('del', '--prefix', `${NETWORK_PREFIX}/subnets`)),
      end: async () => undefined,
      losesPackets: true,
    },
  ];
}

export function storeStarts(kind: StoreKind): void {
  describe(`a ${kind} store`, needsFaultLab, () => {
    let directory = '';
    const early = () => join(directory, 'early.db');
    const lab = new FaultLab({
      hosts: 3,
      open: async () => {
        const store = await openStore(kind);
        await store.ctl('put', `${NETWORK_PREFIX}/config`, JSON.stringify(CONFIG));
        await store.ctl('snapshot', 'save', early());
        return store;
      },
      flags: [`--etcd-username=${USER[0]}`, `--etcd-password=${USER[1]}`],
    });
    after(() => lab[Symbol.asyncDispose]());
    after(() => rm(directory, { recursive: true, force: true }));
    before(async () => {
      directory = await mkdtemp(join(tmpdir(), 'tt-starts-'));
      await lab.create();
    });

    const says = (host: FaultHost, reason: RegExp) =>
      host.until(`it says ${reason}`, ({ conditions, warnings }) =>
        [...conditions.map(({ reason }) => reason), ...warnings.map(({ text }) => text)].some(text =>
          reason.test(text ?? ''),
        ),
      );

    for (const { name, begin, end, newcomer, reason, losesPackets = false } of troubles(early)) {
      test(`that ${name}: ${losesPackets ? '' : 'no packet is lost, and '}every host has its subnet afterwards`, async () => {
        const lost = await lab.survive(async () => {
          const [runs, restarts, forgets] = [lab.host(1), lab.host(2), lab.host(3)];
          const keys = await lab.leaseKeys();
          for (const host of [runs, restarts]) for (const key of keys) await host.untilKnown(key);
          await restarts.killAgent();
          await forgets.killAgent();
          await forgets.shell('rm -r /var/lib/tulle');
          await begin(lab);
          await restarts.startAgent();
          await forgets.startAgent();
          for (const host of [runs, restarts]) {
            await host.until('it is ready', ({ agent }) => agent.ready);
            if (reason !== undefined) await says(host, reason);
          }
          if (newcomer !== undefined) {
            const { agent } = await forgets.until('it waits', s => newcomer.test(s.agent.reason ?? ''));
            assert.equal(agent.ready, false);
          }
          await end(lab);
          await lab.whole();
          assert.deepEqual(await lab.leaseKeys(), keys);
        });
        if (!losesPackets) assert.equal(lost, 0);
      });
    }
  });
}
