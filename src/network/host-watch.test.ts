/** Which announcements of the kernel lead to another look at this host, and what happens when that fails. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { recordingLogger } from '../base/log.ts';
import { Prefix, parseInterfaceAddress } from '../base/prefix.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';
import { HostWatch } from './host-watch.ts';
import type { UnderlayCriteria } from './options.ts';

const BY_NAME: UnderlayCriteria = { interfaces: ['eth0'], patterns: [], publicIp: {} };
const BY_DEFAULT_ROUTE: UnderlayCriteria = { interfaces: [], patterns: [], publicIp: {} };

const ADDRESS = parseInterfaceAddress('192.168.65.3/24');
const PEER = Prefix.parse('10.3.7.0/24');
const GATEWAY = Ip.parse('192.168.65.1');

/** A host with eth0 that is watched until the test is over. */
async function watch(t: TestContext, criteria: UnderlayCriteria) {
  const kernel = new FakeKernel();
  const clock = new ManualClock();
  const logger = recordingLogger();
  const eth0 = kernel.plugIn({ name: 'eth0', up: true, running: true, mtu: 1500 });
  const rtnetlink = kernel.connect();
  const other = kernel.connect();
  await other.addresses.replace({ ...ADDRESS, index: eth0.index });
  let isBroken = false;
  const list = () => (isBroken ? Promise.reject(new Error('out of memory')) : other.links.list());
  const host = new HostWatch({
    rtnetlink: { ...rtnetlink, links: { ...rtnetlink.links, list } },
    criteria,
    clock,
    logger,
  });
  let looks = 0;
  const stop = new AbortController();
  const counting = (async () => {
    for await (const network of host.network.changes(stop.signal)) if (network !== undefined) looks++;
  })();
  const running = host.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await Promise.all([running, counting]);
    await rtnetlink[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });
  /** How often this host was looked at while `change` happened, and for a second after it. */
  const looksAfter = async (change: () => unknown): Promise<number> => {
    const before = looks;
    await change();
    await clock.advance(1000);
    return looks - before;
  };
  const breakReading = (broken: boolean) => {
    isBroken = broken;
  };
  return { kernel, clock, logger, eth0, host, rtnetlink: other, looksAfter, breakReading };
}

test('what an announcement may have changed is looked at once, and nothing is looked at for others', async t => {
  const { kernel, eth0, host, rtnetlink, looksAfter } = await watch(t, BY_NAME);
  assert.equal(await looksAfter(() => undefined), 1);
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { txQueueLength: 7 })), 0);
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { mtu: 1400 })), 1);
  assert.equal(host.network.value?.links.find(({ name }) => name === 'eth0')?.mtu, 1400);
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { up: false })), 1);
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { up: true })), 1);
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { name: 'wan0' })), 1);
  assert.equal(await looksAfter(() => rtnetlink.links.add({ name: 'br0', info: { kind: 'bridge' } })), 1);
  const master = (await rtnetlink.links.get('br0'))?.index ?? 0;
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { master })), 1);
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { port: { isolated: true } })), 0);
  assert.equal(await looksAfter(() => rtnetlink.links.change(eth0.index, { master: 0 })), 1);
  assert.equal(await looksAfter(() => rtnetlink.links.delete(master)), 1);
  const second = { ...parseInterfaceAddress('192.168.65.4/24'), index: eth0.index };
  assert.equal(await looksAfter(() => rtnetlink.addresses.replace(second)), 1);
  assert.equal(await looksAfter(() => rtnetlink.addresses.delete(second)), 1);
  assert.equal(await looksAfter(() => kernel.overrun()), 1, 'anything may have been announced');
  const byDefault = { family: 'ipv4', gateway: GATEWAY } as const;
  assert.equal(await looksAfter(() => rtnetlink.routes.replace(byDefault)), 0, 'no route decides');
});

test('many announcements are one more look', async t => {
  const { eth0, rtnetlink, looksAfter } = await watch(t, BY_NAME);
  await looksAfter(() => undefined);
  const changes = async () => {
    for (let mtu = 1400; mtu < 1450; mtu++) await rtnetlink.links.change(eth0.index, { mtu });
  };
  const looks = await looksAfter(changes);
  assert.ok(looks === 1 || looks === 2, `${looks} looks`);
});

test('routes are looked at where one of them decides, and then no more of them than can', async t => {
  const byDefault = { family: 'ipv4', gateway: GATEWAY } as const;
  const toPeer = { destination: PEER, family: 'ipv4', gateway: GATEWAY } as const;
  const anyRoute = await watch(t, BY_DEFAULT_ROUTE);
  await anyRoute.looksAfter(() => undefined);
  assert.equal(await anyRoute.looksAfter(() => anyRoute.rtnetlink.routes.replace(toPeer)), 0);
  assert.equal(await anyRoute.looksAfter(() => anyRoute.rtnetlink.routes.replace(byDefault)), 1);
  assert.equal(anyRoute.host.network.value?.defaultRoutes.length, 1);
  const reach = await watch(t, { ...BY_DEFAULT_ROUTE, canReach: PEER.ip.plus(9) });
  await reach.looksAfter(() => undefined);
  assert.equal(await reach.looksAfter(() => reach.rtnetlink.routes.replace(toPeer)), 1);
});

test('what cannot be read is said and read again, later each time, until it can', async t => {
  const { kernel, clock, logger, eth0, host, rtnetlink, looksAfter, breakReading } = await watch(t, BY_NAME);
  await looksAfter(() => undefined);
  const failures = () => logger.records.filter(({ level }) => level === 'warn').length;
  breakReading(true);
  await rtnetlink.links.change(eth0.index, { mtu: 1400 });
  kernel.overrun();
  await clock.advance(60_000);
  assert.ok(failures() > 3 && failures() < 12, `${failures()} failures in a minute`);
  assert.deepEqual(logger.records[0]?.fields, { error: 'out of memory' });
  breakReading(false);
  await clock.advance(30_000);
  assert.equal(host.network.value?.links.find(({ name }) => name === 'eth0')?.mtu, 1400);

  // The next time begins with short delays again.
  const before = failures();
  breakReading(true);
  kernel.overrun();
  await clock.advance(4000);
  assert.ok(failures() - before >= 3, `${failures() - before} failures in four seconds`);
});
