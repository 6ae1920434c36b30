/** Certificates over the years, with the clock in hand, and what happens to connections while they change. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { within } from '../../test/support/eventually.ts';
import { Ip } from '../base/ip.ts';
import { recordingLogger, silentLogger } from '../base/log.ts';
import { storeConfig } from '../etcdserver/config.ts';
import { Listener } from '../etcdserver/http/listener.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { Admission } from './admission.ts';
import { listCertificates, renewCertificates } from './certificates.ts';
import { TrustError } from './errors.ts';
import { type HostTrust, readJoined, saveJoined, trustFiles } from './host-trust.ts';
import type { JoinAnswer, JoinRequest } from './join.ts';
import { askForCertificate, type Joined, joinStore, type Known } from './join-client.ts';
import { keepOwnHost } from './own-host.ts';
import { renewHost, rotate } from './rotation.ts';
import { StoreTrust } from './store-trust.ts';
import { parseToken } from './token.ts';

const FIRST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const SECOND = '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22';
const DAY = 86_400_000;
const YEAR = 365.25 * DAY;
const never = new AbortController().signal;
const names = { addresses: [Ip.parse('127.0.0.1')], names: ['localhost'] };

/** Whether a TLS client that trusts `authority` accepts this at the time, as OpenSSL decides it. */
function accepts(authority: string, shown: string, now: number): boolean {
  const [issuer, leaf] = [new X509Certificate(authority), new X509Certificate(shown)];
  const isIn = ({ validFromDate, validToDate }: X509Certificate) =>
    validFromDate.getTime() <= now && now < validToDate.getTime();
  return leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey) && isIn(leaf) && isIn(issuer);
}

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'tt-rotation-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('D3: for ten years every certificate is renewed in time, and both sides can talk all the time', {
  timeout: 600_000,
}, async t => {
  const [dataDir, firstState, secondState] = [directory(t), directory(t), directory(t)];
  const clock = new ManualClock(Date.now() - 10 * YEAR);
  const site = { address: '127.0.0.1:2379', prefix: '/coreos.com/network' };
  const endpoint = 'https://127.0.0.1:2379';
  const trust = await StoreTrust.init(dataDir, site, names, clock);
  const token = parseToken(await trust.createToken(DAY));
  const admission = new Admission(trust, silentLogger);
  const own = { stateDirectory: firstState, hostId: FIRST, endpoint };
  const [first, second] = [firstState, secondState].map(state =>
    trustFiles(state, { ...site, endpoint }),
  ) as [HostTrust, HostTrust];
  const { authority, server, admin } = trust.authority.files;

  /** Stands for TLS, where OpenSSL would look at the clock of the machine: each side looks at the other. */
  const checkBothWays = (caFile: string, certFile: string) => {
    const at = `${caFile}, ${certFile} on ${new Date(clock.now()).toISOString()}`;
    assert.ok(accepts(read(caFile), read(server.certificate), clock.now()), at);
    assert.ok(accepts(read(authority), read(certFile), clock.now()), at);
  };
  const ask = async (known: Known, proof: Pick<JoinRequest, 'token'> = {}) => {
    const { body, accept } = await askForCertificate(known, proof);
    const host = proof.token === undefined ? known.hostId : undefined;
    const decision = await admission.decide(body, { host, peer: undefined });
    assert.equal(decision.status, 200, JSON.stringify(decision.body));
    return accept(decision.body as JoinAnswer);
  };
  const { id, secret } = token;
  const stranger = { hostId: SECOND, authority: trust.authority.certificate, endpoint };
  await saveJoined(secondState, await ask(stranger, { token: { id, secret } }));

  const seen = new Map<string, Set<string>>();
  for (let fortnight = 0; fortnight < 10 * 26; fortnight++) {
    await clock.advance(14 * DAY);
    checkBothWays(second.caFile, second.certFile);
    await trust.authority.renew();
    await keepOwnHost(trust, own, clock.now());
    // Before it renews its own: with what the store has renewed already.
    checkBothWays(second.caFile, second.certFile);
    await renewHost(secondState, clock.now(), never, { ask: joined => ask(joined) });
    checkBothWays(second.caFile, second.certFile);
    checkBothWays(first.caFile, first.certFile);
    checkBothWays(authority, admin.certificate);
    for (const file of [
      authority,
      second.caFile,
      server.certificate,
      admin.certificate,
      first.certFile,
      second.certFile,
    ]) {
      seen.set(file, (seen.get(file) ?? new Set()).add(read(file)));
    }
  }
  const counts = Array.from(seen, ([file, versions]) => [file, versions.size] as const);
  assert.ok(
    counts.every(([file, count]) => count >= (file.endsWith('ca.pem') ? 2 : 18)),
    JSON.stringify(counts),
  );
  // A token names the key of the authority, whichever certificate that has.
  assert.equal(trust.authority.fingerprint, token.fingerprint);
});

