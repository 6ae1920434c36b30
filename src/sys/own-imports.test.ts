import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import './own-imports.ts';

test('a file is one module, by whichever name it is imported', async () => {
  const byName = await import('../base/ip.ts');
  const byUrl = await import(new URL('../base/ip.ts', import.meta.url).href);
  assert.equal(byName.Ip, Ip);
  assert.equal(byUrl.Ip, Ip);
});

test('packages and what is part of Node.js are found as ever', async () => {
  const { Command } = await import('commander');
  const { join } = await import('node:path');
  assert.deepEqual([typeof Command, typeof join], ['function', 'function']);
});

test('a file that is missing is named', async () => {
  const missing = './no-such-file.ts';
  await assert.rejects(import(missing), /src\/sys\/no-such-file\.ts/);
});
