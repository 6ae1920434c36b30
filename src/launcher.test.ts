/** How `bin/tulle` starts the program, with a stub in its place that prints how it was started. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, test } from 'node:test';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tt-launcher-'));
  for (const directory of ['bin', 'src', 'node_modules/node/bin']) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  copyFileSync(join(import.meta.dirname, '../bin/tulle'), join(root, 'bin/tulle'));
  const expected = '{ args: process.argv.slice(2), flags: process.execArgv }';
  writeFileSync(join(root, 'src/main.ts'), `console.log(JSON.stringify(${expected}));\n`);
});
afterEach(() => rmSync(root, { recursive: true }));

interface Start {
  readonly args: readonly string[];
  readonly flags: readonly string[];
}

const bundled = () => join(root, 'node_modules/node/bin/node');

function start(args: readonly string[], { program = join(root, 'bin/tulle'), node = '' } = {}): Start {
  const env = { PATH: '/usr/bin:/bin', TULLE_NODE: node, NODE_COMPILE_CACHE: join(root, 'cache') };
  return JSON.parse(execFileSync(program, args, { env, encoding: 'utf8' })) as Start;
}

describe('bin/tulle', () => {
  test('starts the daemon of a host small, and every other command as it is', () => {
    symlinkSync(process.execPath, bundled());
    for (const line of [['agent', '--iface=eth0'], ['agent'], ['up', '--join=x'], ['bench', 'program']]) {
      assert.deepEqual(start(line), { args: line, flags: ['--max-semi-space-size=1'] });
    }
    assert.deepEqual(start(['status', 'agent']), { args: ['status', 'agent'], flags: [] });
    assert.deepEqual(start(['bench', 'store']), { args: ['bench', 'store'], flags: [] });
    assert.deepEqual(start([]), { args: [], flags: [] });
  });

  test('hands every argument on as it is', () => {
    symlinkSync(process.execPath, bundled());
    const args = ['agent', '--iface-regex=^(eth|ens)\\d+$', '--name=a  b', '*', ''];
    assert.deepEqual(start(args).args, args);
  });

  test('is found through a link', () => {
    symlinkSync(process.execPath, bundled());
    symlinkSync(join(root, 'bin/tulle'), join(root, 'tulle'));
    assert.deepEqual(start(['status'], { program: join(root, 'tulle') }).args, ['status']);
  });

  test('takes the Node.js of the environment where it brought none', () => {
    const { args, flags } = start(['agent', '--ip-masq'], { node: process.execPath });
    assert.deepEqual(args, ['agent', '--ip-masq']);
    assert.deepEqual(flags, ['--max-semi-space-size=1']);
  });
});
