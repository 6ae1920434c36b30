import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DockerApi } from './docker-api.ts';

/** A daemon that answers every request like this. */
async function daemon(t: TestContext, answer: RequestListener): Promise<DockerApi> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-docker-'));
  const socket = join(directory, 'docker.sock');
  const server = createServer(answer);
  await new Promise<void>(resolve => server.listen(socket, resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return new DockerApi(socket);
}

const json =
  (value: unknown, status = 200): RequestListener =>
  (_, response) =>
    void response.writeHead(status).end(JSON.stringify(value));

test('no daemon is an error with the path of the socket', async () => {
  await assert.rejects(new DockerApi('/nowhere/docker.sock').networks(), {
    code: 'NO_DOCKER',
    message: 'no dockerd answers at /nowhere/docker.sock',
  });
});

test('what the daemon refuses is said in its words; what it does not have is another code', async t => {
  const refused = await daemon(t, json({ message: 'Pool overlaps' }, 403));
  await assert.rejects(refused.removeNetwork('blue'), { code: 'REFUSED', message: 'dockerd: Pool overlaps' });
  const missing = await daemon(t, json({ message: 'No such container: web' }, 404));
  await assert.rejects(missing.container('web'), { code: 'NOT_FOUND' });
  const proxy = await daemon(t, (_, response) => void response.writeHead(502).end('<html>'));
  await assert.rejects(proxy.networks(), { code: 'REFUSED', message: 'dockerd: status 502' });
});

test('an answer that is none of the API is an error', async t => {
  for (const answer of [{}, [{ Name: 1 }], 'text', null]) {
    const api = await daemon(t, json(answer));
    await assert.rejects(api.networks(), { code: 'PROTOCOL' });
  }
  const cut = await daemon(t, (_, response) => void response.end('[{"Name":'));
  await assert.rejects(cut.networks(), { code: 'PROTOCOL' });
});

test('an answer without end is not read to it', async t => {
  const api = await daemon(t, (_, response) => {
    const piece = Buffer.alloc(1 << 20, ' ');
    const write = () => {
      while (!response.destroyed && response.write(piece));
      if (!response.destroyed) response.once('drain', write);
    };
    write();
  });
  await assert.rejects(api.networks(), { code: 'PROTOCOL', message: /more than/ });
});

test('events come one by one, however they are cut', async t => {
  const api = await daemon(t, (request, response) => {
    assert.match(request.url ?? '', /^\/events\?filters=/);
    response.write('{"Type":"network","Act');
    setImmediate(() => response.end('ion":"create"}\n\n{"Type":"container","Action":"start"}\n'));
  });
  const seen: string[] = [];
  for await (const { Type, Action } of api.events(new AbortController().signal))
    seen.push(`${Type} ${Action}`);
  assert.deepEqual(seen, ['network create', 'container start']);
});

test('following events ends with the signal', async t => {
  const api = await daemon(t, (_, response) => response.flushHeaders());
  const stop = new AbortController();
  setImmediate(() => stop.abort());
  for await (const _ of api.events(stop.signal)) assert.fail('there is no event');
});
