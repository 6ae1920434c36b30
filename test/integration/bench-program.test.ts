/** `tulle bench program` at a small size: what it counts and prints, not how long it takes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ProgramRow } from '../../src/bench/program/program.ts';
import { needsRoot } from '../support/capabilities.ts';

const TULLE = join(import.meta.dirname, '../../bin/tulle');

test('every shape does every operation, and counts its requests', needsRoot, t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-bench-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const svg = join(directory, 'program.svg');
  const output = execFileSync(TULLE, ['bench', 'program', '--peers', '200', '--json', '--svg', svg], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const rows = JSON.parse(output) as ProgramRow[];
  assert.deepEqual(
    rows.map(({ peers, shape, op, writes }) => `${peers} ${shape} ${op} ${writes}`),
    [
      '200 engine cold 800',
      '200 engine one 3',
      // Two peers have lost three entries each.
      '200 engine resync 6',
      '200 engine noop 0',
      '200 flannel cold 600',
      '200 flannel one 3',
      '200 flannel resync 600',
      '200 flannel noop 600',
      '200 iproute2 cold 600',
      '200 iproute2 one 3',
      '200 iproute2 resync 600',
      '200 iproute2 noop 600',
    ],
  );
  assert.ok(rows.every(({ ms }) => ms > 0));
  assert.match(readFileSync(svg, 'utf8'), /<svg .*>engine<.*>flannel<.*>iproute2</s);
});

test('a shape that does not exist and a number that is none are refused together', needsRoot, () => {
  assert.throws(
    () =>
      execFileSync(TULLE, ['bench', 'program', '--peers', '0', '--shapes', 'magic'], {
        encoding: 'utf8',
        stdio: 'pipe',
      }),
    ({ status, stderr }: { status: number; stderr: string }) => {
      assert.equal(status, 2);
      assert.match(stderr, /"0" is not a number of peers/);
      assert.match(stderr, /"magic" is not a shape: want engine, flannel, iproute2/);
      return true;
    },
  );
});
