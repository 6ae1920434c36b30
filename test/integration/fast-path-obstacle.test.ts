/** Whether this kernel can have the fast path: asked here, asked without the right to, and told that parts are missing. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { probeAdjustRoom, probeHelper, probeMap } from '../../src/bpf/probe.ts';
import { fastPathObstacle, filterObstacle, PROBES } from '../../src/fastpath/obstacle.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsBpf } from '../support/bpftool.ts';

const OBSTACLE = join(import.meta.dirname, '../../src/fastpath/obstacle.ts');

test('this kernel can, by tcx and by filters', needsBpf, async () => {
  assert.equal(await fastPathObstacle(), undefined);
  using netns = Netns.anonymous();
  assert.equal(await filterObstacle(netns), undefined);
});

test('the first thing that is missing is the reason', needsBpf, async () => {
  const obstacle = await fastPathObstacle([
    ...PROBES,
    () => 'this kernel has no bpf_first (Linux 7.0)',
    () => 'this kernel has no bpf_second (Linux 7.1)',
  ]);
  assert.equal(obstacle, 'this kernel has no bpf_first (Linux 7.0)');
});

test('what a kernel does not have is named', needsBpf, () => {
  // No kernel has a packet that is made shorter by more than it is long, or a function that is not for this kind of program.
  const bytes = new Uint8Array(60);
  bytes.set([0x08, 0x00, 0x45], 12);
  assert.equal(
    probeAdjustRoom({ bytes, length: -50, flags: 1n << 40n }, 'such room')(),
    'this kernel has no such room',
  );
  assert.equal(probeHelper('probe_read_kernel', 'such help')(), 'this kernel has no such help');
  assert.equal(probeMap('lru hash', 'LRU')(), undefined);
});

test(
  'what a process without a free descriptor cannot find out is not said to be missing',
  needsBpf,
  async () => {
    const script = `
    const { openSync } = await import('node:fs');
    const { probeHelper, probeMap, probePrograms } = await import(process.argv[1]);
    try {
      for (;;) openSync('/dev/null');
    } catch {}
    for (const probe of [probePrograms, probeMap('hash', 'maps'), probeHelper('redirect_peer', 'such help')])
      try {
        console.log(probe());
      } catch (error) {
        console.log(error.code);
      }`;
    const { stdout } = await run('prlimit', [
      '--nofile=64:64',
      process.execPath,
      '--input-type=module',
      '--eval',
      script,
      join(import.meta.dirname, '../../src/bpf/probe.ts'),
    ]);
    assert.deepEqual(stdout.trim().split('\n'), ['EMFILE', 'EMFILE', 'EMFILE']);
  },
);

for (const [capability, sentence] of [
  ['sys_admin', /^this process lacks CAP_SYS_ADMIN: root is needed for programs at links$/],
  ['net_admin', /^this process lacks CAP_NET_ADMIN: root is needed for programs at links$/],
] as const) {
  test(`without CAP_${capability.toUpperCase()}`, needsBpf, async () => {
    const script = `const { fastPathObstacle } = await import(process.argv[1]); console.log(await fastPathObstacle());`;
    const without = [`--bounding-set=-${capability}`, `--inh-caps=-${capability}`];
    const { stdout } = await run('setpriv', [
      ...without,
      process.execPath,
      '--input-type=module',
      '--eval',
      script,
      OBSTACLE,
    ]);
    assert.match(stdout.trim(), sentence);
  });
}
