import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TC_H_ROOT } from '../../netlink/route/traffic-constants.ts';
import { linkFixture } from '../../testing/network/link-fixtures.ts';
import { conntrackCauses, filterCauses, programCauses, queueCauses, tcxCauses } from './limits.ts';

const eth0 = linkFixture(2, 'eth0');

test('the table of connections is full, nearly full, or not looked at', () => {
  const found = (count?: string) => {
    const values: Record<string, string | undefined> = { count, max: '1000' };
    const read = (path: string) => (count === undefined ? undefined : values[path.replace(/.*_/, '')]);
    return conntrackCauses(read, 7).map(({ code, severity }) => `${code} ${severity}`);
  };
  assert.deepEqual(found('1000'), ['CONNTRACK_FULL error']);
  assert.deepEqual(found('950'), ['CONNTRACK_FULL warning']);
  assert.deepEqual([found('10'), found()], [[], []]);
});

test('of the queues only those at the root that shape or lose', () => {
  const queue = (kind: string, drops: number, parent = TC_H_ROOT) =>
    queueCauses(eth0, [{ index: 2, kind, handle: 0x8001_0000, parent, drops }]).map(
      ({ severity }) => severity,
    );
  assert.deepEqual(
    [queue('tbf', 5), queue('tbf', 0), queue('pfifo', 5)],
    [['warning'], ['info'], ['warning']],
  );
  assert.deepEqual([queue('fq_codel', 5), queue('pfifo', 0), queue('netem', 5, 0x1_0000)], [[], [], []]);
});

test('filters and programs on a link are named with their direction', () => {
  const filter = { index: 2, kind: 'u32', handle: 1, parent: 2, priority: 7, protocol: 0x0800 };
  const [cause] = filterCauses(eth0, [{ filter, direction: 'egress' }]);
  assert.deepEqual(cause?.evidence, ['filter dev eth0 egress protocol ip pref 7 u32']);
  const program = { link: 'eth0', index: 2, point: 'ingress', by: 'tcx', tag: '', mapIds: [] } as const;
  const [foreign, ...others] = tcxCauses(eth0, [
    { ...program, id: 4, name: 'tulle_receive', role: 'receive' },
    { ...program, id: 5, name: 'evil' },
  ]);
  assert.deepEqual([foreign?.evidence, others], [['evil (id 5) at the ingress of eth0'], []]);
  assert.match(foreign?.remedy ?? '', /^bpftool net show dev eth0; bpftool prog show id 5/);
  assert.deepEqual(programCauses(eth0), []);
  assert.equal(programCauses({ ...eth0, xdpProgram: 9 })[0]?.code, 'XDP_PROGRAM');
});
