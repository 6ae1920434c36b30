/** Who a host is, and what it may write, with the real programs: tokens, certificates, and the rule of the store. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import type { Site } from '../../src/lab/host/site.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import type { CertificateFacts } from '../../src/trust/certificates.ts';
import { readHostKey } from '../../src/trust/host-trust.ts';
import { StoreTrust } from '../../src/trust/store-trust.ts';
import { parseToken } from '../../src/trust/token.ts';
import { makeRequest } from '../../src/trust/x509.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { etcdctl, machines, statusOf, tulle, untilServing, up } from '../support/up.ts';

const YEAR = 365.25 * 86_400_000;

const tokenOf = async (site: Site, ...flags: string[]) =>
  (JSON.parse((await tulle(site, 'store', 'token', '--json', ...flags)).stdout) as { token: string }).token;

/** Starts `tulle up` on a machine that may have run it before, and waits until it has a lease. */
async function start(site: Site, ...flags: string[]) {
  rmSync(site.host.path('/run/flannel/subnet.env'), { force: true });
  const daemon = await up(site, ...flags);
  return { daemon, status: await untilServing(site) };
}

/** A `tulle up` that ends by itself, because it is refused. */
const refused = (site: Site, ...flags: string[]) =>
  site.host.run(TULLE, ['up', '--iface=eth0', ...flags], { anyStatus: true });

test('a certificate is worth what its host is', needsRoot, async t => {
  const [first, second] = (await machines(t, 2)) as [Site, Site];
  const one = await start(first);
  const token = await tokenOf(first);
  await tulle(first, 'lease', 'reserve', '10.244.77.0/24', '--public-ip', '192.168.65.4');
  const two = await start(second, '--join', token);
  assert.equal(two.status.lease.key, '10.244.77.0-24', 'the subnet that is reserved for its address');

  await t.test("D2: another's lease, and what no lease can be, is refused with the reason", async () => {
    const own = { id: two.status.host.id, ip: '192.168.65.4' };
    const value = (fields: object) =>
      JSON.stringify({ PublicIP: own.ip, TulleHost: own.id, BackendType: 'vxlan', ...fields });
    const taken = [one, two].map(({ status }) => status.lease.key);
    const free = ['10.244.200.0', '10.244.201.0', '10.244.202.0'].find(base => !taken.includes(`${base}-24`));
    const { storeLease = '' } = one.status.lease;
    const puts = [
      [one.status.lease.key, value({}), /not a lease of this host/],
      ['10.244.0.0-16', value({}), /more than a quarter/],
      ['0.0.0.0-0', value({}), /length of 0|names no subnet/],
      [`${free}-25`, value({}), /gives out \/24/],
      ['../../x', value({}), /want for example/],
      [`${free}-24`, value({ PublicIP: '192.168.65.3' }), /is that of the lease/],
      [`${free}-24`, value({ TulleHost: one.status.host.id }), /but the certificate to/],
      [`${free}-24`, value({ x: 'x'.repeat(100_000) }), /4096 at most/],
      [`${free}-24`, value({}), /only an administrator can create/],
      [`${free}-24`, value({}), /store lease .* is not of this host/, `--lease=${storeLease}`],
    ] as const;
    for (const [key, content, reason, ...flags] of puts) {
      const put = await etcdctl(second, 'host', 'put', ...flags, `${NETWORK_PREFIX}/subnets/${key}`, content);
      assert.match(put.stderr, reason, `${key}: ${put.stderr}`);
      assert.match(put.stderr, /permission denied/);
    }
    for (const command of [['keep-alive', '--once'], ['revoke']]) {
      const { stderr } = await etcdctl(second, 'host', 'lease', ...command, storeLease);
      assert.match(stderr, /permission denied: the store lease/, command[0]);
    }
    const granted: string[] = [];
    for (;;) {
      const { status, stdout: words } = await etcdctl(second, 'host', 'lease', 'grant', '600');
      if (status !== 0) break;
      granted.push(words.split(' ')[1] ?? '');
    }
    assert.ok(granted.length > 0 && granted.length < 20, `${granted.length} store leases`);
    await Promise.all(granted.map(id => etcdctl(second, 'host', 'lease', 'revoke', id)));
    const { stdout } = await etcdctl(
      second,
      'host',
      'get',
      '--prefix',
      '--keys-only',
      `${NETWORK_PREFIX}/subnets/`,
    );
    assert.deepEqual(
      stdout.trim().split(/\s+/).sort(),
      [one, two].map(({ status }) => `${NETWORK_PREFIX}/subnets/${status.lease.key}`).sort(),
    );
  });

  await t.test('D1: a token and the id of another host make nobody that host', async () => {
    const directory = '/run/thief';
    await second.host.run('mkdir', ['-m', '0700', directory]);
    const identity = { version: 1, hostId: one.status.host.id, macs: {} };
    writeFileSync(second.host.path(`${directory}/identity.json`), JSON.stringify(identity));
    const flags = [`--state-dir=${directory}`, `--socket=${directory}/socket`, '--join', token];
    const { status, stderr } = await refused(second, ...flags);
    assert.notEqual(status, 0);
    assert.match(stderr, /does not prove that it has its key/);
    assert.match(stderr, /store token --host/);
  });

  await t.test(
    'D1: a host that lost its disk gets its id and its subnet with a token made for it',
    async () => {
      await endProcess(two.daemon);
      rmSync(second.host.path('/var/lib/tulle'), { recursive: true });
      await second.host.run('ip', ['link', 'delete', two.status.backend.devices[0]?.name ?? '']);
      const stranger = await start(second, '--join', token);
      assert.notEqual(stranger.status.host.id, two.status.host.id);
      await endProcess(stranger.daemon);
      // By its id, for there are two of this name now.
      const made = await tokenOf(first, '--host', two.status.host.id);
      const again = await start(second, '--join', made);
      assert.equal(again.status.host.id, two.status.host.id);
      assert.equal(again.status.lease.key, two.status.lease.key);
    },
  );

  await t.test('D2: hosts follow the network to other addresses, each within what it may write', async () => {
    await tulle(first, 'config', 'set', '--force', '{"Network":"10.90.0.0/16","Backend":{"Type":"vxlan"}}');
    for (const site of [first, second]) {
      await eventually('a lease of the new network', async () => {
        const { lease } = await statusOf(site);
        return lease?.key.startsWith('10.90.') === true && lease.ownership === 'held';
      });
    }
    const { stdout } = await etcdctl(
      second,
      'host',
      'get',
      '--prefix',
      '--keys-only',
      `${NETWORK_PREFIX}/subnets/`,
    );
    assert.deepEqual(stdout.match(/10\.90\./g)?.length, 2, stdout);
  });
});

