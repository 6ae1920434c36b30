/** Who gets an answer from the agent of a host, over real sockets of the loopback interface. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { before, mock, type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { deadline, eventually, untilClosed, within } from '../../../../test/support/eventually.ts';
import { type CertifiedHost, hostAuthority } from '../../../../test/support/host-certificates.ts';
import { Exchange } from '../../../api/peer/exchange.ts';
import { connectPeer, type PeerTarget } from '../../../api/peer/peer-connection.ts';
import { PEER_LIMITS, type PeerLimits } from '../../../api/peer/peer-protocol.ts';
import { systemClock } from '../../../base/clock.ts';
import { Ip } from '../../../base/ip.ts';
import { silentLogger } from '../../../base/log.ts';
import { ORGANIZATION } from '../../../trust/authority.ts';
import { makeAuthority } from '../../../trust/x509.ts';
import { PeerServer, type PeerServerOptions } from './peer-server.ts';

/** Loopback addresses: the server's, one of a peer, one of nobody. */
const [SERVER, PEER, STRANGER] = ['127.0.0.1', '127.0.0.2', '127.0.0.3'] as const;
const ANSWER = '{"fine":true}\n';

// On a busy machine a connection within one process takes longer than the one to another host may.
before(() => mock.property(PEER_LIMITS, 'connect', 30_000));

/** A host that answers everybody whom it lets in, and counts them. */
async function open(
  t: TestContext,
  { hostId, credentials }: CertifiedHost,
  options: Partial<PeerServerOptions> = {},
) {
  const callers: string[] = [];
  const server = await PeerServer.open([Ip.parse(SERVER)], 0, {
    credentials,
    isPeer: address => address === PEER,
    listener: ({ kind, name }, request, response, isAwaited) => {
      callers.push(`${kind} ${name}`);
      if (isAwaited) response.writeContinue();
      request.resume();
      response.end(ANSWER);
    },
    clock: systemClock,
    logger: silentLogger,
    ...options,
  });
  t.after(() => server[Symbol.asyncDispose]());
  const [{ port } = { port: 0 }] = server.addresses;
  const target: PeerTarget = { hostId, name: 'docker2', addresses: [SERVER], port };
  return { server, target, port, callers };
}

/** Asks as a client of ours does. */
async function ask(target: PeerTarget, { credentials }: CertifiedHost): Promise<string> {
  const signal = deadline('an answer');
  using exchange = await Exchange.open({ first: target }, 'inspect', { credentials, signal });
  exchange.send({ look: {} });
  exchange.end();
  const pieces = await Array.fromAsync((await exchange.incoming()) as AsyncIterable<Buffer>);
  return Buffer.concat(pieces).toString();
}

test('hosts and administrators of the authority are let in', async t => {
  const { certify } = await hostAuthority(t);
  const here = await certify();
  const { target, callers } = await open(t, here);
  const other = await certify();
  const admin = await certify({ hostId: 'root', organization: ORGANIZATION.admin });
  assert.equal(await ask(target, other), ANSWER);
  assert.equal(await ask(target, admin), ANSWER);
  assert.deepEqual(callers, [`host ${other.hostId}`, 'administrator root']);
});

test('all others are refused, and nothing that they send is read', async t => {
  const { certify } = await hostAuthority(t);
  const here = await certify();
  const { target, callers } = await open(t, here);
  const foreign = await makeAuthority(Date.now());
  const cases = [
    [{ signedBy: foreign }, 'OTHER_AUTHORITY', /is of another authority/],
    [{ madeIn: -400 }, 'EXPIRED', /has expired on /],
    [{ madeIn: 30 }, 'NOT_YET_VALID', /is valid from /],
    [{ organization: ORGANIZATION.store }, 'NO_HOST', /neither of a host nor of an administrator/],
    [{ organization: 'another' }, 'NO_HOST', /neither of a host nor of an administrator/],
  ] as const;
  for (const [wishes, code, message] of cases) {
    const caller = await certify(wishes);
    await assert.rejects(ask(target, caller), { code: 'REFUSED', context: { code }, message });
  }
  assert.deepEqual(callers, []);
});

