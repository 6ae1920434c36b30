import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { NUD_PERMANENT, NUD_REACHABLE, RTPROT_KERNEL } from '../netlink/route/constants.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';
import { deviceOwner } from './device.ts';

const NETWORKS = [Prefix.parse('10.3.0.0/16')];
const MAC = Mac.parse('02:00:00:00:01:02');

describe('a device with a name of ours', () => {
  let rtnetlink: Rtnetlink;
  let index: number;
  beforeEach(() => {
    const kernel = new FakeKernel();
    rtnetlink = kernel.connect();
    ({ index } = kernel.plugIn({
      name: 'flannel.88',
      up: true,
      info: { kind: 'vxlan', id: 88, port: 4789, learning: false },
    }));
  });
  const owner = () => deviceOwner(rtnetlink, index, NETWORKS);
  const address = (text: string, length: number) =>
    rtnetlink.addresses.replace({ index, ip: Ip.parse(text), length });
  const route = (text: string, protocol = 4) =>
    rtnetlink.routes.replace({ destination: Prefix.parse(text), oif: index, protocol });
  const neighbor = (text: string, state = NUD_PERMANENT) =>
    rtnetlink.neighbors.replace({ index, ip: Ip.parse(text), mac: MAC, state });

  test('has no owner when it carries nothing that says more than any link does', async () => {
    await address('fe80::1', 64);
    await route('10.9.0.0/24', RTPROT_KERNEL);
    await neighbor('10.9.7.0', NUD_REACHABLE);
    assert.deepEqual(await owner(), { owner: 'none', evidence: [] });
  });

  test('is of whom its addresses are, whatever its routes say', async () => {
    await route('10.9.7.0/24');
    await address('10.3.5.0', 32);
    assert.deepEqual(await owner(), { owner: 'ours', evidence: ['address 10.3.5.0/32'] });
  });

  test('is of whom its routes are, where it has no address, whatever its neighbors say', async () => {
    await neighbor('10.3.7.0');
    await route('10.9.7.0/24');
    assert.deepEqual(await owner(), { owner: 'another', evidence: ['route 10.9.7.0/24'] });
  });

  test('is of whom its neighbors are, where it has neither', async () => {
    await neighbor('10.3.7.0');
    assert.deepEqual(await owner(), { owner: 'ours', evidence: ['neighbor 10.3.7.0'] });
  });

  test('is of another where it has only FDB entries that a program has added', async () => {
    const entry = { index, mac: MAC, destination: Ip.parse('192.168.65.9') };
    await rtnetlink.fdb.replace({ ...entry, state: NUD_REACHABLE });
    assert.equal((await owner()).owner, 'none', 'learned from packets');
    await rtnetlink.fdb.replace({ ...entry, state: NUD_PERMANENT });
    assert.deepEqual(await owner(), {
      owner: 'another',
      evidence: [`FDB entry ${MAC} dst 192.168.65.9`],
    });
  });

  test('is shown by three of its traces', async () => {
    for (const number of [1, 2, 3, 4]) await address(`10.9.${number}.0`, 32);
    assert.equal((await owner()).evidence.length, 3);
  });
});
