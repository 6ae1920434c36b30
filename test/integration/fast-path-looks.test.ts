/** What the agent looks at before it lets the programs of the fast path to a link: routes, queues and what others have there. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { attachedPrograms, detachProgram } from '../../src/bpf/attachment.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { FastPath } from '../../src/fastpath/fast-path.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { LinkLook } from '../../src/network/fastpath/link-look.ts';
import { LinkLooks } from '../../src/network/fastpath/link-looks.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsBpf } from '../support/bpftool.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { countingPrograms } from '../support/fast-path-programs.ts';
import { foreignProgram } from '../support/foreign-programs.ts';

async function looksOf(t: TestContext) {
  const netns = Netns.anonymous();
  const rtnetlink = connectRoute({ netns });
  const fastPath = await FastPath.open({ netns, owner: '/looks' });
  const stop = new AbortController();
  const looks = new LinkLooks({
    rtnetlink,
    others: link => fastPath.others(link),
    otherIds: link => fastPath.otherIds(link),
    look: 5,
    clock: systemClock,
    logger: silentLogger,
  });
  const ip = (...args: readonly string[]) => netns.run(() => void execFileSync('ip', args));
  const tc = (...args: readonly string[]) => netns.run(() => void execFileSync('tc', args));
  ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'v1');
  ip('link', 'set', 'v0', 'up');
  const running = looks.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
    await fastPath[Symbol.asyncDispose]();
    await rtnetlink[Symbol.asyncDispose]();
    netns[Symbol.dispose]();
  });
  const late = deadline('links were looked at');
  await looks.version.until(version => version > 0, late);
  const index = (await rtnetlink.links.get('v0'))?.index ?? 0;
  const at = async () => (await looks.at([{ name: 'v0', index }])).get(index);
  /** What is known is read again only when the kernel has announced that it is another now: not before it is seen so. */
  const after = async (act: () => void, isSeen: (at: LinkLook | undefined) => boolean) => {
    await at();
    act();
    let last: LinkLook | undefined;
    await eventually('the kernel announces it', async () => {
      last = await at();
      return isSeen(last) || assert.fail(JSON.stringify(last));
    });
    return last;
  };
  return {
    looks,
    index,
    netns,
    ip,
    tc,
    after,
    at,
  };
}

const hasNoQueue = (at: LinkLook | undefined) => (at?.queue ?? 'noqueue') === 'noqueue';

test('a queue, a filter and a program of others are seen as they come and go', needsBpf, async t => {
  const { tc, after, at, netns } = await looksOf(t);
  assert.ok(hasNoQueue(await at()));
  const limit = ['dev', 'v0', 'root', 'tbf', 'rate', '1mbit', 'burst', '10k', 'latency', '10ms'];
  await after(
    () => tc('qdisc', 'add', ...limit),
    found => found?.queue === 'tbf',
  );
  await after(() => tc('qdisc', 'del', 'dev', 'v0', 'root'), hasNoQueue);
  tc('qdisc', 'add', 'dev', 'v0', 'clsact');
  const filtered = await after(
    () => tc('filter', 'add', 'dev', 'v0', 'ingress', 'protocol', 'ip', 'u32', 'match', 'u8', '0', '0'),
    found => (found?.ingress.length ?? 0) > 0,
  );
  assert.match(filtered?.ingress.join() ?? '', /u32/);
  assert.deepEqual(filtered?.egress, []);
  await after(
    () => tc('qdisc', 'del', 'dev', 'v0', 'clsact'),
    found => (found?.ingress ?? []).length === 0,
  );
  for (const point of ['ingress', 'egress'] as const) {
    using stack = new DisposableStack();
    const place = { netns: `/proc/${process.pid}/fd/${netns.fd}`, link: 'v0', point };
    const found = await after(
      () => stack.use(foreignProgram(place, 'next')),
      seen => (seen?.[point] ?? []).length > 0,
    );
    assert.match(found?.[point].join() ?? '', /^the program foreign \(id \d+\)$/);
    await after(
      () => stack.dispose(),
      seen => (seen?.[point] ?? []).length === 0,
    );
  }
});

test('a route straight to a link is known while it is there', needsBpf, async t => {
  const { looks, index, ip } = await looksOf(t);
  const late = deadline('the kernel announces it');
  const routes = () => looks.routes().get(index)?.map(String).join();
  assert.equal(routes(), undefined);
  ip('route', 'add', '10.5.34.9/32', 'dev', 'v0', 'scope', 'host');
  await looks.version.until(() => routes() === '10.5.34.9/32', late);
  ip('route', 'del', '10.5.34.9/32', 'dev', 'v0');
  await looks.version.until(() => routes() === undefined, late);
});

test('a program of ours that somebody takes off a link is missed, once', needsBpf, async t => {
  using netns = Netns.anonymous();
  await using fastPath = await FastPath.open({
    netns,
    owner: '/looks',
    build: countingPrograms(),
    mechanism: 'tcx',
    look: 5,
  });
  const lo = { name: 'lo', index: 1 };
  let calls = 0;
  let called = Promise.withResolvers<string | undefined>();
  const watch = fastPath.watch(link => {
    calls++;
    called.resolve(link);
  });
  t.after(() => watch[Symbol.dispose]());
  for (const round of [1, 2]) {
    await fastPath.attach(lo, 'ingress', 'receive');
    await fastPath.attach(lo, 'egress', 'sent');
    assert.equal(calls, round - 1);
    netns.run(() => {
      using program = BpfProgram.open(attachedPrograms(1, 'egress')?.ids[0] ?? 0);
      detachProgram({ index: 1, point: 'egress', program: program?.fd ?? -1 });
    });
    await within('it is missed', called.promise);
    called = Promise.withResolvers();
    assert.deepEqual(await fastPath.read(lo), [{ point: 'ingress', program: 'receive' }]);
  }
});
