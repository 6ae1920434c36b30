/** The etcd client and who is who: certificates of both sides, users, passwords, tokens, roles. */
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { type EtcdOptions, EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { describeEvents, StoreObserver, text, textOf } from '../../src/testing/store-contract/tools.ts';
import { Authority, type Certificate } from '../support/certificates.ts';
import { Etcd, needsEtcd } from '../support/etcd.ts';

/** Tries again at once, and takes no machine that is busy for a store that is gone. */
const timing = {
  connect: 15_000,
  call: 20_000,
  ping: 500,
  pingTimeout: 10_000,
  retryFirst: 20,
  retryCap: 100,
};
const refused = { name: 'StoreError', code: 'UNAUTHENTICATED' };
const options = { ...needsEtcd, timeout: 180_000 };

describe('certificates', options, () => {
  const stack = new AsyncDisposableStack();
  let directory: string;
  let authority: Authority;
  let stranger: Authority;
  let server: Certificate;
  let client: Certificate;
  let plain: Etcd;
  let mutual: Etcd;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tulle-tls-'));
    stack.defer(() => rm(directory, { recursive: true }));
    [authority, stranger] = await Promise.all([
      Authority.create(directory),
      Authority.create(directory, 'stranger'),
    ]);
    server = await authority.issue('server');
    client = await authority.issue('client', { names: ['DNS:client'] });
    plain = stack.use(await Etcd.start({ certificate: server }));
    mutual = stack.use(await Etcd.start({ certificate: server, clientAuthority: authority.caFile }));
  });
  after(() => stack[Symbol.asyncDispose]());

  /** One write and one read. */
  async function use(store: EtcdStore): Promise<void> {
    await store.put('/tls', text('yes'));
    assert.equal(textOf((await store.get('/tls')).kv), 'yes');
  }
  const open = (etcd: Etcd, tls: EtcdOptions['tls'] = {}) =>
    new EtcdStore({ endpoints: [etcd.url], timing, tls });

  test('an authority of our own is trusted for the address of the endpoint, without a warning', async () => {
    const warnings: string[] = [];
    const warned = (warning: Error) => void warnings.push(warning.message);
    process.on('warning', warned);
    await using store = open(plain, { caFile: authority.caFile });
    await use(store);
    process.off('warning', warned);
    assert.deepEqual(warnings, []);
  });

  test('with TLS set up, an endpoint without a scheme means https', async () => {
    const endpoints = [plain.url.replace('https://', '')];
    await using store = new EtcdStore({ endpoints, timing, tls: { caFile: authority.caFile } });
    await use(store);
  });

  test('an unknown authority is refused', async () => {
    for (const tls of [{}, { caFile: stranger.caFile }]) {
      await using store = open(plain, tls);
      await assert.rejects(store.get('/tls'), refused);
    }
  });

  test('an observer learns of the refused certificate, and continues when the file is replaced', async () => {
    const caFile = join(directory, 'replaced.pem');
    await copyFile(stranger.caFile, caFile);
    await using store = open(plain, { caFile });
    await using observer = new StoreObserver(store, '/tls-observed');
    const update = await observer.next();
    assert.ok(update?.type === 'interrupted');
    assert.equal(update.error.code, 'UNAUTHENTICATED');
    // At once: what is read of half a file is another reason.
    await copyFile(authority.caFile, `${caFile}.new`);
    await rename(`${caFile}.new`, caFile);
    assert.equal((await observer.next())?.type, 'resumed');
    await observer.snapshot();
    await use(store);
  });

  test('an expired certificate of the server is refused', async () => {
    await using etcd = await Etcd.start({ certificate: await authority.issue('expired', { expired: true }) });
    await using store = open(etcd, { caFile: authority.caFile });
    await assert.rejects(store.get('/tls'), (error: Error) => {
      assert.equal('code' in error && error.code, 'UNAUTHENTICATED');
      assert.match(error.message, /expired/);
      return true;
    });
  });

  test('a certificate for another name is refused, unless that name is the one asked for', async () => {
    const certificate = await authority.issue('named', { names: ['DNS:etcd.internal'] });
    await using etcd = await Etcd.start({ certificate });
    await using wrong = open(etcd, { caFile: authority.caFile });
    await assert.rejects(wrong.get('/tls'), refused);
    await using right = open(etcd, { caFile: authority.caFile, serverName: 'etcd.internal' });
    await use(right);
  });

  test('our certificate is shown to a server that asks for one', async () => {
    await using store = open(mutual, { caFile: authority.caFile, ...client });
    await use(store);
    await using observer = new StoreObserver(store, '/tls');
    await observer.snapshot();
    await store.put('/tls', text('again'));
    assert.deepEqual(describeEvents((await observer.events()).events), ['put /tls again']);
  });

  test('without a certificate, or with that of a stranger, such a server refuses us', async () => {
    const unknown = await stranger.issue('unknown');
    for (const tls of [{}, unknown]) {
      await using store = open(mutual, { caFile: authority.caFile, ...tls });
      await assert.rejects(store.get('/tls'), refused);
    }
  });

  test('plain http to a server with TLS, and the other way round, fail with a reason', async () => {
    await using http = new EtcdStore({ endpoints: [plain.url.replace('https', 'http')], timing });
    await assert.rejects(http.get('/tls'), { name: 'StoreError' });
    await using etcd = await Etcd.start();
    await using https = new EtcdStore({ endpoints: [etcd.url.replace('http', 'https')], timing });
    await assert.rejects(https.get('/tls'), { name: 'StoreError' });
  });

  test('unusable files are reported at once, all of them', () => {
    const tls = { caFile: '/nonexistent/ca.pem', certFile: join(directory, 'ca-key.pem') };
    assert.throws(
      () => new EtcdStore({ endpoints: ['ftp://x'], tls, user: { name: '', password: 'x' } }),
      (error: Error & { problems?: readonly { path: string }[] }) => {
        assert.deepEqual(error.problems?.map(problem => problem.path).sort(), [
          'endpoints[0]',
          'tls.caFile',
          'tls.certFile',
          'tls.keyFile',
          'user.name',
        ]);
        return true;
      },
    );
    assert.throws(
      () => new EtcdStore({ endpoints: ['x'], tls: { ...client, keyFile: server.keyFile } }),
      /tls.keyFile.*key values mismatch/,
    );
  });
});

