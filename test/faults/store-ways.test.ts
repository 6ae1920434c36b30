/**
 * The ways to a store: a name whose address changes, a list of endpoints of which some are dead, and a certificate of
 * the agent's own that ends. None of them needs a restart of the agent, and no packet is lost.
 *
 *     agent ---> store.lab, in /etc/hosts ---> 127.0.0.1, then 127.0.0.2 ---> TcpProxy ---> etcd
 */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Authority, type Certificate } from '../support/certificates.ts';
import { Etcd } from '../support/etcd.ts';
import type { StoreServer } from '../support/store-server.ts';
import { needsFaultLab } from './fault-host.ts';
import { FaultLab } from './fault-lab.ts';

/** Changes in the store still arrive. */
async function changesArrive(lab: FaultLab): Promise<void> {
  const key = await lab.putLease(200);
  for (const host of lab.hosts) await host.untilPeer(key, 'ok');
  await lab.deleteLease(key);
  for (const host of lab.hosts) await host.untilPeer(key, 'absent');
}

describe('the way to the store', needsFaultLab, () => {
  test('leads to a name: its address changes, and agents follow', async t => {
    const lab = new FaultLab({
      names: '127.0.0.1 store.lab\n',
      flags: ['--etcd-endpoints=http://store.lab:2379'],
    });
    t.after(() => lab[Symbol.asyncDispose]());
    await lab.create();
    const lost = await lab.survive(async () => {
      for (const host of lab.hosts) {
        await host.shell(
          'iptables -A INPUT -p tcp -d 127.0.0.1 --dport 2379 -j REJECT --reject-with tcp-reset',
        );
        host.way.reset();
        const { reason } = await host.untilCondition('store', false);
        assert.match(reason ?? '', /store\.lab/);
        writeFileSync(host.host.path('/etc/hosts'), '127.0.0.1 localhost\n127.0.0.2 store.lab\n');
        await host.untilCondition('store', true);
      }
      await changesArrive(lab);
    });
    assert.equal(lost, 0);
  });

  test('leads past endpoints that are dead', async t => {
    const dead = ['http://127.0.0.1:2378', 'http://192.168.65.250:2379', 'http://no-such-host.invalid:2379'];
    const endpoints = [...dead, 'http://127.0.0.1:2379'].join();
    const lab = new FaultLab({ flags: [`--etcd-endpoints=${endpoints}`], patience: 60_000 });
    t.after(() => lab[Symbol.asyncDispose]());
    await lab.create();
    const lost = await lab.survive(async () => {
      // A host that loses the one that works asks all others first.
      for (const host of lab.hosts) await host.reconnect();
      await changesArrive(lab);
      const [one] = lab.hosts;
      await one?.killAgent();
      await one?.startAgent();
    });
    assert.equal(lost, 0);
  });

  test('needs a certificate: it ends, and is renewed on disk', async t => {
    const directory = await mkdtemp(join(tmpdir(), 'tt-client-'));
    t.after(() => rm(directory, { recursive: true }));
    const authority = await Authority.create(directory);
    const { caFile } = authority;
    const [server, good, bad, used] = [
      await authority.issue('server'),
      await authority.issue('good'),
      await authority.issue('bad', { expired: true }),
      await authority.issue('used'),
    ];
    const use = ({ certFile, keyFile }: Certificate) => {
      copyFileSync(certFile, used.certFile);
      copyFileSync(keyFile, used.keyFile);
    };
    const lab = new FaultLab({
      open: async () => {
        const etcd = await Etcd.start({ certificate: server, caFile, clientAuthority: caFile });
        return showing(good, etcd);
      },
      flags: [
        `--etcd-cafile=${caFile}`,
        `--etcd-certfile=${used.certFile}`,
        `--etcd-keyfile=${used.keyFile}`,
      ],
    });
    t.after(() => lab[Symbol.asyncDispose]());
    await lab.create();
    const lost = await lab.survive(async () => {
      use(bad);
      for (const host of lab.hosts) {
        host.way.reset();
        await host.until('it says what is wrong', ({ conditions, agent }) => {
          const condition = conditions.find(({ name }) => name === 'store');
          return agent.ready && /certificate/i.test(condition?.reason ?? '');
        });
      }
      use(good);
      for (const host of lab.hosts) await host.untilCondition('store', true);
      await changesArrive(lab);
    });
    assert.equal(lost, 0);
  });
});

/** A store whose `ctl` shows this certificate. */
function showing({ certFile, keyFile }: Certificate, store: StoreServer): StoreServer {
  return {
    url: store.url,
    port: store.port,
    ctl: (...args) => store.ctl(`--cert=${certFile}`, `--key=${keyFile}`, ...args),
    kill: () => store.kill(),
    restart: options => store.restart(options),
    restore: snapshot => store.restore(snapshot),
    pause: () => store.pause(),
    resume: () => store.resume(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
