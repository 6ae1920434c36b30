/** How a command on the registry chooses its way to the store, and what it says when that way is not open to it. */
import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { needsRoot } from '../../test/support/capabilities.ts';
import { serveAsAgent } from '../../test/support/fake-agent.ts';
import { status } from '../../test/support/status.ts';
import { TulleStore } from '../../test/support/tulle-store.ts';
import { run } from '../sys/process.ts';
import { withRegistry } from './store-options.ts';

const MAIN = join(import.meta.dirname, '../main.ts');
const CONFIG = '{"Network":"10.5.0.0/16"}';
const KEY = '/coreos.com/network/config';
/** Of a command, in milliseconds. */
const TIMEOUT = 30_000;

describe('the way to the store', () => {
  let store: TulleStore;
  const ofStore: RequestListener = (_, response) => {
    const way = { endpoints: [store.url], prefix: '/coreos.com/network' };
    response.end(JSON.stringify(status({ store: { ...status().store, ...way } })));
  };
  let answer = ofStore;
  const socket = serveAsAgent((request, response) => answer(request, response));
  before(async () => {
    store = await TulleStore.start();
    await store.ctl('put', KEY, CONFIG);
  });
  after(() => store[Symbol.asyncDispose]());
  const options = (env: Record<string, string> = {}) => ({
    anyStatus: true,
    timeout: TIMEOUT,
    env: { PATH: process.env['PATH'], TULLE_SOCKET: socket, ...env },
  });
  const tulle = (args: readonly string[], env: Record<string, string> = {}) =>
    run(process.execPath, [MAIN, ...args], options(env));
  /** With an empty /var/lib, after these words of shell. */
  const elsewhere = (shell: string, env: Record<string, string> = {}) => {
    const script = `mount -t tmpfs none /var/lib && ${shell} "$0" "$@"`;
    const command = [process.execPath, MAIN, 'config', 'get'];
    return run('unshare', ['--mount', 'sh', '-c', script, ...command], options(env));
  };

  test('an empty variable is none', async () => {
    const empty = { TULLE_ETCD_ENDPOINTS: '', TULLE_ETCD_PREFIX: '', FLANNELD_ETCD_CAFILE: '' };
    assert.equal((await tulle(['config', 'get'], empty)).stdout, `${CONFIG}\n`);
  });

  test('files for TLS that no endpoint uses are a warning', async () => {
    const { stdout, stderr } = await tulle(['config', 'get', '--etcd-cafile=/etc/ca.pem']);
    assert.match(stderr, /^tulle: warning: no endpoint uses https, .* \/etc\/ca\.pem\n$/);
    assert.equal(stdout, `${CONFIG}\n`);
  });

  test('an agent that gives no valid answer is not taken for none', async t => {
    t.after(() => {
      answer = ofStore;
    });
    answer = (_, response) => void response.writeHead(500).end('no');
    const { status: exit, stderr } = await tulle(['config', 'get']);
    assert.notEqual(exit, 0);
    assert.match(stderr, /the answer of the agent is not JSON/);
  });

  test('a host without a lease has none to release', async t => {
    t.after(() => {
      answer = ofStore;
    });
    answer = (_, response) => void response.end('{}');
    const { status: exit, stderr } = await tulle(['lease', 'release']);
    assert.deepEqual([exit, stderr], [7, 'tulle: error: this host holds no lease\n']);
  });

  test('a failure of another kind is not one of finding the store', async () => {
    const failure = new Error('of another kind');
    const work = () => Promise.reject(failure);
    await assert.rejects(withRegistry({ socket: `${socket}.none` }, work), failure);
  });

  test('a store that this host joined once is not that of an agent with another', needsRoot, async () => {
    const file = JSON.stringify({ version: 1, endpoint: 'https://192.0.2.3:2379', prefix: '/other' });
    const joined = `mkdir -p /var/lib/tulle/trust && echo '${file}' > /var/lib/tulle/trust/store.json && exec`;
    const { stdout, stderr } = await elsewhere(joined);
    assert.equal(stdout, `${CONFIG}\n`, stderr);
  });

  test('who may not look where the way is kept is told so', needsRoot, async () => {
    const foreign = 'mkdir -m 0700 /var/lib/tulle && chown 65534 /var/lib/tulle';
    const unprivileged = 'exec setpriv --bounding-set=-dac_override,-dac_read_search';
    const none = { TULLE_SOCKET: `${socket}.none` };
    const { status: exit, stderr } = await elsewhere(`${foreign} && ${unprivileged}`, none);
    assert.match(stderr, /^tulle: error: permission denied: only root can read .*\nhint: .* sudo/);
    assert.equal(exit, 6);
  });

  test('completion offers the hosts that the agent of the same socket knows', async () => {
    assert.equal((await tulle(['completion', '--offer', 'hosts'])).stdout, 'docker1\n');
  });

  test('the password of a user comes from the environment', async t => {
    const closed = await TulleStore.start();
    t.after(() => closed[Symbol.asyncDispose]());
    await closed.ctl('put', KEY, CONFIG);
    await closed.ctl('user', 'add', 'root:secret');
    await closed.ctl('user', 'grant-role', 'root', 'root');
    await closed.ctl('auth', 'enable');
    const get = ['config', 'get', `--etcd-endpoints=${closed.url}`, '--etcd-username=root'];
    assert.equal((await tulle(get, { TULLE_ETCD_PASSWORD: 'secret' })).stdout, `${CONFIG}\n`);
    assert.equal((await tulle(get, { TULLE_ETCD_PASSWORD: 'wrong' })).status, 6);
    assert.equal((await tulle(get)).status, 6);
  });
});
