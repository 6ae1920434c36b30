import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError } from '../base/errors.ts';
import { type StoreFlags, storeConfig } from './config.ts';

const parent = mkdtempSync(join(tmpdir(), 'tt-config-'));
process.once('exit', () => rmSync(parent, { recursive: true, force: true }));

const flags = (given: Partial<StoreFlags>): StoreFlags => ({
  name: 'default',
  dataDir: join(parent, 'data'),
  listenClientUrls: ['http://127.0.0.1:2379'],
  quotaBackendBytes: '0',
  autoCompactionMode: 'periodic',
  autoCompactionRetention: '0',
  ...given,
});

test('the defaults serve loopback, with a directory for its owner only', () => {
  const config = storeConfig(flags({}));
  assert.deepEqual(config.listen, [{ host: '127.0.0.1', port: 2379 }]);
  assert.deepEqual(config.advertise, ['http://127.0.0.1:2379']);
  assert.equal(config.quota, 2n * 1024n ** 3n);
  assert.equal(config.autoCompaction, undefined);
  assert.equal(statSync(config.dataDir).mode & 0o777, 0o700);
});

// E6: Kubernetes' tests of its storage set the interval, as its API server's operators do.
test('the interval of progress reports is read as etcd reads it, under both of its names', () => {
  const interval = (given: Partial<StoreFlags>) => storeConfig(flags(given)).progressMs;
  assert.equal(interval({}), 600_000);
  assert.equal(interval({ watchProgressNotifyInterval: '1m30s' }), 90_000);
  assert.equal(interval({ experimentalWatchProgressNotifyInterval: '5s' }), 5000);
  assert.equal(interval({ watchProgressNotifyInterval: '0' }), 600_000);
  assert.equal(interval({ watchProgressNotifyInterval: '1us' }), 100);
  assert.equal(interval({ watchProgressNotifyInterval: '9999h' }), 2 ** 31 - 1);
  assert.throws(() => interval({ watchProgressNotifyInterval: '10' }), /--watch-progress-notify-interval/);
});

test('quota and retention are read as etcd reads them', () => {
  assert.equal(storeConfig(flags({ quotaBackendBytes: '-1' })).quota, undefined);
  assert.equal(storeConfig(flags({ quotaBackendBytes: '1000' })).quota, 1000n);
  const retention = (autoCompactionMode: string, autoCompactionRetention: string) =>
    storeConfig(flags({ autoCompactionMode, autoCompactionRetention })).autoCompaction;
  assert.deepEqual(retention('periodic', '8'), { mode: 'periodic', keepMs: 8 * 3_600_000 });
  assert.deepEqual(retention('periodic', '30m'), { mode: 'periodic', keepMs: 30 * 60_000 });
  assert.deepEqual(retention('revision', '1000'), { mode: 'revision', keep: 1000n });
});

test('plain TCP leaves loopback only on request', () => {
  const open = { listenClientUrls: ['http://[::1]:1', 'http://0.0.0.0:2379'] };
  assert.throws(
    () => storeConfig(flags(open)),
    /--listen-client-urls = "http:\/\/0\.0\.0\.0:2379": plain TCP/,
  );
  const config = storeConfig(flags({ ...open, insecureListen: true }));
  assert.deepEqual(config.listen, [
    { host: '::1', port: 1 },
    { host: '0.0.0.0', port: 2379 },
  ]);
});

test('every problem is reported at once, and nothing is created', () => {
  const dataDir = join(parent, 'untouched');
  try {
    storeConfig(
      flags({
        dataDir,
        listenClientUrls: ['https://127.0.0.1:1', 'http://localhost.example:2379', 'nonsense'],
        advertiseClientUrls: ['ftp://x'],
        certFile: '/nothing/here.pem',
        clientCertAuth: true,
        quotaBackendBytes: '2GB',
        autoCompactionMode: 'sometimes',
      }),
    );
    assert.fail('accepted');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual(
      error.problems.map(({ path, value }) => (value === undefined ? path : `${path} ${value as string}`)),
      [
        '--key-file',
        '--client-cert-auth',
        '--cert-file /nothing/here.pem',
        '--listen-client-urls http://localhost.example:2379',
        '--listen-client-urls nonsense',
        '--advertise-client-urls ftp://x',
        '--quota-backend-bytes 2GB',
        '--auto-compaction-mode sometimes',
      ],
    );
  }
  assert.throws(() => statSync(dataDir), { code: 'ENOENT' });
});
