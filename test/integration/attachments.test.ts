/**
 * Attachments on two hosts of one cluster, with the real kernel and a real store.
 *
 *     a: namespace with eth0 ── tv... ── tb-blue ── tv-blue ══ VXLAN ══ tv-blue ── tb-blue ── tv... ── te... :b
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { type AttachmentHost, attachmentHosts, macText, OVERLAY } from '../support/attachment-hosts.ts';
import { eventually } from '../support/eventually.ts';
import { needsLab } from '../support/lab.ts';

const CNI = { engine: 'cni' };
const IPV6 = { family: 'ipv6' };
const LIMIT = { timeout: 120_000 };

test('containers of two hosts are on one network, whoever runs them', {
  ...needsLab(),
  ...LIMIT,
}, async t => {
  const { hosts } = await attachmentHosts(t);
  const [one, two] = hosts;
  await Promise.all(hosts.map(host => host.start()));
  const made = hosts.map(host => patiently(() => host.ensure('blue', { ipv6: true })));
  const [here, there] = await Promise.all(made);
  assert.deepEqual(here, there, 'two that make it at the same moment');

  const a = await one.reserve('blue', 1, { engine: 'cni' });
  await one.run('ip netns add a');
  const sandbox = { path: '/run/netns/a', link: 'eth0' };
  const attached = await one.attach('blue', 1, a, { engine: 'cni', sandbox });
  assert.deepEqual(await one.links(), [attached.hostLink]);
  assert.deepEqual(await one.attach('blue', 1, a, { engine: 'cni', sandbox }), attached, 'the same again');
  assert.deepEqual(await one.ask('check', { id: 'id-1' }), []);

  const b = await two.reserve('blue', 2);
  const pair = await two.attach('blue', 2, b);
  assert.deepEqual(await two.links(), [pair.containerLink, pair.hostLink].sort());
  await moveInside(two, 'b', pair.containerLink, `${b}/16`);
  await eventually('b reaches a', () => two.pings('b', a));
  await eventually('a reaches b', () => one.pings('a', b));
  const known = () => one.run(`ip neigh show ${b} dev ${here?.bridge}`);
  await eventually('the other host knows the address', async () => (await known()).includes(macText(2)));

  await two.run('ip -n b link delete eth0');
  assert.deepEqual(await two.ask('check', { id: 'id-2' }), [`the link ${pair.hostLink} is gone`]);
  assert.equal(await two.ask('detach', { id: 'id-2' }), true);
  assert.equal(await two.ask('detach', { id: 'id-2' }), false);
  await eventually('the other host knows that it is gone', async () => (await known()) === '');
});

test('the overlay has a bridge while containers are on it', { ...needsLab(), ...LIMIT }, async t => {
  const { hosts } = await attachmentHosts(t);
  const [one, two] = hosts;
  await Promise.all(hosts.map(host => host.start()));
  const leased = hosts.map(host => patiently(() => host.ensure('default')));
  const [here, there] = await Promise.all(leased);
  assert.notEqual(here?.subnets.ipv4, there?.subnets.ipv4);
  assert.equal((await one.run('ip -o link')).includes('tulle0'), false);

  const [a, a6] = [
    await one.reserve('default', 1, CNI),
    await one.reserve('default', 1, { ...CNI, ...IPV6 }),
  ];
  await one.run('ip netns add a');
  const addresses = { ipv4: a, ipv6: a6 };
  await one.attach('default', 1, a, { ...CNI, addresses, sandbox: { path: '/run/netns/a', link: 'eth0' } });
  const b = await two.reserve('default', 2);
  const pair = await two.attach('default', 2, b);
  await moveInside(two, 'b', pair.containerLink, `${b}/24`);
  await two.run(`ip -n b route add default via ${there?.gateways.ipv4}`);
  await eventually('a reaches b', () => one.pings('a', b));
  const c6 = await two.reserve('default', 3, { ...CNI, ...IPV6 });
  await two.run('ip netns add c');
  await two.attach('default', 3, c6, { ...CNI, sandbox: { path: '/run/netns/c', link: 'eth0' } });
  await eventually('a reaches c over IPv6', () => one.pings('a', c6));
  assert.equal(await one.pings('a', '192.168.65.4'), true, 'it is masqueraded');
  assert.deepEqual(await one.ask('check', { id: 'id-1' }), []);

  await one.run('ip link delete tulle0');
  await eventually('a reaches b when the bridge is back', () => one.pings('a', b));
  await one.kill();
  await one.start();
  assert.equal(await one.pings('a', b), true);
  assert.notEqual(await patiently(() => one.reserve('default', 3)), a);
  await one.ask('reconcile', { engine: 'docker' });
  await one.ask('detach', { id: 'id-1' });
  for (const ip of [a, a6]) await one.ask('release', { network: 'default', ip });
  await eventually('the bridge is gone', async () => !(await one.run('ip -o link')).includes('tulle0'));
  await one.run('ip link add own type bridge');
  await one.run(`ip address add ${here?.gateways.ipv4}/24 dev own`);
  await assert.rejects(one.reserve('default', 4), { code: 'NOT_READY' }, 'there is no second one beside it');
  await one.run('ip link delete own');

  await two.kill();
  const state = [
    '--state-dir',
    two.directory,
    '--subnet-file',
    `${two.directory}/subnet.env`,
    '--network',
    OVERLAY.Network,
  ];
  await two.lab.run(TULLE, ['cleanup', ...state]);
  assert.deepEqual(await two.links(), []);
  assert.equal((await two.run('ip -o link')).includes('tulle0'), false);
  assert.deepEqual(existsSync(two.directory) ? readdirSync(two.directory) : [], []);
});

/** An engine asks again what is not ready in two seconds: an agent may just have started. */
function patiently<T>(ask: () => Promise<T>): Promise<T> {
  return eventually('it is ready', ask);
}

/** As Docker does. */
async function moveInside(host: AttachmentHost, netns: string, link: string, address: string): Promise<void> {
  await host.run(`ip netns add ${netns}`);
  await host.run(`ip link set ${link} netns ${netns} name eth0`);
  await host.run(`ip -n ${netns} address add ${address} dev eth0`);
  await host.run(`ip -n ${netns} link set eth0 up`);
}
