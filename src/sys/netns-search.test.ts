import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Netns } from './netns.ts';
import { networkNamespaces } from './netns-search.ts';

test('a file that a container has left behind is no namespace', t => {
  const directory = mkdtempSync(join(tmpdir(), 'netns-search-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const left = join(directory, '8e5b4b7f2c11');
  writeFileSync(left, '');
  const inodes = Array.from(networkNamespaces([directory]), netns => {
    using each = netns;
    return each.inode;
  });
  using own = Netns.current();
  assert.ok(inodes.includes(own.inode));
  assert.ok(!inodes.includes(statSync(left).ino));
});
