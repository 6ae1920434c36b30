import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROLES, type Role } from '../../fastpath/roles.ts';
import type { FlowNow } from '../fastpath/fast-way.ts';
import type { LinkProgram } from '../fastpath/link-programs.ts';
import { fullCauses, incompleteCauses } from './fast-path.ts';

const CONFIG = 5;
const maps = [CONFIG, 6].map(config => ({
  ids: new Map([['config', config]] as const),
  generation: 1n,
  room: 20,
}));

function programs(end: string, config = CONFIG, without?: Role): LinkProgram[] {
  return (Object.keys(ROLES) as Role[])
    .filter(role => role !== without)
    .map((role, at) => ({
      link: ROLES[role].at === 'uplink' ? 'eth0' : end,
      index: at,
      point: ROLES[role].point,
      by: 'tcx',
      id: at,
      name: `tulle_${role}`,
      tag: '',
      mapIds: [config],
      role,
    }));
}

const found = (all: readonly LinkProgram[], hasAgent = true) =>
  incompleteCauses(['v1'], 'eth0', { programs: all, maps }, hasAgent);

test('nothing is missing where one agent has all four programs', () => {
  assert.deepEqual(found(programs('v1')), []);
  assert.deepEqual(found([...programs('v1'), ...programs('v1', 6, 'sent')]), []);
});

test('a missing program is named, and so is one that shares no maps with the others', () => {
  const [cause] = found(programs('v1', CONFIG, 'receive'));
  assert.deepEqual(
    [cause?.code, cause?.evidence],
    ['FAST_PATH_INCOMPLETE', ['missing: receive at the ingress of eth0']],
  );
  assert.match(cause?.reason ?? '', /the container behind v1 take the normal path/);
  const mixed = [
    ...programs('v1', CONFIG, 'transmit'),
    ...programs('v1', 6).filter(({ role }) => role === 'transmit'),
  ];
  assert.deepEqual(found(mixed, false)[0]?.evidence, ['missing: transmit at the ingress of v1']);
  assert.match(found(mixed, false)[0]?.remedy ?? '', /^start the agent/);
  assert.equal(found([])[0]?.evidence.length, 4);
});

test('the map is full of flows that are under way, not of those that rest', () => {
  const flow = (sentUntil: bigint) =>
    ({ flow: { state: { sentUntil, deliveredUntil: 0n } }, generation: 1n, now: 10n }) as unknown as FlowNow;
  const flows = (busy: number) => Array.from({ length: 40 }, (_, at) => flow(at < busy ? 11n : 9n));
  assert.deepEqual(fullCauses(flows(30), { maps }), []);
  assert.match(
    fullCauses(flows(38), { maps })[0]?.reason ?? '',
    /^38 flows are under way at once.*room for 40/,
  );
  assert.deepEqual(fullCauses([], { maps: [] }), []);
});
