/** What a hostile client does to the store, and what the other clients notice of it: nothing (E1, E3, D5). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { ATTACKS } from '../../src/bench/hostile/attacks.ts';
import { measureAttack } from '../../src/bench/hostile/hostile.ts';
import { Authority } from '../support/certificates.ts';
import { within } from '../support/eventually.ts';
import { TulleStore } from '../support/tulle-store.ts';

const SECONDS = 1;
const MAX_MEBIBYTES = 300;

for (const { name, summary } of ATTACKS) {
  test(`${name}: the others are answered, and memory stays bounded (E1, E3)`, {
    timeout: 180_000,
  }, async t => {
    await using store = await TulleStore.start();
    const server = { endpoint: store.url, port: store.port, pid: store.pid };
    const row = await measureAttack(server, 'tulle', name, SECONDS, t.signal);
    t.diagnostic(`${summary}: ${JSON.stringify(row)}`);
    assert.equal(row.failures, 0);
    assert.ok(row.wait.max > 0, 'the other client was answered');
    assert.ok(row.peakMebibytes < MAX_MEBIBYTES, `${row.peakMebibytes} MiB`);
  });
}

test('silent connections lock nobody out, although a process may have few files (D5)', {
  timeout: 180_000,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-silent-'));
  const silent: Socket[] = [];
  try {
    const authority = await Authority.create(directory, 'ca');
    const [server, ann] = [await authority.issue('server'), await authority.issue('ann')];
    await using store = await TulleStore.start({
      tls: true,
      openFiles: 256,
      flags: [
        `--cert-file=${server.certFile}`,
        `--key-file=${server.keyFile}`,
        `--trusted-ca-file=${authority.caFile}`,
        '--client-cert-auth',
      ],
    });
    const ca = await readFile(authority.caFile);
    // Half of them never begin with TLS, the others shake hands and say nothing.
    const address = { port: store.port, host: '127.0.0.1' };
    for (let count = 0; count < 150; count++) {
      silent.push(connect(address), connectTls({ ...address, ca, ALPNProtocols: ['http/1.1'] }));
    }
    for (const socket of silent) socket.on('error', () => undefined);
    const [cert, key] = [await readFile(ann.certFile), await readFile(ann.keyFile)];
    const session = connectHttp2(store.url.replace('127.0.0.1', 'localhost'), { ca, cert, key });
    const request = session.request({
      ':path': '/grpc.health.v1.Health/Check',
      ':method': 'POST',
      'content-type': 'application/grpc',
    });
    request.end(Buffer.alloc(5));
    const [trailers] = (await within('an answer to the call', once(request.resume(), 'trailers'))) as [
      IncomingHttpHeaders,
    ];
    assert.equal(trailers['grpc-status'], '0');
    session.destroy();
  } finally {
    for (const socket of silent) socket.destroy();
    await rm(directory, { recursive: true, force: true });
  }
});
