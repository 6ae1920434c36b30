import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { isCode } from '../base/errors.ts';
import { freePorts } from './free-ports.ts';

const [first = 0, last = 0] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
  .trim()
  .split(/\s+/)
  .map(Number);

test('ports are different and can be listened on', async () => {
  const ports = await freePorts(20);
  assert.equal(new Set(ports).size, 20);
  for (const port of ports) {
    const server = createServer().listen(port, '127.0.0.1');
    await within('the server listens', once(server, 'listening'));
    server.close();
  }
});

const isAllTheKernels = first <= 10_000 && 'the kernel of this machine gives all ports to others';
test('ports are none that the kernel gives to others', { skip: isAllTheKernels }, async () => {
  const ports = await freePorts(20);
  assert.deepEqual(
    ports.filter(port => port >= first && port <= last),
    [],
  );
});

test('a port that was given once is not given again', async () => {
  const ports = await freePorts(300);
  const others = await freePorts(300);
  assert.equal(new Set([...ports, ...others]).size, 600);
});

test('fetch speaks to every port', async t => {
  // The last port that it does not speak to, unless that is too low for us.
  t.mock.method(crypto, 'randomInt', (first: number) => Math.max(first, 10_080));
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const [port] = await freePorts(1);
  await assert.rejects(fetch(`http://127.0.0.1:${port}`), ({ cause }: Error) =>
    isCode(cause, 'ECONNREFUSED'),
  );
});
