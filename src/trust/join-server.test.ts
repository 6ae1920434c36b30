/** What the store answers to requests that it cannot or will not serve. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { joinableStore } from '../../test/support/join-store.ts';
import { JOIN_PATH, MAX_JOIN_BYTES } from './join.ts';
import { joinStore } from './join-client.ts';
import type { StoreTrust } from './store-trust.ts';
import { parseToken } from './token.ts';
import { makeRequest } from './x509.ts';

const HOST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const HOUR = 3_600_000;
const never = new AbortController().signal;

interface Answer {
  readonly status: number | undefined;
  readonly connection: string | undefined;
  readonly body: { readonly error?: string; readonly hint?: string };
}

/** Sends requests from a client that would use its connections again. */
function client(t: TestContext, { site, authority }: StoreTrust) {
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  return (method: string, body: string) => {
    const answer = new Promise<Answer>((resolve, reject) => {
      const options = { method, ca: authority.certificate, agent };
      const sent = request(`https://${site.address}${JOIN_PATH}`, options, response => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({
            status: response.statusCode,
            connection: response.headers.connection,
            body: JSON.parse(text) as Answer['body'],
          }),
        );
      });
      sent.on('error', reject).end(body);
    });
    return within(`an answer to ${method}`, answer);
  };
}

test('a host whose record cannot be read gets no certificate, and the log says why', async t => {
  const { trust, directory, log } = await joinableStore(t);
  const token = parseToken(await trust.createToken(HOUR));
  await joinStore(token, { hostId: HOST }, never);
  const file = join(directory, 'hosts', `${HOST}.json`);
  writeFileSync(file, 'nonsense');
  const { request: csr } = await makeRequest({ commonName: HOST, organization: '' });
  const { id, secret } = token;
  const body = JSON.stringify({ token: { id, secret }, hostId: HOST, request: csr });
  const answer = await client(t, trust)('POST', body);
  assert.equal(answer.status, 500);
  assert.match(answer.body.hint ?? '', /the log of the store says why/);
  const logged = log.records.find(({ level }) => level === 'error');
  assert.match(String(logged?.fields['error']), new RegExp(file));
  await assert.rejects(joinStore(token, { hostId: HOST }, never), { code: 'TOKEN_REFUSED' });
});

test('only a POST is served', async t => {
  const { trust } = await joinableStore(t);
  const answer = await client(t, trust)('GET', '');
  assert.deepEqual([answer.status, answer.body.error], [405, 'want POST']);
});

test('a connection on which the rest of a request is still on its way is closed', async t => {
  const { trust } = await joinableStore(t);
  const answer = await client(t, trust)('POST', 'x'.repeat(MAX_JOIN_BYTES + 1));
  assert.deepEqual([answer.status, answer.connection], [400, 'close']);
});
