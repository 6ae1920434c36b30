import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ProcessError } from '../../sys/process.ts';
import {
  readDaemonFile,
  readLease,
  restoreFile,
  undoChanges,
  undoInFile,
  writeChanges,
} from './configure.ts';
import { flagsIn, optionsIn, wordsOfExecStart } from './dockerd.ts';
import { consequences, restartDocker } from './restart.ts';

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'tt-daemon-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

const BIP = [{ key: 'bip', after: '10.3.1.1/24' }];

test('a file keeps its mode and its place behind a link, and its first state beside it', async t => {
  const at = directory(t);
  const [file, link] = [join(at, 'real.json'), join(at, 'daemon.json')];
  writeFileSync(file, '{"debug": true}');
  chmodSync(file, 0o640);
  symlinkSync(file, link);
  await writeChanges(await readDaemonFile(link), BIP);
  assert.equal(readFileSync(link, 'utf8'), '{"debug": true, "bip": "10.3.1.1/24"}');
  assert.equal(statSync(file).mode & 0o777, 0o640);
  await writeChanges(await readDaemonFile(link), [{ key: 'bip', after: '10.3.2.1/24' }]);
  assert.equal(readFileSync(`${file}.before-tulle`, 'utf8'), '{"debug": true}');

  // What was changed meanwhile by others stays.
  writeFileSync(file, readFileSync(file, 'utf8').replace('true', 'false'));
  const read = await readDaemonFile(link);
  const changes = await undoChanges(read);
  assert.deepEqual(changes, [{ key: 'bip', before: '10.3.2.1/24', after: undefined }]);
  await undoInFile(read, changes);
  assert.equal(readFileSync(file, 'utf8'), '{"debug": false}');
  assert.equal(await undoChanges(read), undefined);
  assert.deepEqual(readdirSync(at).sort(), ['daemon.json', 'real.json']);
});

test('a file that was not there is gone after an undo, unless others have written into it', async t => {
  const path = join(directory(t), 'daemon.json');
  const undo = async () => {
    const file = await readDaemonFile(path);
    await undoInFile(file, (await undoChanges(file)) ?? assert.fail('nothing to undo'));
  };
  await writeChanges(await readDaemonFile(path), BIP);
  assert.equal(readFileSync(path, 'utf8'), '{\n  "bip": "10.3.1.1/24"\n}\n');
  await undo();
  assert.deepEqual((await readDaemonFile(path)).exists, false);
  await writeChanges(await readDaemonFile(path), [...BIP, { key: 'debug', after: true }]);
  await undo();
  assert.equal(readFileSync(path, 'utf8'), '{\n  "debug": true\n}\n');
});

test('a broken file is refused with its place, and stays', async t => {
  const path = join(directory(t), 'daemon.json');
  writeFileSync(path, '{\n  "a": 1,\n}');
  await assert.rejects(readDaemonFile(path), {
    code: 'INVALID_CONFIG',
    message: `${path}: line 3, column 1: want a key in double quotes`,
  });
  assert.equal(readFileSync(path, 'utf8'), '{\n  "a": 1,\n}');
});

test('without a lease there is nothing to configure', async t => {
  const path = join(directory(t), 'subnet.env');
  await assert.rejects(readLease(path), { code: 'NOT_NOW', message: /no agent has leased/ });
  writeFileSync(path, 'FLANNEL_MTU=1450\n');
  await assert.rejects(readLease(path), { code: 'NOT_NOW', message: /names no subnet/ });
});

test('a dockerd that does not start gets its former file, and is started with that', async t => {
  const path = join(directory(t), 'daemon.json');
  writeFileSync(path, '{}');
  const former = await readDaemonFile(path);
  await writeChanges(former, BIP);
  const calls: string[] = [];
  const run = async (_: string, args: readonly string[]) => {
    calls.push(args.join(' '));
    if (args[0] === 'restart') throw new ProcessError('EXITED', 'it failed');
    return { status: 0, stdout: '', stderr: '' };
  };
  await assert.rejects(
    restartDocker(run, () => restoreFile(former)),
    { code: 'FAILED', message: /has its former one again/ },
  );
  assert.equal(readFileSync(path, 'utf8'), '{}');
  assert.deepEqual(calls, ['restart docker.service', 'reset-failed docker.service', 'start docker.service']);
});

test('what a restart does is said of containers by name', () => {
  const docker = { liveRestore: false, containers: ['db', 'web'], restarted: ['web'] };
  assert.deepEqual(consequences(docker), [
    'the changes count from the next start of dockerd, and a restart stops all containers: db, web',
    'dockerd starts these again: web',
    'these stay stopped (docker start): db',
  ]);
  assert.match(consequences({ ...docker, liveRestore: true }).join('\n'), /as long as one runs.*\n.*db, web/);
  assert.match(consequences({ ...docker, containers: [] }).join(), /no container runs/);
  assert.match(consequences(undefined).join(), /no dockerd answers/);
  const many = Array.from({ length: 20 }, (_, at) => `c${at}`);
  assert.match(consequences({ ...docker, containers: many, restarted: [] })[0] ?? '', /c7 and 12 more$/);
});

test("dockerd's command line is read as dockerd reads it", () => {
  const flags = flagsIn([
    '-H',
    'fd://',
    '-b=br0',
    '--live-restore',
    '--mtu',
    '1450',
    '--dns=a',
    '--dns',
    'b',
    '-D',
  ]);
  assert.deepEqual(Object.fromEntries(flags), {
    H: ['fd://'],
    bridge: ['br0'],
    'live-restore': ['true'],
    mtu: ['1450'],
    dns: ['a', 'b'],
    D: ['true'],
  });
  assert.deepEqual(
    wordsOfExecStart(
      'ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS ; ignore_errors=no ; pid=0 }',
    ),
    ['-H', 'fd://', '$DOCKER_OPTS'],
  );
  assert.deepEqual(wordsOfExecStart('ExecStart='), []);
  const help =
    '  -b, --bridge string      Attach\n      --bip string       IP\n      --config-file string  (default "x --no-flag")\n';
  assert.deepEqual([...optionsIn(help)], ['bridge', 'bip', 'config-file']);
});
