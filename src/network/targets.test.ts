import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLogger } from '../base/log.ts';
import { Mac } from '../base/mac.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';
import { removeDevices } from './targets.ts';

test('of the devices of an earlier run, those are removed that this host has made', async () => {
  const own = Mac.parse('02:00:00:00:00:01');
  const kernel = new FakeKernel();
  const vxlan = (id: number) => ({ kind: 'vxlan', id, port: 4789, learning: false }) as const;
  await using rtnetlink = kernel.connect();
  await rtnetlink.links.add({ name: 'ours', mac: own, info: vxlan(1) });
  await rtnetlink.links.add({ name: 'other-mac', mac: Mac.parse('02:00:00:00:00:02'), info: vxlan(2) });
  await rtnetlink.links.add({ name: 'other-kind', mac: own, info: { kind: 'bridge' } });

  const names = ['gone', 'other-mac', 'other-kind', 'ours'];
  const parts = { rtnetlink, identity: { hostId: 'host', mac: () => own }, logger: recordingLogger() };
  assert.deepEqual(await Array.fromAsync(removeDevices(names, parts, [])), ['ours']);
  const left = (await rtnetlink.links.list()).map(({ name }) => name);
  assert.deepEqual(left, ['lo', 'other-mac', 'other-kind']);
});
