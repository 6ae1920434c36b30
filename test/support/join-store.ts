/** A store that hosts can join, over real TLS on loopback, for tests of joining. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { recordingLogger } from '../../src/base/log.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { StoreTrust } from '../../src/trust/store-trust.ts';

export const names = { addresses: [Ip.parse('127.0.0.1'), Ip.parse('::1')], names: ['localhost'] };

/** @param ahead milliseconds that the store's clock is ahead of the host's */
export async function joinableStore(t: TestContext, ahead = 0) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-trust-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = new ManualClock(Date.now() + ahead);
  // The port is known only when it is listened on, and the token must hold it: first without, then with it.
  const site = { address: '127.0.0.1:1', prefix: '/coreos.com/network' };
  const first = await StoreTrust.init(directory, site, names, clock);
  const { authority, server } = first.authority.files;
  const log = recordingLogger();
  const { enrollment } = first.extension(log);
  const tls = {
    cert: readFileSync(server.certificate),
    key: readFileSync(server.key),
    ca: readFileSync(authority),
    requestCert: true,
    rejectUnauthorized: false,
  };
  const address = await serveTls(t, tls, enrollment.serve);
  const trust = await StoreTrust.init(directory, { ...site, address }, names, clock);
  return { trust, clock, log, directory };
}

/** A server of another process; resolves with its address. */
export async function serveTls(
  t: TestContext,
  tls: ServerOptions,
  listener: RequestListener,
  host = '127.0.0.1',
): Promise<string> {
  const https = createServer(tls, listener);
  await new Promise<void>((resolve, reject) => https.once('error', reject).listen(0, host, resolve));
  t.after(() => new Promise(resolve => (https.closeAllConnections(), https.close(resolve))));
  const { port } = https.address() as AddressInfo;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
