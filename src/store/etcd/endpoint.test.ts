import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../base/errors.ts';
import { parseEndpoints } from './endpoint.ts';

const table: [text: string, url: string, target: string, secure: boolean][] = [
  ['http://127.0.0.1:2379', 'http://127.0.0.1:2379', 'ipv4:127.0.0.1:2379', false],
  ['https://etcd-1.example:4001/', 'https://etcd-1.example:4001', 'dns:etcd-1.example:4001', true],
  ['http://[FD00:0::1]:2379', 'http://[fd00::1]:2379', 'ipv6:[fd00::1]:2379', false],
  ['https://host', 'https://host:2379', 'dns:host:2379', true],
  [' http://host:1 ', 'http://host:1', 'dns:host:1', false],
  ['host:2379', 'http://host:2379', 'dns:host:2379', false],
  ['unix:///run/tulle/store.sock', 'unix:///run/tulle/store.sock', 'unix:/run/tulle/store.sock', false],
];

for (const [text, url, target, secure] of table) {
  test(`reads ${text}`, () => {
    const [endpoint] = parseEndpoints([text]);
    assert.deepEqual({ ...endpoint, host: undefined }, { url, target, secure, host: undefined });
  });
}

test('without a scheme, TLS is used when it is set up', () => {
  assert.equal(parseEndpoints(['host:2379'], true)[0]?.url, 'https://host:2379');
  assert.equal(parseEndpoints(['http://host:2379'], true)[0]?.url, 'http://host:2379');
});

test('the certificate must carry the host as it was written', () => {
  const hosts = parseEndpoints(['https://a.example:1', 'https://10.0.0.1', 'https://[::1]:1']).map(
    e => e.host,
  );
  assert.deepEqual(hosts, ['a.example', '10.0.0.1', '::1']);
});

test('drops duplicates and keeps the order', () => {
  const urls = parseEndpoints(['http://b', 'http://a', 'b:2379']).map(endpoint => endpoint.url);
  assert.deepEqual(urls, ['http://b:2379', 'http://a:2379']);
});

test('reports every problem at once', () => {
  const texts = [
    '',
    'ftp://host',
    'http://',
    'http://host:0',
    'http://host:70000',
    'http://10.0.0.256:1',
    'http://[10.0.0.1]:1',
    'http://fd00::1:2379',
    'http://host:2379/v3',
    'http://host?x',
    'unix://relative',
    'http://bad host',
    'http://-host',
  ];
  assert.throws(
    () => parseEndpoints(['http://good', ...texts]),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(
        error.problems.map(problem => problem.path),
        texts.map((_, index) => `endpoints[${index + 1}]`),
      );
      return true;
    },
  );
  assert.throws(() => parseEndpoints([]), { code: 'INVALID_CONFIG' });
});

test('never shows a password', () => {
  assert.throws(
    () => parseEndpoints(['http://root:s3cret@host:2379']),
    (error: unknown) => error instanceof ConfigError && !error.message.includes('s3cret'),
  );
});
