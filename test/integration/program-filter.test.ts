/** Filters of clsact that run programs, written by us and shown by tc and bpftool. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isCode } from '../../src/base/errors.ts';
import { Assembler } from '../../src/bpf/assembler.ts';
import { R0 } from '../../src/bpf/instructions.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { programOf } from '../../src/netlink/route/program-filter.ts';
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS } from '../../src/netlink/route/traffic-constants.ts';
import { run } from '../../src/sys/process.ts';
import { bpftool, needsBpf, needsBpftool } from '../support/bpftool.ts';
import { Namespace } from '../support/neighbourhood.ts';

const LOOPBACK = 1;
const KEY = { index: LOOPBACK, parent: TC_H_CLSACT_INGRESS, priority: 65_520, handle: 0x54 };

/** @param verdict -1: the next filter is asked */
function program(t: TestContext, verdict = -1): BpfProgram {
  const loaded = BpfProgram.load({
    type: 'traffic control',
    name: 'tt_program',
    instructions: new Assembler().move(R0, verdict).exit().finish(),
  });
  t.after(() => loaded[Symbol.dispose]());
  return loaded;
}

function opened(t: TestContext) {
  const space = new Namespace(t);
  const rtnetlink = connectRoute({ netns: space.netns });
  t.after(() => rtnetlink[Symbol.asyncDispose]());
  return { space, traffic: rtnetlink.traffic };
}

test('a filter is set, replaced in its place, and deleted alone', needsBpf, async t => {
  const { traffic } = opened(t);
  const [first, second] = [program(t), program(t, 0)];
  const programs = async () => (await traffic.filters(LOOPBACK, TC_H_CLSACT_INGRESS)).map(programOf);
  await traffic.addClsact(LOOPBACK);
  await assert.rejects(traffic.addClsact(LOOPBACK), error => isCode(error, 'EEXIST'));
  await traffic.setProgram({ ...KEY, program: first.fd, name: 'tulle_first' });
  await traffic.setProgram({ ...KEY, handle: 0x55, program: first.fd, name: 'other' });
  await traffic.setProgram({ ...KEY, program: second.fd, name: 'tulle_second' });
  assert.deepEqual(
    new Set(await programs()),
    new Set([
      { id: second.info().id, name: 'tulle_second' },
      { id: first.info().id, name: 'other' },
    ]),
  );
  assert.deepEqual(await traffic.filters(LOOPBACK, TC_H_CLSACT_EGRESS), []);
  await traffic.deleteFilter(KEY);
  assert.deepEqual(await programs(), [{ id: first.info().id, name: 'other' }]);
  await assert.rejects(traffic.deleteFilter(KEY), error => isCode(error, 'ENOENT'));
  await traffic.deleteClsact(LOOPBACK);
  assert.deepEqual(await traffic.qdiscs(), []);
});

test('a filter without a handle is never asked for: it would be all of them', needsBpf, async t => {
  const { traffic } = opened(t);
  await assert.rejects(traffic.deleteFilter({ ...KEY, handle: 0 }), RangeError);
});

test('filters of other kinds have no program', needsBpf, async t => {
  const { space, traffic } = opened(t);
  await traffic.addClsact(LOOPBACK);
  await space.do('tc filter add dev lo ingress prio 7 protocol ip u32 match u8 0 0 flowid 1:1');
  const classic = ['filter', 'add', 'dev', 'lo', 'ingress', 'bpf', 'bytecode', '1,6 0 0 1,', 'flowid', '1:1'];
  await run('tc', classic, space);
  const filters = await traffic.filters(LOOPBACK, TC_H_CLSACT_INGRESS);
  assert.deepEqual(new Set(filters.map(({ kind }) => kind)), new Set(['u32', 'bpf']));
  assert.deepEqual(new Set(filters.map(programOf)), new Set([undefined]));
});

test('the same as tc and bpftool show it', needsBpftool, async t => {
  const { space, traffic } = opened(t);
  const loaded = program(t);
  const { id, tag } = loaded.info();
  await traffic.addClsact(LOOPBACK);
  await traffic.setProgram({ ...KEY, program: loaded.fd, name: 'tulle_shown' });
  const { stdout } = await run('tc', ['-j', 'filter', 'show', 'dev', 'lo', 'ingress'], space);
  const shown = (JSON.parse(stdout) as readonly Record<string, unknown>[]).at(-1);
  const { handle, bpf_name, prog } = (shown?.['options'] ?? {}) as Record<string, unknown>;
  assert.deepEqual(
    [shown?.['protocol'], shown?.['pref'], handle, bpf_name],
    ['all', KEY.priority, '0x54', 'tulle_shown'],
  );
  assert.deepEqual(
    ['id', 'name', 'tag'].map(key => (prog as Record<string, unknown>)[key]),
    [id, 'tt_program', tag],
  );
  assert.match((await run('tc', ['filter', 'show', 'dev', 'lo', 'ingress'], space)).stdout, /direct-action/);
  const [net] = (await bpftool(['net', 'list'], space.namespaces.net)) as readonly { tc: unknown }[];
  assert.deepEqual(net?.tc, [
    { devname: 'lo', ifindex: LOOPBACK, kind: 'clsact/ingress', name: 'tulle_shown', id },
  ]);
});
