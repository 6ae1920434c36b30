import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, afterEach, test } from 'node:test';
import { measureConvergence } from '../../src/bench/converge/converge.ts';
import { STEPS } from '../../src/bench/converge/trace.ts';
import { withTulleStore } from '../../src/bench/store/servers.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';

/** Where everything temporary of these tests is, and nothing of anybody else's. */
const directory = mkdtempSync(join(tmpdir(), 'tt-converge-'));
after(() => rmSync(directory, { recursive: true }));
process.env['TMPDIR'] = directory;
afterEach(() => assert.deepEqual(readdirSync(directory), []));

// G3: latency and processor time of an agent stand beside those of flannel's procedure, in the same run.
test(
  'a lease is followed from its writer to the kernels of hosts and of a real agent',
  needsRoot,
  async () => {
    const signal = deadline('everything is measured', 220_000);
    const rows = await withTulleStore(signal, ({ endpoint }) =>
      measureConvergence({ endpoint, hosts: 2, agents: 1, leases: 3, onProgress: () => undefined, signal }),
    );
    for (const op of ['burst', 'one'] as const) {
      const find = (step: string, of: string) =>
        rows.find(row => row.op === op && row.step === step && row.of === of);
      for (const step of STEPS) {
        const isOfAll = step === 'committed' || step === 'everywhere';
        const row = find(step, isOfAll ? 'all' : 'hosts');
        assert.ok(
          row !== undefined && row.p50 >= 0 && row.p50 <= row.p99 && row.p99 <= row.max,
          `${op} ${step}`,
        );
      }
      const agent = find('announced', 'agents');
      const everywhere = find('everywhere', 'all');
      assert.ok(agent !== undefined && everywhere !== undefined && agent.max <= everywhere.max);
      assert.equal(find('received', 'agents'), undefined, 'a process does not report when it receives');
      const flannel = find('announced', 'flannel');
      assert.ok(flannel !== undefined && flannel.p50 <= flannel.p95 && flannel.p95 <= everywhere.max);
      for (const { cpuMs } of [agent, flannel]) assert.equal((cpuMs ?? 0) > 0, op === 'one');
      assert.ok((find('checked', 'hosts')?.p50 ?? 0) >= (find('received', 'hosts')?.p50 ?? 0));
    }
  },
);

test('what cannot arrive is given up, and nothing stays', needsRoot, async () => {
  const stop = new AbortController();
  const measuring = withTulleStore(stop.signal, ({ endpoint }) =>
    measureConvergence({
      endpoint,
      hosts: 1,
      agents: 0,
      leases: 1,
      onProgress: what => {
        if (what.startsWith('burst')) stop.abort(new Error('interrupted'));
      },
      signal: stop.signal,
    }),
  );
  await assert.rejects(measuring, /interrupted/);
});
