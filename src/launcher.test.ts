/** How `bin/tulle` starts the program, with a stub in its place that tells how it was started. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
  const told =
    '{ args: process.argv.slice(2), flags: process.execArgv, arenas: process.env.MALLOC_ARENA_MAX }';
  writeFileSync(join(root, 'src/main.ts'), `console.log(JSON.stringify(${told}));\n`);
});
afterEach(() => rmSync(root, { recursive: true }));

interface Start {
  readonly args: readonly string[];
  readonly flags: readonly string[];
  readonly arenas?: string;
}

const bundled = () => join(root, 'node_modules/node/bin/node');

function start(args: readonly string[], { program = join(root, 'bin/tulle'), node = '' } = {}): Start {
  const env = { PATH: '/usr/bin:/bin', TULLE_NODE: node, NODE_COMPILE_CACHE: join(root, 'cache') };
  return JSON.parse(execFileSync(program, args, { env, encoding: 'utf8' })) as Start;
}

/** A node that does not know `--memory-saver-mode`. */
function otherNode(): string {
  const path = join(root, 'other-node');
  const refuse = 'case "$*" in *--memory-saver-mode*) echo "bad option" >&2; exit 9 ;; esac';
  writeFileSync(path, `#!/bin/sh\n${refuse}\nexec '${process.execPath}' "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('bin/tulle', () => {
  test('starts the daemon of a host small, and every other command as it is', () => {
    symlinkSync(process.execPath, bundled());
    for (const line of [['agent', '--iface=eth0'], ['agent'], ['up', '--join=x'], ['bench', 'program']]) {
      const { args, flags, arenas } = start(line);
      assert.deepEqual(args, line);
      assert.ok(
        flags.includes('--max-semi-space-size=1') && flags.includes('--no-turbofan'),
        flags.join(' '),
      );
      assert.equal(arenas, '1');
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

  test('starts with a Node.js that does not know all flags', () => {
    const { args, flags } = start(['agent', '--ip-masq'], { node: otherNode() });
    assert.deepEqual(args, ['agent', '--ip-masq']);
    assert.deepEqual(flags, ['--max-semi-space-size=1']);
  });
});
