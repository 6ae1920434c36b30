import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { serveAsAgent } from '../../test/support/fake-agent.ts';
import { AgentClient, ApiError } from './client.ts';

const event = (id: number) => ({
  id,
  time: '2026-01-02T03:04:05.678Z',
  severity: 'info',
  type: 'state',
  text: 'the agent is ready',
  fields: {},
});

describe('AgentClient', () => {
  let handler: RequestListener;
  const socketPath = serveAsAgent((request, response) => handler(request, response));

  test('says that no agent runs when there is no socket', async () => {
    const client = new AgentClient({ socketPath: `${socketPath}-none` });
    await assert.rejects(client.status(), { name: 'ApiError', code: 'AGENT_NOT_RUNNING' });
  });

  test("hands on the agent's refusal with its hint", async () => {
    handler = (_, response) => {
      response
        .writeHead(409)
        .end(JSON.stringify({ code: 'NO_LEASE', message: 'nothing held', hint: 'wait' }));
    };
    await assert.rejects(new AgentClient({ socketPath }).releaseLease(), (error: ApiError) => {
      assert.equal(error.code, 'REFUSED');
      assert.equal(error.message, 'nothing held');
      assert.equal(error.hint, 'wait');
      assert.deepEqual(error.context, { code: 'NO_LEASE', status: 409 });
      return true;
    });
  });

  test('gives up on an agent that does not answer', async () => {
    handler = () => undefined;
    await assert.rejects(new AgentClient({ socketPath, timeout: 20 }).status(), { code: 'TIMEOUT' });
  });

  test('stops waiting for the reason it was given', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    handler = () => stop.abort(reason);
    const client = new AgentClient({ socketPath });
    await assert.rejects(client.status(stop.signal), reason);
    await assert.rejects(client.events({ signal: stop.signal }).next(), reason);
    const later = new AbortController();
    handler = (_, response) => void response.write('{', () => later.abort(reason));
    await assert.rejects(client.status(later.signal), reason);
  });

  test('says so when the agent ends in the middle of an answer', async () => {
    handler = (_, response) => void response.write('{', () => response.destroy());
    await assert.rejects(new AgentClient({ socketPath }).status(), { name: 'ApiError', code: 'PROTOCOL' });
  });

  test('refuses an answer of another shape, and names the place', async () => {
    handler = (_, response) => void response.end(JSON.stringify({ inSync: 'yes', writes: 0, failures: [] }));
    await assert.rejects(new AgentClient({ socketPath }).resync(), { code: 'PROTOCOL', message: /inSync/ });
  });

  test('follows events over chunk borders until the signal aborts', async () => {
    const queries: string[] = [];
    handler = (request, response) => {
      queries.push(request.url ?? '');
      const lines = `${JSON.stringify(event(7))}\n${JSON.stringify(event(8))}\n`;
      response.write(lines.slice(0, 25));
      response.write(lines.slice(25));
    };
    const stop = new AbortController();
    const seen: number[] = [];
    const client = new AgentClient({ socketPath });
    for await (const { id } of client.events({ follow: true, after: 6, signal: stop.signal })) {
      seen.push(id);
      if (id === 8) stop.abort();
    }
    assert.deepEqual(seen, [7, 8]);
    assert.deepEqual(queries, ['/v1/events?follow=true&after=6']);
  });

  test('I1: an event that names what a peer has written is one line, whatever ends lines elsewhere', async () => {
    const sent = { ...event(1), text: 'a\u2028b\u2029c\u0085d\re' };
    handler = (_, response) => void response.end(`${JSON.stringify(sent)}\n`);
    const [read] = await Array.fromAsync(new AgentClient({ socketPath }).events());
    assert.equal(read?.text, sent.text);
  });

  test('follows an agent on which nothing happens for longer than one answer may take', async t => {
    const timeout = 12_345;
    const limit = t.mock.method(Socket.prototype, 'setTimeout');
    const limits = () =>
      limit.mock.calls.flatMap(({ arguments: [given], this: socket }) =>
        given === timeout ? [(socket as Socket).timeout] : [],
      );
    let finish = () => {};
    handler = (_, response) => {
      assert.deepEqual(limits(), [timeout], 'for the first answer there is a limit');
      response.write(`${JSON.stringify(event(1))}\n`);
      finish = () => void response.end(`${JSON.stringify(event(2))}\n`);
    };
    const seen: number[] = [];
    const client = new AgentClient({ socketPath, timeout });
    for await (const { id } of client.events({ follow: true })) {
      seen.push(id);
      if (id === 1) {
        assert.deepEqual(limits(), [0], 'and for what follows there is none');
        finish();
      }
    }
    assert.deepEqual(seen, [1, 2]);
  });

  test('ends quietly when the agent stops while it is followed', async () => {
    handler = (_, response) => {
      response.write(`${JSON.stringify(event(1))}\n`, () => response.destroy());
    };
    const seen: number[] = [];
    for await (const { id } of new AgentClient({ socketPath }).events({ follow: true })) seen.push(id);
    assert.deepEqual(seen, [1]);
  });

  test('reads a letter that comes in two pieces', async () => {
    const text = 'größer';
    const [first, second] = [event(1), { ...event(2), text }].map(sent =>
      Buffer.from(`${JSON.stringify(sent)}\n`),
    );
    assert.ok(first && second);
    const inside = second.indexOf('ö') + 1;
    let finish = () => {};
    handler = (_, response) => {
      response.write(Buffer.concat([first, second.subarray(0, inside)]));
      finish = () => void response.end(second.subarray(inside));
    };
    const texts: string[] = [];
    for await (const read of new AgentClient({ socketPath }).events()) {
      texts.push(read.text);
      // The rest is sent when the first piece has been read.
      if (texts.length === 1) finish();
    }
    assert.equal(texts[1], text);
  });

  test('takes an answer that is no success for none, whatever it says', async () => {
    const body = JSON.stringify({ inSync: true, writes: 0, failures: [] });
    handler = (_, response) => void response.writeHead(300).end(body);
    await assert.rejects(new AgentClient({ socketPath }).resync(), { code: 'PROTOCOL' });
    handler = (_, response) => void response.writeHead(200).end(body);
    assert.equal((await new AgentClient({ socketPath }).resync()).inSync, true);
  });

  test('fails when what it follows is no event, and hangs up when nobody follows any longer', async () => {
    const closed = Promise.withResolvers<void>();
    handler = (_, response) => {
      response.on('close', () => closed.resolve());
      response.write(`${JSON.stringify(event(1))}\n`);
    };
    const client = new AgentClient({ socketPath });
    for await (const _ of client.events({ follow: true })) break;
    await within('the connection is closed', closed.promise);
    handler = (_, response) => void response.end('no event\n');
    const { signal } = new AbortController();
    for (const options of [{ follow: true }, { follow: true, signal }]) {
      await assert.rejects(Array.fromAsync(client.events(options)), { code: 'PROTOCOL' });
    }
  });

  test('names the agents that are there beside the one that is not', async t => {
    const directory = mkdtempSync(join(tmpdir(), 'tt-sockets-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const client = new AgentClient({ socketPath: join(directory, 'agent.sock') });
    const hint = async () => {
      const error: unknown = await client.status().catch((reason: unknown) => reason);
      return error instanceof ApiError ? (error.hint ?? '') : '';
    };
    assert.match(await hint(), /give its socket with --socket/);
    for (const name of ['blue.sock', 'notes.txt']) writeFileSync(join(directory, name), '');
    assert.match(await hint(), /another network .* here \S*blue\.sock;/);
    assert.doesNotMatch(await hint(), /notes/);
  });
});
