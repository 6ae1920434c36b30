/** Hosts of real sockets, all in one process: every one of them knows of a dead one, and nobody is called dead who is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureMesh } from '../../src/bench/mesh/mesh-bench.ts';
import { needsRoot } from '../support/capabilities.ts';

test(
  'a host that dies is known to all others, at a bounded cost and without a false alarm',
  needsRoot,
  async t => {
    const result = await measureMesh({ hosts: 20, calm: 3_000, signal: t.signal });
    assert.equal(result.falseAlarms, 0);
    assert.ok(result.perSecond > 0 && result.perSecond <= 6, JSON.stringify(result));
    t.diagnostic(JSON.stringify(result));
  },
);