test('D3: hosts and their store outlive their certificates', needsRoot, async t => {
  const [first, second] = (await machines(t, 2)) as [Site, Site];
  const dataDir = first.host.path('/var/lib/tulle/store');
  const names = { addresses: [Ip.parse('192.168.65.3')], names: [] };
  const site = { address: '192.168.65.3:2379', prefix: NETWORK_PREFIX };
  await StoreTrust.init(dataDir, site, names, new ManualClock(Date.now() - 2 * YEAR));
  await first.host.run('chmod', ['0755', '/var/lib/tulle/store']);

  // D3: the first host starts with certificates that have expired.
  const started = await start(first);
  const joined = await start(second, '--join', await tokenOf(first));
  let { daemon } = joined;

  await t.test('D3: every certificate is shown with its end, and renewed by hand on each host', async () => {
    const list = async (site: Site) =>
      JSON.parse((await tulle(site, 'store', 'cert', 'list', '--json')).stdout) as CertificateFacts[];
    const before = await list(first);
    const hosts = before.filter(({ of }) => of === 'host').map(({ name }) => name);
    assert.deepEqual(hosts, ['docker1', 'docker2']);
    const shown = (await statusOf(first)).certificates?.map(({ file }) => file) ?? [];
    for (const name of ['trust/host.pem', 'trust/ca.pem', 'store/pki/server.pem', 'store/pki/admin.pem']) {
      assert.ok(shown.includes(`/var/lib/tulle/${name}`), name);
    }
    for (const { expiresAt } of before) assert.ok(Date.parse(expiresAt) > Date.now() + YEAR / 2);
    for (const site of [first, second]) {
      const files = (await list(site)).flatMap(({ file }) => file ?? []);
      const former = files.map(file => readFileSync(site.host.path(file), 'utf8'));
      await tulle(site, 'store', 'cert', 'renew');
      for (const [index, file] of files.entries()) {
        assert.notEqual(readFileSync(site.host.path(file), 'utf8'), former[index], file);
      }
    }
    assert.match((await etcdctl(second, 'host', 'get', '--prefix', NETWORK_PREFIX)).stdout, /TulleHost/);
  });

  await t.test('D3: a host whose certificate is due renews it by itself', async () => {
    await endProcess(daemon);
    const file = second.host.path('/var/lib/tulle/trust/host.pem');
    const then = await StoreTrust.open(dataDir, new ManualClock(Date.now() - 0.6 * YEAR));
    const key = await readHostKey(second.host.path('/var/lib/tulle'));
    const { request } = await makeRequest({ commonName: '', organization: '' }, key);
    const due = (await then?.authority.certifyHost(request, joined.status.host.id)) ?? '';
    writeFileSync(file, due);
    ({ daemon } = await start(second));
    await eventually('another certificate', async () => readFileSync(file, 'utf8') !== due);
  });

  await t.test('D6: only root reads the database, whatever the directory is', () => {
    for (const name of ['store.db', 'store.db-wal', 'store.db-lock']) {
      const { mode } = statSync(join(dataDir, name));
      assert.equal((mode & 0o777).toString(8), '600', name);
    }
  });

  await t.test('D4: a fresh token lets a host in when the authority was made anew', async () => {
    await endProcess(daemon);
    // A token that cannot be used does not affect a host that has a good certificate.
    const spent = await tokenOf(first);
    await tulle(first, 'store', 'token', 'revoke', parseToken(spent).id);
    ({ daemon } = await start(second, '--join', spent));
    await endProcess(daemon);
    await endProcess(started.daemon);
    rmSync(join(dataDir, 'pki'), { recursive: true });
    const { stderr } = await refused(first);
    assert.match(stderr, /runs the store.*\n.*tulle store init/s, 'it is not taken for a host that joined');
    await tulle(first, 'store', 'init', '--address', '192.168.65.3');
    await start(first);
    const again = await start(second, '--join', await tokenOf(first));
    assert.equal(again.status.lease.key, joined.status.lease.key);
  });
});
