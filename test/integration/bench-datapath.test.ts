import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureDatapath } from '../../src/bench/datapath/datapath.ts';
import { findRecord } from '../../src/lab/record.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';

test(
  'each path across two hosts is measured beside host to host, and its lab is gone afterwards',
  needsRoot,
  async () => {
    const progress: string[] = [];
    const rows = await measureDatapath({
      paths: ['host', 'vxlan'],
      rounds: 1,
      seconds: 1,
      onProgress: what => progress.push(what),
      signal: deadline('everything is measured', 120_000),
    });
    assert.deepEqual(progress, [
      'preparing host',
      'preparing vxlan',
      'round 1 of 1: host',
      'round 1 of 1: vxlan',
    ]);
    assert.deepEqual(
      rows.map(({ path }) => path),
      ['host', 'vxlan'],
    );
    for (const { path, ...figures } of rows) {
      for (const [name, value] of Object.entries(figures)) assert.ok(value > 0, `${path} ${name}: ${value}`);
    }
    assert.equal(rows[0]?.ratioStream, 1);
    for (const path of ['host', 'vxlan']) assert.equal(findRecord(`bench-${path}`), undefined);
  },
);
