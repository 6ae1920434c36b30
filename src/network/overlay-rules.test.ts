/** How an overlay is applied: the data plane, then former devices go, the firewall is set, and the subnet file is written. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { config, lease, network, OverlayHarness } from '../testing/network/overlay-harness.ts';
import type { HostNetwork } from './underlay.ts';

const SUBNET_ENV = [
  'FLANNEL_NETWORK=10.3.0.0/16',
  'FLANNEL_SUBNET=10.3.5.1/24',
  'FLANNEL_MTU=1450',
  'FLANNEL_IPMASQ=true',
  '',
].join('\n');

/** A host that runs until the test is over. */
async function run(t: TestContext, devices: readonly string[] = []): Promise<OverlayHarness> {
  const harness = await OverlayHarness.make(t, { devices });
  const stop = new AbortController();
  const running = harness.overlay.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  await harness.clock.advance(0);
  return harness;
}

/** What was set since the last call: of the firewall its bridges, with an own subnet of `10.3.5.0/24`, and its peers. */
async function takeRules(harness: OverlayHarness): Promise<string[]> {
  await harness.clock.advance(0);
  return harness.rules.splice(0).map(rule => {
    if (typeof rule === 'string') return rule;
    const blocks = rule.blocks.map(({ subnet, bridges = [] }) => [subnet, ...bridges].join(' '));
    return `firewall: ${blocks.join()}, ${rule.tunnel?.peers.length} peers`;
  });
}

/** The network of a host with a bridge that has this address. */
function withBridge(address: string): HostNetwork {
  const { links, addresses, ...rest } = network('192.168.65.3/24', true, address);
  const [eth0] = links;
  const [outer, inner] = addresses;
  assert.ok(eth0 && outer && inner);
  const bridge = { ...eth0, index: 3, name: 'docker0', info: { kind: 'bridge' } } as const;
  return { ...rest, links: [eth0, bridge], addresses: [outer, { ...inner, index: 3 }] };
}

test('the subnet file is written when the firewall is set: containers that start then are masqueraded', async t => {
  const harness = await run(t);
  const set = Promise.withResolvers<void>();
  harness.applyFirewall = () => set.promise;
  harness.start();
  assert.deepEqual(await takeRules(harness), ['firewall: 10.3.5.0/24, 1 peers']);
  set.resolve();
  assert.deepEqual(await takeRules(harness), [SUBNET_ENV]);
});

test('a firewall that cannot be set does not keep the subnet file from being written', async t => {
  const harness = await run(t);
  harness.applyFirewall = () => Promise.reject(new Error('nft: busy'));
  harness.start();
  assert.deepEqual(await takeRules(harness), ['firewall: 10.3.5.0/24, 1 peers', SUBNET_ENV]);
});

test('how the subnet file was written is a condition', async t => {
  const harness = await run(t);
  const condition = () => harness.health.conditions().find(({ name }) => name === 'subnet-file');
  harness.subnetFile.set({ ok: false, lastError: 'no space left' });
  await harness.clock.advance(0);
  assert.equal(condition()?.reason, '/run/subnet.env could not be written: no space left');
  harness.subnetFile.set({ ok: true });
  await harness.clock.advance(0);
  assert.equal(condition()?.ok, true);
});

test('the firewall follows the bridges of the subnet, and the peers while it depends on them', async t => {
  const harness = await run(t);
  harness.start();
  await takeRules(harness);
  harness.overlay.setNetwork(withBridge('10.3.5.1/24'));
  assert.deepEqual(await takeRules(harness), ['firewall: 10.3.5.0/24 docker0, 1 peers', SUBNET_ENV]);
  harness.overlay.setNetwork(withBridge('10.3.5.1/24'));
  assert.deepEqual(await takeRules(harness), []);

  harness.overlay.changePeers([lease('10.3.8.0-24')], []);
  assert.deepEqual(await takeRules(harness), []);
  harness.firewallIs({ dependsOnPeers: true });
  assert.deepEqual(await takeRules(harness), ['firewall: 10.3.5.0/24 docker0, 2 peers', SUBNET_ENV]);
  harness.firewallIs({ dependsOnPeers: true });
  assert.deepEqual(await takeRules(harness), []);
  harness.overlay.changePeers([], ['10.3.8.0-24']);
  assert.deepEqual(await takeRules(harness), ['firewall: 10.3.5.0/24 docker0, 1 peers', SUBNET_ENV]);
  harness.firewallIs({ dependsOnPeers: false });
  harness.overlay.changePeers([lease('10.3.8.0-24')], []);
  assert.deepEqual(await takeRules(harness), []);
});

