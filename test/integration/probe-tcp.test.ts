/** Requests for a connection on a real kernel: what a closed port, a listener, a filter and a missing route answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { probeTcp } from '../../src/probe/tcp.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Namespace } from '../support/neighbourhood.ts';

test('a closed port answers, a filter does not, and what is not reached says so', needsRoot, async t => {
  const host = new Namespace(t);
  await host.do('ip link set lo up');
  const local = Ip.parse('127.0.0.1');
  const ask = async (to: string, port: number, timeout = 30_000) => {
    const probe = { netns: host.netns, source: local, sourcePort: 0, to: Ip.parse(to), port, timeout };
    return (await probeTcp(probe, new AbortController().signal)).outcome;
  };
  assert.equal(await ask('127.0.0.1', 9), 'answered');
  await host.do(
    'nft add table inet t',
    'nft add chain inet t in { type filter hook input priority 0; }',
    'nft add rule inet t in tcp dport 9 drop',
  );
  assert.equal(await ask('127.0.0.1', 9, 2000), 'silent');
  assert.equal(await ask('127.0.0.1', 10), 'answered');
  assert.equal(await ask('192.0.2.1', 9), 'unreachable');
});
