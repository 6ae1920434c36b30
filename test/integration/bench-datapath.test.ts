import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { measureDatapath } from '../../src/bench/datapath/datapath.ts';
import type { PathName } from '../../src/bench/datapath/paths.ts';
import type { DatapathRow } from '../../src/bench/datapath/rows.ts';
import { fastPathObstacle } from '../../src/fastpath/obstacle.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { findRecord } from '../../src/lab/record/record.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';

/** In two turns, each of which has its time: a lab for each path, and traffic of four kinds. */
async function measured(t: TestContext, paths: readonly PathName[]): Promise<DatapathRow[]> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-flanneld-'));
  t.after(() => rmSync(directory, { recursive: true }));
  // It is given flannel's flags, and nothing else is known of it.
  const flanneld = join(directory, 'flanneld');
  writeFileSync(flanneld, `#!/bin/sh\nexec ${TULLE} agent "$@"\n`, { mode: 0o755 });
  const progress: string[] = [];
  const rows = await measureDatapath({
    paths,
    flanneld,
    rounds: 1,
    seconds: 1,
    onProgress: what => progress.push(what),
    signal: deadline('everything is measured', 230_000),
  });
  assert.deepEqual(progress, [
    ...paths.map(path => `preparing ${path}`),
    ...paths.map(path => `round 1 of 1: ${path}`),
  ]);
  assert.deepEqual(
    rows.map(({ path }) => path),
    paths,
  );
  for (const { path, rounds, fastPath, ...figures } of rows) {
    for (const [name, value] of Object.entries(figures)) assert.ok(value > 0, `${path} ${name}: ${value}`);
    assert.equal(Object.keys(figures).length, 10, path);
    assert.deepEqual(rounds, [figures], path);
    assert.equal(fastPath !== undefined, ['vxlan', 'fast', 'fast-sender'].includes(path), path);
    t.diagnostic(JSON.stringify({ path, ...figures, fastPath }));
  }
  assert.equal(rows[0]?.ratioStream, 1);
  for (const path of paths) assert.equal(findRecord(`bench-${path}`), undefined);
  return rows;
}

test(
  'each path across two hosts is measured beside host to host, its lab is gone then',
  needsRoot,
  async t => {
    await measured(t, ['host', 'host-gw', 'flanneld']);
  },
);

test('so is the fast path, and how much takes it', needsRoot, async t => {
  const rows = await measured(t, ['host', 'vxlan', 'fast', 'fast-sender']);
  const shares = (name: string) => {
    const row = rows.find(({ path }) => path === name)?.fastPath;
    if (row === undefined) throw new Error(`no ${name}`);
    return { ...row, ends: Object.values(row.past).flatMap(({ sent, received }) => [sent, received]) };
  };
  const vxlan = shares('vxlan');
  assert.ok(Math.max(...vxlan.ends) < 0.1, 'without a fast path all packets cross the device');
  assert.ok(vxlan.obstacles.length > 0, 'the agents say that it is off');
  const isPossible = (await fastPathObstacle()) === undefined;
  for (const name of ['fast', 'fast-sender']) {
    const { past, obstacles } = shares(name);
    // A stream takes all that there is of a processor, and the agent may get none of its second: of TCP the round trips say it.
    const isUsed = past['two-way'].sent > 0.5 && past.rr.sent > 0;
    assert.ok(isPossible ? isUsed : obstacles.length > 0, `${name} is used, or it is said why not`);
    assert.ok(
      past.small.sent < 0.1 && past.small.received < 0.1,
      'what is not answered never takes the fast path',
    );
  }
  assert.ok(shares('fast-sender').past.stream.received < 0.1);
});

test('the path flanneld is refused without a program, and with one that cannot be started', async () => {
  for (const [args, reason] of [
    [['--paths=flanneld'], /the path flanneld needs a program/],
    [['--paths=flanneld', '--flanneld=/nowhere/flanneld'], /--flanneld: .*\/nowhere\/flanneld/],
  ] as const) {
    const { status, stderr } = await run(TULLE, ['bench', 'datapath', ...args], { anyStatus: true });
    assert.notEqual(status, 0);
    assert.match(stderr, reason);
  }
});
