import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ROLES, type Role } from '../roles.ts';
import { buildFastProgram, programName } from './build.ts';

/** Descriptors that are none: the kernel is not asked. */
const MAPS = {
  flows: { fd: 1 },
  cleared: { fd: 2 },
  tunnels: { fd: 3 },
  config: { fd: 4 },
  reasons: { fd: 5 },
  unproven: { fd: 6 },
};

describe('programs of the fast path', () => {
  test('each role has one; what has another VNI at a host end is another program', () => {
    const text = (role: Role, vni: number) =>
      Buffer.from(buildFastProgram(programName(role, vni), MAPS).instructions.bytes).toString('hex');
    for (const [role, { at }] of Object.entries(ROLES) as [Role, (typeof ROLES)[Role]][]) {
      assert.equal(text(role, 5), text(role, 5));
      assert.equal(text(role, 5) === text(role, 6), at === 'uplink', role);
    }
  });

  test('the kernel cuts off no name', () => {
    for (const role of Object.keys(ROLES) as Role[]) {
      const { name } = buildFastProgram(programName(role, 1), MAPS);
      assert.ok(name.startsWith('tulle_') && name.length <= 15, name);
    }
  });

  test('any other name is refused', () => {
    for (const name of [
      '',
      'transmit',
      'transmit x',
      'transmit 16777216',
      'sent 5',
      'constructor',
      'toString 1',
    ])
      assert.throws(() => buildFastProgram(name, MAPS), RangeError, name);
  });
});
