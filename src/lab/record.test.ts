import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { ContainerRecord, HostRecord } from './record.ts';

const container = { name: 'a1', ip: '10.3.5.2', netns: '/run/tulle/netns/a1' };
const host = {
  name: 'docker1',
  address: '192.168.65.1',
  anchor: { pid: 7, started: 1 },
  subnet: '10.3.5.0/24',
  containers: [container],
};

test('a record holds only what may stand in a path and on a command line', () => {
  assert.ok(v.safeParse(HostRecord, host).success);
  for (const wrong of [
    { netns: '/etc/passwd' },
    { netns: '/run/../etc/passwd' },
    { name: '--help' },
    { name: 'a/b' },
    { ip: '10.3.5' },
  ]) {
    assert.equal(
      v.safeParse(ContainerRecord, { ...container, ...wrong }).success,
      false,
      JSON.stringify(wrong),
    );
  }
  for (const wrong of [{ anchor: { pid: 0, started: 1 } }, { subnet: '$(id)' }, { address: 'docker1' }]) {
    assert.equal(v.safeParse(HostRecord, { ...host, ...wrong }).success, false, JSON.stringify(wrong));
  }
});
