/** A disk that is full: the agent works on, says what it could not save, and saves it once there is room. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mount, umount } from '../../src/sys/libc.ts';
import { needsRoot } from '../integration/support.ts';
import { Cluster } from '../support/cluster.ts';
import { needsEtcd } from '../support/etcd.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;
const MNT_DETACH = 2;

/** A filesystem without a free byte, at `path`; deleting `ballast` in it makes room. */
function fullDisk(path: string): Disposable {
  mkdirSync(path, { recursive: true });
  mount('tmpfs', path, 'tmpfs', 0, 'size=64k');
  assert.throws(() => writeFileSync(join(path, 'ballast'), Buffer.alloc(128 * 1024)), { code: 'ENOSPC' });
  return { [Symbol.dispose]: () => umount(path, MNT_DETACH) };
}

test('without room for its state a host joins all the same, and saves later', needs, async t => {
  const cluster = await Cluster.start(t);
  const host = cluster.host(1);
  using _disk = fullDisk(host.stateDirectory);
  await cluster.startAgents();
  const status = await host.until('it complains', ({ conditions }) =>
    conditions.some(({ name, ok }) => name === 'state' && !ok),
  );
  assert.equal(status.agent.state, 'degraded');
  assert.equal(status.agent.ready, true);
  assert.match(status.agent.reason ?? '', /ENOSPC/);
  rmSync(join(host.stateDirectory, 'ballast'));
  await host.until('it is saved', ({ agent }) => agent.state === 'ready');
  const identity = JSON.parse(readFileSync(join(host.stateDirectory, 'identity.json'), 'utf8')) as object;
  assert.equal((identity as { hostId: string }).hostId, status.host.id);
});