test('whoever shows no certificate gets no word', async t => {
  const { certify } = await hostAuthority(t);
  const { port, callers } = await open(t, await certify());
  const socket = connectTls({ host: SERVER, port, rejectUnauthorized: false });
  t.after(() => socket.destroy());
  const received: Buffer[] = [];
  socket.on('data', piece => received.push(piece)).on('error', () => undefined);
  socket.write('GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n');
  await within('the connection ends', untilClosed(socket));
  assert.equal(Buffer.concat(received).toString(), '');

  const old = connectTls({ host: SERVER, port, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  const [error] = (await within('a refusal', once(old, 'error'))) as [NodeJS.ErrnoException];
  assert.match(error.message, /protocol version|ECONNRESET|disconnected/);
  const plain = connect(port, SERVER);
  plain.on('error', () => undefined).write('GET /v1/status HTTP/1.1\r\n\r\n');
  await within('the connection ends', untilClosed(plain));
  assert.deepEqual(callers, []);
});

test('a caller sends nothing to a host with a good certificate that is another one', async t => {
  const { certify } = await hostAuthority(t);
  const { target, callers } = await open(t, await certify());
  const caller = await certify();
  const wrong = { ...target, hostId: caller.hostId };
  await assert.rejects(ask(wrong, caller), {
    code: 'NOT_THE_HOST',
    message: /docker2 .* shows the certificate of host /,
  });

  const impostor = await certify({ hostId: target.hostId, signedBy: await makeAuthority(Date.now()) });
  const elsewhere = await open(t, impostor);
  await assert.rejects(ask(elsewhere.target, caller), {
    code: 'NOT_THE_HOST',
    message: /is of another authority/,
  });
  assert.deepEqual([...callers, ...elsewhere.callers], []);
});

test('certificates are read anew for each connection, and a damaged one changes nothing', async t => {
  const { certify } = await hostAuthority(t);
  const here = await certify({ madeIn: -400 });
  const { target } = await open(t, here);
  const caller = await certify();
  await assert.rejects(ask(target, caller), { code: 'NOT_THE_HOST', message: /has expired on / });
  await certify({ hostId: here.hostId, directory: here.directory });
  assert.equal(await ask(target, caller), ANSWER);
  await certify({ hostId: caller.hostId, directory: caller.directory, madeIn: -400 });
  await assert.rejects(ask(target, caller), { context: { code: 'EXPIRED' } });
  await certify({ hostId: caller.hostId, directory: caller.directory });
  const { keyFile } = here.credentials.files;
  const key = readFileSync(keyFile);
  writeFileSync(keyFile, 'no key');
  assert.equal(await ask(target, caller), ANSWER);
  writeFileSync(keyFile, key);
  assert.equal(await ask(target, caller), ANSWER);
});

/** Silent connections; one that the server closes is not counted any more. */
function silence(t: TestContext, port: number, from: string) {
  const open = new Set<Socket>();
  t.after(() => {
    for (const socket of open) socket.destroy();
  });
  return {
    open,
    begin: async (count: number) => {
      for (let index = 0; index < count; index++) {
        const socket = connect({ host: SERVER, port, localAddress: from });
        open.add(socket);
        const closed = untilClosed(socket.on('close', () => open.delete(socket)));
        const made = new Promise<void>(resolve => socket.once('connect', resolve));
        await within('a connection', Promise.race([made, closed]));
      }
    },
  };
}

/** A handshake from an address of our choice. */
async function shakeHands(port: number, from: string, { credentials }: CertifiedHost): Promise<boolean> {
  const { context } = credentials.read();
  const below = connect({ host: SERVER, port, localAddress: from }).on('error', () => undefined);
  const socket = connectTls({ socket: below, secureContext: context, rejectUnauthorized: false });
  const isUp = new Promise<boolean>(resolve => {
    socket.once('secureConnect', () => resolve(true));
    void untilClosed(socket).then(() => resolve(false));
  });
  return within('a handshake', isUp).finally(() => socket.destroy());
}

test('silent strangers hold a few connections, and keep no peer out', async t => {
  const { certify } = await hostAuthority(t);
  const { port } = await open(t, await certify());
  const caller = await certify();
  const strangers = silence(t, port, STRANGER);
  await strangers.begin(60);
  await eventually('the others are closed', async () => strangers.open.size <= 8);
  assert.equal(await shakeHands(port, PEER, caller), true);
});

test('silent connections from the address of a peer make room for those that speak', async t => {
  const { certify } = await hostAuthority(t);
  const { port } = await open(t, await certify());
  const caller = await certify();
  const silent = silence(t, port, PEER);
  await silent.begin(400);
  await eventually('the oldest are closed', async () => silent.open.size <= 256);
  assert.equal(await shakeHands(port, PEER, caller), true);
});

/** None of them is reached unless a test wants it. */
const LIMITS: PeerLimits = { handshake: 600_000, request: 600_000, connect: 30_000 };

test('a connection that is silent ends', async t => {
  const { certify } = await hostAuthority(t);
  const { port } = await open(t, await certify(), { limits: { ...LIMITS, handshake: 200 } });
  await within('the silent one is closed', untilClosed(connect(port, SERVER)));
});

/** A connection of a host that is let in. */
const connected = (target: PeerTarget, { credentials }: CertifiedHost) =>
  connectPeer(target, { credentials, signal: deadline('a connection') });

test('a request that is slow ends', async t => {
  const { certify } = await hostAuthority(t);
  const { target } = await open(t, await certify(), { limits: { ...LIMITS, request: 200 } });
  const slow = await connected(target, await certify());
  const closed = untilClosed(slow);
  slow.write('POST /v1/inspect HTTP/1.1\r\nhost: x\r\n');
  await within('half a head is not waited for', closed);
});

test('a request with a head that is too long ends', async t => {
  const { certify } = await hostAuthority(t);
  const { target } = await open(t, await certify(), { limits: LIMITS });
  const huge = await connected(target, await certify());
  const closed = untilClosed(huge.resume());
  huge.write(`GET /${'x'.repeat(10_000)} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await within('a head that is too long', closed);
});

test('a host that takes a request and says nothing is not waited for', async t => {
  const { certify } = await hostAuthority(t);
  const asked = Promise.withResolvers<void>();
  const { target } = await open(t, await certify(), { limits: LIMITS, listener: () => asked.resolve() });
  const caller = await certify();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const hanging = ask(target, caller);
  hanging.catch(() => undefined);
  await asked.promise;
  t.mock.timers.tick(PEER_LIMITS.connect);
  await assert.rejects(hanging, { code: 'TIMEOUT', message: /accepts the connection and does not answer/ });
});
