import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { untilClosed, within } from '../../../test/support/eventually.ts';
import { AgentClient } from '../../api/client.ts';
import type { TunnelRequest } from '../../api/tunnels.ts';
import { recordingLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { EventLog } from '../health/event-log.ts';
import { type ApiHandlers, ApiServer, ApiServerError } from './api-server.ts';
import type { TunnelHandlers } from './tunnel-requests.ts';

let directory: string;
let socketPath: string;
let events: EventLog;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tt-api-'));
  socketPath = join(directory, 'run', 'agent.sock');
  events = new EventLog({ clock: new ManualClock(), logger: recordingLogger() });
});
afterEach(() => rmSync(directory, { recursive: true }));

const handlers = (changed: Partial<ApiHandlers> = {}): ApiHandlers => ({
  status: () => {
    throw new Error('not asked for here');
  },
  forwarder: async () => undefined,
  resync: async () => ({ inSync: true, writes: 3, failures: [] }),
  releaseLease: async () => ({ released: '10.3.4.0-24' }),
  tunnels: {
    list: async () => [],
    add: () => assert.fail('not asked for here'),
    delete: async () => undefined,
  },
  networks: {
    onHost: async () => [],
    containers: {
      connector: {
        connect: () => assert.fail('not asked for here'),
        disconnect: () => assert.fail('not asked for here'),
      },
    },
  },
  ports: { ports: { list: () => [] }, attachments: { get: () => undefined } },
  names: { list: () => [] },
  events,
  ...changed,
});

describe('the socket', () => {
  test('of another is left when the server closes', async () => {
    const server = await ApiServer.open(socketPath, handlers());
    rmSync(socketPath);
    const other = createServer().listen(socketPath);
    await within('another listens', once(other, 'listening'));
    await server[Symbol.asyncDispose]();
    assert.ok(existsSync(socketPath));
    other.close();
  });

  test('may be opened by its owner only', async () => {
    await using _server = await ApiServer.open(socketPath, handlers());
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  });

  test('is refused while another agent answers there', async () => {
    await using _first = await ApiServer.open(socketPath, handlers());
    await assert.rejects(ApiServer.open(socketPath, handlers()), (error: ApiServerError) => {
      assert.ok(error instanceof ApiServerError);
      assert.equal(error.code, 'ALREADY_RUNNING');
      return true;
    });
    assert.equal((await new AgentClient({ socketPath }).resync()).writes, 3);
  });

  test('is taken over when its agent is gone', async () => {
    await using _gone = await ApiServer.open(socketPath, handlers());
    const stale = join(directory, 'run', 'stale.sock');
    // A listener in a child that dies leaves the file; unlinking is what an orderly close does.
    const { spawnSync } = await import('node:child_process');
    spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 9))`,
    ]);
    assert.ok(statSync(stale).isSocket());
    await using _server = await ApiServer.open(stale, handlers());
    assert.equal((await new AgentClient({ socketPath: stale }).resync()).writes, 3);
  });
});

describe('requests', () => {
  test('reach their handler, and a failure becomes a refusal with its hint', async () => {
    const failing = handlers({
      releaseLease: () =>
        Promise.reject(new ApiServerError('ALREADY_RUNNING', 'no', { hint: 'try something else' })),
    });
    await using _server = await ApiServer.open(socketPath, failing);
    const client = new AgentClient({ socketPath });
    assert.deepEqual(await client.resync(), { inSync: true, writes: 3, failures: [] });
    await assert.rejects(client.forwarder(), { code: 'REFUSED', hint: /only the backend udp has one/ });
    await assert.rejects(client.releaseLease(), {
      code: 'REFUSED',
      message: 'no',
      hint: 'try something else',
    });
    await assert.rejects(client.status(), { code: 'REFUSED', message: 'not asked for here' });
  });

  test('about tunnels are checked before they reach their handler', async () => {
    const added: TunnelRequest[] = [];
    const deleted: string[] = [];
    const tunnels: TunnelHandlers = {
      list: async () => [],
      add: async request => {
        added.push(request);
        return { ...request, kept: 'agent', state: 'up', fitted: [], notes: [] };
      },
      delete: async name => void deleted.push(name),
    };
    await using _server = await ApiServer.open(socketPath, handlers({ tunnels }));
    const client = new AgentClient({ socketPath });
    const wanted = { name: 't1', vni: 1, remote: '192.0.2.1', port: 4789, addresses: [], learning: true };
    assert.deepEqual(await client.tunnels(), []);
    assert.equal((await client.addTunnel(wanted)).state, 'up');
    assert.deepEqual(added, [wanted]);
    await client.deleteTunnel('../x y');
    assert.deepEqual(deleted, ['../x y']);

    const wrong = { ...wanted, vni: '1', more: true } as unknown as TunnelRequest;
    await assert.rejects(client.addTunnel(wrong), { code: 'REFUSED', message: /vni = "1": .*more/ });
    const long = { ...wanted, addresses: Array.from({ length: 65 }, () => '10.0.0.1/24') };
    await assert.rejects(client.addTunnel(long), { code: 'REFUSED', message: /addresses: / });
    const huge = { ...wanted, name: 'x'.repeat(100_000) };
    await assert.rejects(client.addTunnel(huge), { message: /longer than 65536 bytes|EPIPE|ECONNRESET/ });
    assert.equal(added.length, 1);
  });

  test('events end without following and go on with it', async () => {
    await using _server = await ApiServer.open(socketPath, handlers());
    const client = new AgentClient({ socketPath });
    events.add('info', 'state', 'one');
    events.add('info', 'state', 'two');
    assert.deepEqual(
      (await Array.fromAsync(client.events({ after: 1 }))).map(({ text }) => text),
      ['two'],
    );
    const seen: string[] = [];
    for await (const { text } of client.events({ follow: true })) {
      seen.push(text);
      if (text === 'two') events.add('info', 'state', 'three');
      if (text === 'three') break;
    }
    assert.deepEqual(seen, ['one', 'two', 'three']);
  });

  test('a follower is let go when the server closes', async () => {
    const server = await ApiServer.open(socketPath, handlers());
    events.add('info', 'state', 'one');
    const seen: string[] = [];
    for await (const { text } of new AgentClient({ socketPath }).events({ follow: true })) {
      seen.push(text);
      void server[Symbol.asyncDispose]();
    }
    assert.deepEqual(seen, ['one']);
  });
});

test('a client that never ends its request does not keep the server from closing', async () => {
  const server = await ApiServer.open(socketPath, handlers());
  const client = connect(socketPath);
  client.write('POST /v1/resync HTTP/1.1\r\nhost: agent\r\n');
  await within('the connection is made', once(client, 'connect'));
  // Answered on another connection, so that the first one has been read by then.
  await new AgentClient({ socketPath }).resync();
  const gone = untilClosed(client);
  await server[Symbol.asyncDispose]();
  await within('the connection is closed', gone);
});

test('a socket of something else is not taken for a stale one', async () => {
  const other = createServer().listen(join(directory, 'other.sock'));
  try {
    await assert.rejects(ApiServer.open(join(directory, 'other.sock'), handlers()), {
      code: 'ALREADY_RUNNING',
    });
  } finally {
    other.close();
  }
});
