import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { Authority, type Certificate } from '../../../test/support/certificates.ts';
import { eventually, within } from '../../../test/support/eventually.ts';
import { silentLogger } from '../../base/log.ts';
import { Listener } from './listener.ts';

/** What the kernel's timer of a connection waits for: 2 is a keep-alive probe (Documentation/networking/proc_net_tcp.rst). */
function timerOf(localPort: number, remotePort: number): string | undefined {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');
  const [, timer] =
    new RegExp(`:${hex(localPort)} \\w+:${hex(remotePort)} 01 \\w+:\\w+ (\\d\\d):`).exec(
      readFileSync('/proc/net/tcp', 'utf8'),
    ) ?? [];
  return timer;
}

test('the kernel looks after connections whose other end may be gone', async () => {
  let taken: (socket: Socket) => void;
  const accepted = new Promise<Socket>(resolve => (taken = resolve));
  const protocols = { http2: () => assert.fail('no HTTP/2'), http1: (socket: Socket) => taken(socket) };
  await using listener = await Listener.open({ host: '127.0.0.1', port: 0 }, protocols, silentLogger);
  const client = connect(listener.port, '127.0.0.1');
  await within('the connection is made', once(client, 'connect'));
  client.write('GET / HTTP/1.1\r\n');
  await within('the connection is accepted', accepted);
  // What another program opens and closes meanwhile may shift lines out of the list while it is read.
  await eventually(
    'a probe is what it waits for',
    async () => timerOf(listener.port, client.localPort ?? 0) === '02',
  );
  client.destroy();
});

test('the preface of HTTP/2 is known in whatever pieces it comes', async () => {
  const taken = Promise.withResolvers<string>();
  const takes = (protocol: string) => (socket: Socket) =>
    taken.resolve(`${protocol}: ${(socket.read() as Buffer).toString()}`);
  const protocols = { http2: takes('h2'), http1: takes('http/1.1') };
  await using listener = await Listener.open({ host: '127.0.0.1', port: 0 }, protocols, silentLogger);
  const client = connect({ port: listener.port, host: '127.0.0.1', noDelay: true });
  await within('the connection is made', once(client, 'connect'));
  for (const letter of 'PRI * HTTP/2.0') {
    client.write(letter);
    await immediate();
  }
  assert.equal(await within('the connection is accepted', taken.promise), 'h2: PRI * HTTP/2.0');
  client.destroy();
});

describe('a listener that insists on certificates and serves anonymous clients', () => {
  let directory: string;
  let authority: Authority;
  let server: Certificate;
  let known: Certificate;
  let foreign: Certificate;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tt-listener-'));
    authority = await Authority.create(directory, 'ca');
    // The same name: what counts is who signed.
    const other = await Authority.create(directory, 'other');
    [server, known, foreign] = await Promise.all([
      authority.issue('server'),
      authority.issue('ann'),
      other.issue('ann'),
    ]);
  });
  after(() => rmSync(directory, { recursive: true }));

  /** Which protocol such a client gets; undefined when it is hung up on. */
  async function served(
    protocol: string | undefined,
    certificate?: Certificate,
  ): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const tls = {
      cert: readFileSync(server.certFile),
      key: readFileSync(server.keyFile),
      ca: readFileSync(authority.caFile),
      requestCert: true,
      rejectUnauthorized: true,
    };
    const protocols = { http2: () => resolve('h2'), http1: () => resolve('http/1.1') };
    const endpoint = { host: '127.0.0.1', port: 0, tls, anonymous: true };
    await using listener = await Listener.open(endpoint, protocols, silentLogger);
    const options: ConnectionOptions = { host: '127.0.0.1', port: listener.port, ca: tls.ca };
    if (protocol !== undefined) options.ALPNProtocols = [protocol];
    if (certificate !== undefined) {
      options.cert = readFileSync(certificate.certFile);
      options.key = readFileSync(certificate.keyFile);
    }
    const hello = protocol === 'http/1.1' ? 'GET / HTTP/1.1\r\n\r\n' : 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const client = connectTls(options, () => client.write(hello));
    client
      .on('error', () => undefined)
      .on('close', () => resolve(undefined))
      .resume();
    const protocolServed = await promise;
    client.destroy();
    return protocolServed;
  }

  for (const protocol of ['h2', undefined]) {
    test(`gRPC is for those whom the authority knows, ${protocol ?? 'also without ALPN'}`, async () => {
      assert.equal(await served(protocol, known), 'h2');
      assert.equal(await served(protocol), undefined);
      assert.equal(await served(protocol, foreign), undefined);
    });
  }

  test('HTTP/1.1 is also for those without a certificate, who may ask for one', async () => {
    assert.equal(await served('http/1.1', known), 'http/1.1');
    assert.equal(await served('http/1.1'), 'http/1.1');
    assert.equal(await served('http/1.1', foreign), undefined);
  });
});
