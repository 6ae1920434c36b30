/** A container on a real bridge asks the resolver and dnsmasq, and both answer every question. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureDns } from '../../src/bench/dns/dns.ts';
import { hasProgram, needsRoot, requires } from '../support/capabilities.ts';

const needs = needsRoot.skip === false ? requires(hasProgram('dnsmasq'), 'needs dnsmasq') : needsRoot;

test('every question of a container is answered, by the resolver and by what it is compared with', {
  ...needs,
  timeout: 230_000,
}, async t => {
  const shapes = ['tulle', 'dnsmasq'] as const;
  const results = await measureDns({ shapes, names: 1000, queries: 640, signal: t.signal });
  assert.deepEqual(
    results.map(({ shape, names, queries }) => [shape, names, queries]),
    shapes.map(shape => [shape, 1000, 640]),
  );
  for (const { us, perSecond } of results) assert.ok(us.p50 > 0 && us.p99 >= us.p50 && perSecond > 0);
  t.diagnostic(JSON.stringify(results));
});
