/**
 * Attachments while things fail: the agent is killed after each change of a link, the store is away, bridge and link are
 * deleted by hand, the disk is full.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type AttachmentHost, attachmentHosts, macText } from '../support/attachment-hosts.ts';
import { eventually } from '../support/eventually.ts';
import { needsLab } from '../support/lab.ts';

test('attachments are whole or not there, whatever fails', { ...needsLab(), timeout: 480_000 }, async t => {
  const { hosts, store } = await attachmentHosts(t);
  const [one, two] = hosts;
  await Promise.all(hosts.map(host => host.start()));
  const blue = await patiently(() => one.ensure('blue', { subnets: { ipv4: '10.9.0.0/16' } }));
  await one.run('ip netns add a');
  const sandbox = { path: '/run/netns/a', link: 'eth0' };

  await t.test('an agent that is killed after any change of a link leaves nothing half made', async () => {
    // The pair with its place on the bridge; then, for a container that leaves, the end of the pair.
    for (let changes = 1; changes <= 2; changes++) {
      await one.ask('killAfter', { changes });
      const asked = (async () => {
        const ip = await patiently(() => one.reserve('blue', changes));
        await one.attach('blue', changes, ip);
        await one.ask('detach', { id: `id-${changes}` });
      })();
      await assert.rejects(asked, { code: 'ENDED' }, `after ${changes}`);
      await one.ended();
      await one.start();
      await patiently(() => one.ensure('blue'));
      const listed = await one.ask<readonly { readonly id: string }[]>('list');
      // What was detached but for its record has no link any more, which the engine removes by asking again.
      assert.equal(listed.length, changes === 2 ? 1 : 0, `after ${changes}`);
      await eventually(`nothing is left after ${changes}`, async () => (await one.links()).length === 0);
      await one.ask('reconcile', { engine: 'docker' });
      assert.deepEqual(await one.ask('list'), []);
    }
  });

  await t.test('what is attached survives its agent, its bridge, and a store that is away', async () => {
    const ip = await one.reserve('blue', 10, { engine: 'cni' });
    await one.attach('blue', 10, ip, { engine: 'cni', sandbox });
    const other = await patiently(() => two.reserve('blue', 11, { engine: 'cni' }));
    await two.run('ip netns add b');
    await two.attach('blue', 11, other, { engine: 'cni', sandbox: { path: '/run/netns/b', link: 'eth0' } });
    await eventually('they reach each other', () => one.pings('a', other));
    await one.run(`ip link delete ${blue.bridge}`);
    await eventually('and with a new bridge', () => one.pings('a', other));
    // What an agent has just heard it writes down within seconds; without the store the next one knows no more than that.
    await eventually('it is written down where the other one is', async () => {
      const [name = ''] = (await readdir(one.directory)).filter(file => /^known-.*\.json$/.test(file));
      const text = await readFile(join(one.directory, name), 'utf8');
      return text.includes(`blue/endpoints/${other}`) && (text.match(/blue\/members\//g) ?? []).length === 2;
    });
    await store.stop();
    await one.kill();
    await one.start();
    assert.equal(await one.pings('a', other), true);
    const further = await patiently(() => one.reserve('blue', 12));
    assert.notEqual(further, ip);
    await one.attach('blue', 12, further);
    await assert.rejects(one.ensure('green'), { code: 'UNAVAILABLE' });
    await store.restart();
    const known = () => two.run(`ip neigh show ${further} dev ${blue.bridge}`);
    await eventually(
      'the other host learns of it',
      async () => (await known()).includes(macText(12)),
      60_000,
    );
  });

  await t.test('a link that was deleted by hand is missed, and made again', async () => {
    const [link = ''] = (await one.links()).filter(name => name.startsWith('tv'));
    const all = await one.ask<readonly { readonly id: string; readonly hostLink: string }[]>('list');
    const { id } = all.find(({ hostLink }) => hostLink === link) ?? assert.fail(link);
    await one.run(`ip link delete ${link}`);
    assert.deepEqual(await one.ask('check', { id }), [`the link ${link} is gone`]);
    const known = () => two.run(`ip neigh show dev ${blue.bridge}`);
    const mac = macText(Number(id.slice(3)));
    await eventually('the others forget it', async () => !(await known()).includes(mac));
    await one.ask('detach', { id });
  });

  await t.test('a disk that is full keeps no container from its network', async () => {
    await one.kill();
    await fill(one);
    await one.start();
    const ip = await patiently(() => one.reserve('blue', 20));
    const { hostLink, containerLink } = await one.attach('blue', 20, ip);
    assert.deepEqual((await one.links()).filter(name => [hostLink, containerLink].includes(name)).length, 2);
    await one.run(`umount ${one.directory}`);
    await one.kill();
    await one.start();
    // Its record has it from the link.
    assert.equal(await patiently(() => one.ask('detach', { id: 'id-20' })), true);
  });

  await one.ask('reconcile', { engine: 'docker' });
  await one.ask('reconcile', { engine: 'cni' });
  await eventually('no link is left', async () => (await one.links()).length === 0);
});

/** An engine asks again what is not ready in two seconds: an agent may just have started. */
function patiently<T>(ask: () => Promise<T>): Promise<T> {
  return eventually('it is ready', ask);
}

/** Lays a file system without room over its state, in the host's own mounts. */
async function fill(host: AttachmentHost): Promise<void> {
  await mkdir(host.directory, { recursive: true });
  await host.run(`mount -t tmpfs -o size=4k none ${host.directory}`);
  await host.run(`dd if=/dev/zero of=${host.directory}/full bs=4096 count=1`);
}
