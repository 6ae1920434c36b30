/** The host's side of joining, against stores that are silent, wrong, or reached by IPv6. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { joinableStore, serveTls } from '../../test/support/join-store.ts';
import { askForCertificate, joinStore } from './join-client.ts';
import { parseToken } from './token.ts';

const HOST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const HOUR = 3_600_000;
const YEAR = 365.25 * 86_400_000;
/** Longer than the client waits for an answer, which is ten seconds. */
const PATIENCE = 30_000;
const never = new AbortController().signal;

/** A server that accepts connections and says nothing. */
async function silent(t: TestContext) {
  const sockets: Socket[] = [];
  const server = createServer(socket => sockets.push(socket.on('error', () => undefined)));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

test('a store that does not answer is given up', { concurrency: true }, async t => {
  const { trust } = await joinableStore(t);
  const token = parseToken(await trust.createToken(HOUR));
  const giveUp = { code: 'NO_ANSWER', message: /it does not answer/, hint: /firewall/ };
  await Promise.all([
    t.test('before its certificate is seen', async t2 => {
      const { address } = await silent(t2);
      const joining = joinStore({ ...token, address }, { hostId: HOST }, never);
      await assert.rejects(within('the client gives up', joining, PATIENCE), giveUp);
    }),
    t.test('after it was sent the token', async t2 => {
      const { certificate, key } = trust.authority.files.server;
      const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
      const address = await serveTls(t2, tls, request => request.resume());
      const joining = joinStore({ ...token, address }, { hostId: HOST }, never);
      await assert.rejects(within('the client gives up', joining, PATIENCE), giveUp);
    }),
  ]);
});

test('a host that is stopped while the store is silent stops at once', async t => {
  const { trust } = await joinableStore(t);
  const { server, address } = await silent(t);
  const token = { ...parseToken(await trust.createToken(HOUR)), address };
  const stop = new AbortController();
  const joining = joinStore(token, { hostId: HOST }, stop.signal);
  // One that gave up by itself would say so.
  const stopped = assert.rejects(within('joining ends', joining), { message: 'stopped' });
  await within('the host connects', once(server, 'connection'));
  stop.abort(new Error('stopped'));
  await stopped;
});

test('a certificate in the answer is taken only from the authority that is known', async t => {
  const [mine, other] = [await joinableStore(t), await joinableStore(t)];
  const { certificate: authority } = mine.trust.authority;
  const { body, accept } = await askForCertificate({ hostId: HOST, authority, endpoint: 'https://x' }, {});
  const [good, strange] = [await mine.trust.certifyHost(body), await other.trust.certifyHost(body)];
  assert.equal(accept(good).certificate, good.certificate);
  const refused = { code: 'NOT_THE_STORE', hint: /store token/ };
  assert.throws(() => accept(strange), refused);
  assert.throws(() => accept({ ...good, certificate: strange.certificate }), refused);
});

test('a host remembers which token it joined with', async t => {
  const { trust } = await joinableStore(t);
  const token = parseToken(await trust.createToken(HOUR));
  assert.equal((await joinStore(token, { hostId: HOST }, never)).token, token.id);
});

test('a store whose certificate has expired is renewed there, if the clock of this host is right', async t => {
  const { trust } = await joinableStore(t, -2 * YEAR);
  const token = parseToken(await trust.createToken(3 * YEAR));
  await assert.rejects(joinStore(token, { hostId: HOST }, never), {
    code: 'NO_ANSWER',
    hint: /clock of this host.*store cert renew/,
  });
});

test('a store is reached by IPv6 as well', async t => {
  const { trust, log } = await joinableStore(t);
  const { server } = trust.authority.files;
  const tls = { cert: readFileSync(server.certificate), key: readFileSync(server.key) };
  let address: string;
  try {
    address = await serveTls(t, tls, trust.extension(log).enrollment.serve, '::1');
  } catch (error) {
    if (process.env['CI'] === 'true') throw error;
    t.skip('needs IPv6');
    return;
  }
  const token = { ...parseToken(await trust.createToken(HOUR)), address };
  const joined = await joinStore(token, { hostId: HOST }, never);
  assert.equal(joined.endpoint, `https://${address}`);
});
