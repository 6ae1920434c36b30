/** I4: what the agent of this host knows of its store need not be said again. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { needsRoot } from '../../test/support/capabilities.ts';
import { serveAsAgent } from '../../test/support/fake-agent.ts';
import { status } from '../../test/support/status.ts';
import { TulleStore } from '../../test/support/tulle-store.ts';
import { run } from '../sys/process.ts';

const MAIN = join(import.meta.dirname, '../main.ts');
const PREFIX = '/nets/one';
/** Of a command, in milliseconds. */
const TIMEOUT = 30_000;

describe('commands on the registry', () => {
  let store: TulleStore;
  const socket = serveAsAgent((_, response) => {
    const way = { endpoints: [store.url], prefix: PREFIX };
    response.end(JSON.stringify(status({ store: { ...status().store, ...way } })));
  });
  before(async () => {
    store = await TulleStore.start();
    await store.ctl('put', `${PREFIX}/config`, '{"Network":"10.5.0.0/16"}');
    await store.ctl('put', '/other/config', '{"Network":"10.6.0.0/16"}');
    await store.ctl(
      'put',
      `${PREFIX}/subnets/10.5.34.0-24`,
      '{"PublicIP":"192.0.2.4","TulleHostName":"docker2"}',
    );
  });
  after(() => store[Symbol.asyncDispose]());
  const tulle = (args: readonly string[], env: Record<string, string> = {}) =>
    run(process.execPath, [MAIN, ...args], {
      anyStatus: true,
      timeout: TIMEOUT,
      env: { PATH: process.env['PATH'], TULLE_SOCKET: socket, ...env },
    });

  test('I4: learn the store and the prefix from the agent of this host', async () => {
    assert.equal((await tulle(['config', 'get'])).stdout, '{"Network":"10.5.0.0/16"}\n');
    assert.match((await tulle(['lease', 'list'])).stdout, /^10\.5\.34\.0\/24 +192\.0\.2\.4 .* docker2$/m);
  });

  test('I4: and go by what is named where something is', async () => {
    assert.match((await tulle(['config', 'get', '--etcd-prefix=/other'])).stdout, /10\.6\.0\.0/);
    const { status: exit, stderr } = await tulle(['config', 'get', `--etcd-endpoints=${store.url}`]);
    assert.deepEqual([exit, /\/coreos\.com\/network\/config/.test(stderr)], [7, true], stderr);
    const variable = { FLANNELD_ETCD_PREFIX: '/other' };
    assert.match((await tulle(['config', 'get'], variable)).stdout, /10\.6\.0\.0/);
  });

  test('I4: and say which option to give where nothing on the host helps', needsRoot, async () => {
    // A machine of its own, on which nothing of Tulle is.
    const bare = ['--net', '--mount', 'sh', '-c', 'mount -t tmpfs none /var/lib && exec "$0" "$@"'];
    const { status: exit, stderr } = await run(
      'unshare',
      [...bare, process.execPath, MAIN, 'lease', 'list'],
      {
        anyStatus: true,
        timeout: TIMEOUT,
        env: { PATH: process.env['PATH'], TULLE_SOCKET: `${socket}.none` },
      },
    );
    assert.match(
      stderr,
      /^tulle: error: the store is unknown: no agent runs here, and no local store answers: .*\nhint: give --etcd-endpoints/,
    );
    assert.equal(exit, 5);
  });

  test('I5: find a lease by the name of its host, and say so when several have it', async () => {
    const shown = await tulle(['lease', 'show', 'docker2']);
    assert.match(shown.stdout, /^subnet +10\.5\.34\.0\/24\n[^]*^host +docker2$/m);
    await store.ctl(
      'put',
      `${PREFIX}/subnets/10.5.35.0-24`,
      '{"PublicIP":"192.0.2.5","TulleHostName":"docker2"}',
    );
    const twice = await tulle(['lease', 'release', 'docker2', '--force']);
    assert.equal(twice.status, 2);
    assert.match(twice.stderr, /2 leases are docker2: 10\.5\.34\.0\/24, 10\.5\.35\.0\/24/);
  });
});