describe('users', options, () => {
  const root = { name: 'root', password: 'root-s3cret' };
  const flags = ['--bcrypt-cost=4'];

  async function enableAuth(etcd: Etcd): Promise<void> {
    await etcd.ctl('user', 'add', `${root.name}:${root.password}`);
    await etcd.ctl('user', 'grant-role', root.name, 'root');
    await etcd.ctl('user', 'add', 'nobody:n-s3cret');
    await etcd.ctl('auth', 'enable');
  }
  const open = (etcd: Etcd, user?: EtcdOptions['user']) =>
    new EtcdStore({ endpoints: [etcd.url], timing, ...(user === undefined ? {} : { user }) });

  test('name and password open the store; wrong, missing or powerless ones do not', async () => {
    await using etcd = await Etcd.start({ flags });
    await enableAuth(etcd);
    await using store = open(etcd, root);
    await store.put('/a', text('1'));
    const { id } = await store.grant(60);
    assert.equal(await store.keepAlive(id), 60);
    await using observer = new StoreObserver(store, '/a');
    await observer.snapshot();
    await store.put('/a', text('2'));
    assert.deepEqual(describeEvents((await observer.events()).events), ['put /a 2']);

    await using wrong = open(etcd, { ...root, password: 'wr0ng' });
    await assert.rejects(wrong.get('/a'), (error: Error) => {
      assert.equal('code' in error && error.code, 'UNAUTHENTICATED');
      assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /wr0ng/);
      return true;
    });
    await using anonymous = open(etcd);
    await assert.rejects(anonymous.get('/a'), refused);
    await using nobody = open(etcd, { name: 'nobody', password: 'n-s3cret' });
    await assert.rejects(nobody.get('/a'), { name: 'StoreError', code: 'FORBIDDEN' });
    await using shut = new StoreObserver(nobody, '/a');
    const update = await shut.next();
    assert.ok(update?.type === 'interrupted');
    assert.equal(update.error.code, 'FORBIDDEN');
  });

  test('a token that a restart has ended is replaced without anybody noticing', async () => {
    await using etcd = await Etcd.start({ flags });
    await enableAuth(etcd);
    await using store = open(etcd, root);
    await store.put('/a', text('1'));
    await using observer = new StoreObserver(store, '/a');
    await observer.snapshot();
    await store.put('/a', text('2'));
    await observer.events();
    await etcd.restart();
    await store.put('/a', text('3'));
    const types = new Set<string | undefined>();
    while (!types.has('events') && !types.has(undefined)) types.add((await observer.next())?.type);
    assert.deepEqual([...types], ['interrupted', 'resumed', 'events']);
    await Promise.all(Array.from({ length: 10 }, (_, index) => store.put(`/many/${index}`, text('1'))));
    assert.equal((await store.list('/many')).kvs.length, 10);
  });

  test('an observer that is alone with its ended token gets a new one', async () => {
    await using etcd = await Etcd.start({ flags });
    await enableAuth(etcd);
    await using store = open(etcd, root);
    await using observer = new StoreObserver(store, '/a');
    await observer.snapshot();
    await store.put('/a', text('1'));
    await observer.events();
    await etcd.restart();
    await using other = open(etcd, root);
    await other.put('/a', text('2'));
    let update = await observer.next();
    assert.equal(update?.type, 'interrupted');
    // Reported again whenever the reason changes: no contact, then the old token.
    while (update?.type === 'interrupted') update = await observer.next();
    assert.equal(update?.type, 'resumed');
    assert.deepEqual(describeEvents((await observer.events()).events), ['put /a 2']);
  });

  test('a user is no problem where nobody asks for one, nor when they begin to ask', async () => {
    await using etcd = await Etcd.start({ flags });
    await using store = open(etcd, root);
    await store.put('/a', text('1'));
    await enableAuth(etcd);
    await store.put('/a', text('2'));
    assert.equal(textOf((await store.get('/a')).kv), '2');
  });
});