test('of the devices of the last run, those that are not in use are removed once', async t => {
  const harness = await run(t, ['flannel.77', 'flannel.88']);
  assert.deepEqual(harness.overlay.devices, ['flannel.77', 'flannel.88'], 'until there is a plan');
  const removed = () =>
    harness.events.list().flatMap(({ type, text }) => (type === 'state-repaired' ? [text] : []));
  harness.start();
  await takeRules(harness);
  assert.deepEqual(removed(), ['removed: the former device flannel.77']);
  assert.deepEqual(harness.overlay.devices, ['flannel.88']);
  harness.overlay.setNetwork(withBridge('10.3.5.1/24'));
  await takeRules(harness);
  assert.equal(removed().length, 1);
});

test('a host that does not forward is looked at when a round has seen new settings, and on request', async t => {
  const harness = await run(t);
  const codes = () => harness.health.warnings().map(({ code }) => code);
  harness.start();
  await takeRules(harness);
  assert.deepEqual(codes(), []);
  harness.sysctls.set('net/ipv4/ip_forward', '0');
  harness.round();
  assert.deepEqual(codes(), []);
  harness.round({ settingsChanged: true });
  assert.deepEqual(codes(), ['FORWARDING_OFF']);
  harness.sysctls.clear();
  harness.overlay.checkForwarding();
  assert.deepEqual(codes(), []);
});

test('an underlay without a carrier is a warning while the interface is up', async t => {
  const harness = await run(t);
  const codes = () => harness.health.warnings().map(({ code }) => code);
  const { links, ...rest } = network('192.168.65.3/24');
  harness.start();
  harness.overlay.setNetwork({ ...rest, links: links.map(link => ({ ...link, running: false })) });
  assert.deepEqual(codes(), ['NO_CARRIER']);
  harness.overlay.setNetwork({ ...rest, links });
  assert.deepEqual(codes(), []);
});

test('the data plane is applied once for each change, and not at all before there is something to apply', async t => {
  const harness = await run(t);
  const rounds = async () => {
    await harness.clock.advance(60_000);
    const { rounds } = harness;
    harness.rounds = 0;
    return rounds;
  };
  assert.equal(await rounds(), 0);
  harness.start();
  assert.equal(await rounds(), 1);
  harness.overlay.changePeers([lease('10.3.8.0-24')], []);
  assert.equal(await rounds(), 1);
  const device = (vni: number) => ({ name: `flannel.${vni}`, kind: 'vxlan', inSync: true }) as const;
  harness.links = [device(88), device(89)];
  harness.overlay.setConfig(config(89));
  assert.equal(await rounds(), 3, 'another device is prepared, handed over to, and alone');
});

test('a kernel that does not answer is a condition, and tried again until it does', async t => {
  const harness = await run(t);
  const reason = () => harness.health.conditions().find(({ name }) => name === 'dataplane')?.reason;
  const { applyDataPlane } = harness;
  harness.applyDataPlane = () => Promise.reject(new Error('timed out'));
  harness.start();
  await harness.clock.advance(10_000);
  assert.equal(reason(), 'the kernel does not answer: timed out');
  assert.ok(harness.rounds > 3 && harness.rounds < 8, `${harness.rounds} tries in ten seconds`);
  harness.applyDataPlane = applyDataPlane;
  await harness.clock.advance(30_000);
  assert.equal(reason(), undefined);
});
