import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '../../base/errors.ts';
import { run } from '../../sys/process.ts';
import { isDoneAlready } from './already.ts';
import { dockerd, type FaultStep, host } from './step.ts';

const root = process.getuid?.() === 0;

/**
 * What a program says where nothing is planted: in an empty network namespace, and with a /run of its own. The lock of
 * iptables-legacy is there, one for all namespaces, and it says something else when another test holds it.
 */
async function failure({ words }: Extract<FaultStep, { kind: 'run' }>, prepare = 'true'): Promise<unknown> {
  const line = `mount -t tmpfs none /run; ip link set lo up; ${prepare}; "$@"`;
  return await run('unshare', ['--net', '--mount', 'sh', '-c', line, 'sh', ...words]).then(
    () => undefined,
    (error: unknown) => error,
  );
}

const GONE = [
  'ip route delete blackhole 10.3.0.1/32',
  'ip route flush table 77',
  'ip rule delete from 10.3.0.1 lookup 77 pref 100',
  'ip address delete 10.3.0.1/32 dev lo',
  'ip link delete tun9',
  'ip neigh delete 10.3.0.1 dev lo',
  'tc qdisc delete dev lo root',
  'nft delete table inet hardened',
  'iptables -t mangle -D FORWARD -s 10.3.0.1 -j DROP',
  'iptables-legacy -t raw -D PREROUTING -p udp --dport 8472 -j DROP',
];

for (const command of GONE) {
  test(`is done already when it is gone: ${command}`, { skip: root ? false : 'needs root' }, async t => {
    const step = host(command);
    if (step.kind !== 'run') throw new Error('want a command');
    const error = await failure(step);
    if (error instanceof Error && /status 127/.test(error.message))
      return t.skip(`${step.words[0]} is not installed`);
    assert.ok(error, 'it fails');
    assert.ok(isDoneAlready(step, error), messageOf(error));
  });
}

test('is done already when what it adds is there', { skip: root ? false : 'needs root' }, async () => {
  const step = host('ip address add 10.3.0.1/24 dev lo');
  if (step.kind !== 'run') throw new Error('want a command');
  const error = await failure(step, step.words.join(' '));
  assert.ok(error, 'it fails');
  assert.ok(isDoneAlready(step, error), messageOf(error));
});

test('is not done when something is missing that it needs, or that was not removed', () => {
  const missing = new Error('Cannot find device "veth-c1"');
  assert.equal(isDoneAlready(host('ip link set dev veth-c1 up'), missing), false);
  assert.equal(isDoneAlready(dockerd(), missing), false);
  assert.equal(isDoneAlready(host('nft delete table inet x'), new Error('Operation not permitted')), false);
});
