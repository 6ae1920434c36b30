import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from '../support/capabilities.ts';

const ownInode = () => Number(/\d+/.exec(readlinkSync('/proc/thread-self/ns/net'))?.[0]);

test('a named namespace is made, entered, listed and removed', needsRoot, t => {
  const name = `tt-${randomBytes(4).toString('hex')}`;
  t.after(() => Netns.delete(name));
  const home = ownInode();
  using netns = Netns.create(name);
  assert.notEqual(netns.inode, home);
  assert.equal(ownInode(), home, 'creation comes back');
  assert.ok(Netns.list().includes(name));
  assert.throws(() => Netns.create(name), { code: 'EEXIST' });
  using again = Netns.named(name);
  assert.equal(again.inode, netns.inode);

  assert.equal(netns.run(ownInode), netns.inode);
  assert.match(
    netns.run(() => readFileSync('/proc/thread-self/net/dev', 'utf8')),
    /^ *lo:/m,
  );
  assert.equal(ownInode(), home);

  assert.equal(Netns.delete(name), true);
  assert.equal(Netns.delete(name), false);
  assert.ok(!Netns.list().includes(name));
});

test('an exception inside still comes back', needsRoot, () => {
  const home = ownInode();
  using netns = Netns.anonymous();
  assert.throws(() => netns.run(() => assert.fail('inside')), /inside/);
  assert.equal(ownInode(), home);
});

test('a file that an interrupted creation has left is removed', needsRoot, t => {
  const name = `tt-${randomBytes(4).toString('hex')}`;
  t.after(() => Netns.delete(name));
  Netns.create(name)[Symbol.dispose]();
  Netns.delete(name);
  writeFileSync(`/run/netns/${name}`, '');
  assert.equal(Netns.delete(name), true);
  assert.ok(!Netns.list().includes(name));
});

test('disposed twice, it leaves the descriptor alone that has its number by then', () => {
  const netns = Netns.current();
  const { fd } = netns;
  netns[Symbol.dispose]();
  assert.equal(netns.fd, -1);
  const other = openSync('/dev/null', 'r');
  assert.equal(other, fd, 'the lowest free number');
  netns[Symbol.dispose]();
  closeSync(other);
});