test('D3: the store shows a renewed certificate to the next connection, and keeps those it has', async t => {
  const dataDir = directory(t);
  const stateDirectory = directory(t);
  const clock = new ManualClock(Date.now());
  const site = { address: '127.0.0.1:1', prefix: '/coreos.com/network' };
  const trust = await StoreTrust.init(dataDir, site, names, clock);
  const log = recordingLogger();
  const { authority, server } = trust.authority.files;
  const { listen } = storeConfig({
    name: 'default',
    dataDir,
    listenClientUrls: ['https://127.0.0.1:0'],
    certFile: server.certificate,
    keyFile: server.key,
    trustedCaFile: authority,
    clientCertAuth: true,
    quotaBackendBytes: '0',
    autoCompactionMode: 'periodic',
    autoCompactionRetention: '0',
  });
  const [endpoint] = listen;
  assert.ok(endpoint);
  const http = createServer(trust.extension(log).enrollment.serve);
  const protocols = {
    http1: (socket: Socket) => http.emit('connection', socket),
    http2: (socket: Socket) => socket.destroy(),
  };
  await using listener = await Listener.open({ ...endpoint, anonymous: true }, protocols, log);
  const at = { ...site, address: `127.0.0.1:${listener.port}` };
  const known = await StoreTrust.init(dataDir, at, names, clock);

  const joined = await joinStore(parseToken(await known.createToken(DAY)), { hostId: FIRST }, never);
  const { certFile } = await saveJoined(stateDirectory, joined);
  const before = await connected(t, listener.port, joined);
  const old = read(certFile);
  await renewCertificates({ dataDir, stateDirectory }, clock, never);
  assert.notEqual(read(certFile), old);
  const after = await connected(t, listener.port, (await readJoined(stateDirectory)) as Joined);
  assert.notEqual(after.shown, before.shown);
  assert.ok(read(server.certificate).startsWith(after.shown));
  assert.equal(before.socket.destroyed, false);

  writeFileSync(server.certificate, 'nonsense');
  const later = await connected(t, listener.port, joined);
  assert.equal(later.shown, after.shown);
  assert.ok(log.records.some(({ message }) => /cannot be used; the previous ones stay/.test(message)));
});

test('what cannot be renewed is reported once, and tried again until it can', async () => {
  const clock = new ManualClock();
  const log = recordingLogger();
  const stop = new AbortController();
  let calls = 0;
  const rotating = rotate(
    () => {
      calls++;
      return calls < 4 ? Promise.reject(new Error('no')) : Promise.resolve(['host.pem']);
    },
    { clock, log, signal: stop.signal },
  );
  await clock.advance(DAY);
  stop.abort();
  await within('the rotation ends', rotating);
  assert.ok(calls >= 24, `${calls} tries in a day`);
  assert.equal(log.records.filter(({ level }) => level === 'warn').length, 1);
  assert.deepEqual(log.records.find(({ level }) => level === 'info')?.fields, { file: 'host.pem' });
});

test('a failure that comes back is reported again, with its hint; one of stopping is not', async () => {
  const clock = new ManualClock();
  const log = recordingLogger();
  const stop = new AbortController();
  const failure = new TrustError('NO_ANSWER', 'no answer', { hint: 'is the store running?' });
  let calls = 0;
  const rotating = rotate(
    signal => {
      calls++;
      if (calls === 5) stop.abort(new Error('stopped'));
      if (signal.aborted) return Promise.reject(new Error('stopped'));
      return calls === 3 ? Promise.resolve([]) : Promise.reject(failure);
    },
    { clock, log, signal: stop.signal },
  );
  await clock.advance(DAY);
  await within('the rotation ends', rotating);
  const reported = { error: 'no answer', hint: 'is the store running?' };
  assert.deepEqual(
    log.records.map(({ fields }) => fields),
    [reported, reported],
  );
});

test('a certificate that is not due is not asked for', async t => {
  const [dataDir, stateDirectory] = [directory(t), directory(t)];
  const clock = new ManualClock(Date.now());
  const site = { address: '127.0.0.1:1', prefix: '/coreos.com/network' };
  const trust = await StoreTrust.init(dataDir, site, names, clock);
  const ask = () => Promise.reject(new Error('asked'));
  assert.deepEqual(await renewHost(stateDirectory, clock.now(), never, { ask }), [], 'it has not joined');
  await keepOwnHost(trust, { stateDirectory, hostId: FIRST, endpoint: 'https://192.0.2.1:1' }, clock.now());
  assert.deepEqual(await renewHost(stateDirectory, clock.now(), never, { ask }), []);
  await assert.rejects(renewHost(stateDirectory, clock.now() + 0.6 * YEAR, never, { ask }), /asked/);
});

test('a certificate that has expired is not shown to the store: the hint says how to join again', async t => {
  const [dataDir, stateDirectory] = [directory(t), directory(t)];
  const clock = new ManualClock(Date.now());
  const site = { address: '127.0.0.1:1', prefix: '/coreos.com/network' };
  const trust = await StoreTrust.init(dataDir, site, names, clock);
  await keepOwnHost(trust, { stateDirectory, hostId: FIRST, endpoint: 'https://192.0.2.1:1' }, clock.now());
  await assert.rejects(renewHost(stateDirectory, clock.now() + YEAR, never), {
    code: 'NO_CERTIFICATE',
    hint: /up --join/,
  });
  const listed = await listCertificates({ dataDir, stateDirectory }, clock);
  assert.deepEqual(
    listed.map(({ of }) => of),
    ['authority', 'store', 'administrator', 'host', 'authority'],
  );
});

const read = (file: string) => readFileSync(file, 'utf8');

/** A connection with these certificates, and the certificate (PEM) that the store shows. */
async function connected(t: TestContext, port: number, { certificate, key, authority }: Joined) {
  const socket = connect({ port, host: '127.0.0.1', cert: certificate, key, ca: authority });
  t.after(() => socket.destroy());
  await within('the connection is made', once(socket, 'secureConnect'));
  return { socket, shown: new X509Certificate(socket.getPeerCertificate().raw).toString() };
}
