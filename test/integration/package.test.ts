/** I11: the documented line puts `tulle` onto the PATH, from one file and without the repository. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { packageVersion } from '../../src/base/version.ts';
import { run } from '../../src/sys/process.ts';

const ROOT = join(import.meta.dirname, '../..');
const PATIENCE = { timeout: 300_000 };

test('I11: a packed Tulle is installed elsewhere, and runs from the PATH', async t => {
  const prefix = mkdtempSync(join(tmpdir(), 'tt-package-'));
  t.after(() => rmSync(prefix, { recursive: true }));
  const packed = await run('npm', ['pack', '--silent', '--pack-destination', prefix], {
    cwd: ROOT,
    ...PATIENCE,
  });
  const file = join(prefix, packed.stdout.trim());
  const install = [
    'install',
    '--global',
    '--prefix',
    prefix,
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    file,
  ];
  await run('npm', install, { cwd: prefix, ...PATIENCE });
  // Only what every machine has, and what was just installed.
  const env = { PATH: `${join(prefix, 'bin')}:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: prefix };
  const tulle = (...args: string[]) => run('tulle', args, { cwd: '/', env });
  assert.equal((await tulle('version')).stdout, `${packageVersion()}\n`);
  assert.match((await tulle('--help')).stdout, /^Usage: tulle <command>/);
  const { stdout: unit } = await tulle('install', 'up', '--print');
  const [, program = ''] = /^ExecStart=(\S+) up$/m.exec(unit) ?? [];
  assert.match(readFileSync(program, 'utf8'), /^#!\/bin\/sh/, 'a service starts what was installed');
  // The parts that only TypeScript's compiler sees as modules: foreign functions, generated types, workers.
  const { stdout } = await tulle(
    'config',
    'validate',
    '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}',
  );
  assert.match(stdout, /^network +10\.5\.0\.0\/16$/m);
  const loaded = await run(
    process.execPath,
    ['-e', `await import('${join(program, '../../dist/up/up.js')}')`],
    { env },
  );
  assert.equal(loaded.stderr, '');
});
