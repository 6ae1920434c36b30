import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../testing/properties.ts';
import { REMOVED, redact, redactValue } from './redact.ts';

const SECRET = 'hunter2-S3cr3t';
const PLACES = [
  `tulle agent --etcd-password=${SECRET} --iface=eth0`,
  `tulle agent --etcd-password ${SECRET} --iface=eth0`,
  `flanneld -etcd-password=${SECRET}`,
  `FLANNELD_ETCD_PASSWORD=${SECRET}`,
  `ETCD_PASSWORD="${SECRET}"`,
  `{"registry":{"auth": "${SECRET}"}}`,
  `{"Secret":"a \\"${SECRET}\\""}`,
  `http://root:${SECRET}@10.0.0.1:2379`,
  `https://${SECRET}@example.com/x`,
  `Authorization: Bearer ${SECRET}`,
  `tulle up --join tulle1.${SECRET}`,
  `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----`,
  `-----BEGIN EC PRIVATE KEY-----\n${SECRET}`,
  `private-key: ${SECRET}`,
  `client_secret = ${SECRET}`,
  `--etcd-password 'two words ${SECRET}' --x`,
  `--etcd-password=a,b;${SECRET}`,
  `"http-proxy": "http://joe:p@ss${SECRET}@proxy:3128"`,
  `ETCDCTL_USER=root:${SECRET}`,
  `AWS_SECRET_ACCESS_KEY=${SECRET}`,
  `secret_key: ${SECRET}`,
  `Authorization: Token ${SECRET}`,
  `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.${SECRET}`,
  `{"psk": "${SECRET}"}`,
  `{"password": ["a", "${SECRET}"]}`,
  `{"secret": {"value": "${SECRET}"}}`,
  `["tulle", "agent", "--etcd-password", "${SECRET}"]`,
  `https://example.com/?a=1&access_key=${SECRET}`,
];

test('a secret is removed wherever it stands, and what stands around it stays', () => {
  for (const text of PLACES) {
    const known = redact(`before ${text}\nafter`);
    assert.ok(!known.includes(SECRET), known);
    assert.ok(known.includes(REMOVED), known);
    assert.match(known, /^before /);
  }
  assert.match(redact(PLACES[0] ?? ''), /--iface=eth0$/);
});

test('what explains a network stays', () => {
  for (const text of [
    '10.77.2.0/24 via 10.77.2.0 dev flannel.1 proto 77 onlink',
    'c6:d2:32:6f:8f:44 dev flannel.1 dst 192.168.65.4 self permanent',
    '{"PublicIP":"192.168.65.3","BackendData":{"VNI":88}}',
    'http://192.168.65.3:2379',
    'authentication is off; tokens expire after a day',
    '--etcd-endpoints=https://10.0.0.1:2379 --etcd-keyfile=/etc/tulle/key.pem',
  ])
    assert.equal(redact(text), text);
});

test('a value under the name of a secret is removed from JSON, and nothing else is changed', () => {
  const value = {
    host: 'a',
    password: SECRET,
    nested: [{ token: SECRET, count: 3, url: `http://u:${SECRET}@h/` }],
    secrets: { list: [SECRET], count: 1 },
    args: ['agent', '--etcd-password', SECRET, '--iface'],
  };
  assert.deepEqual(redactValue(value), {
    host: 'a',
    password: REMOVED,
    nested: [{ token: REMOVED, count: 3, url: `http://${REMOVED}@h/` }],
    secrets: { list: [REMOVED], count: 1 },
    args: ['agent', '--etcd-password', REMOVED, '--iface'],
  });
});

test('lines of any kind lose their secrets', () => {
  const junk = fc.string({ unit: fc.constantFrom('a', '=', ':', '"', ' ', '/', '@', '-', 'password') });
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...PLACES), junk)), lines => {
      const once = redact(lines.join('\n'));
      assert.ok(!once.includes(SECRET), once);
    }),
  );
});
