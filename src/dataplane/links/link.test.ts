import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import type { VxlanInfo } from '../../netlink/route/link-info.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { DesiredVxlan } from '../desired-link.ts';
import { compareLink } from './link.ts';

const MAC = Mac.parse('c6:d2:32:6f:8f:44');
const LOCAL = Ip.parse('192.168.65.3');

const desired: DesiredVxlan = {
  kind: 'vxlan',
  name: 'flannel.88',
  vni: 88,
  underlayIndex: 2,
  local: LOCAL,
  port: 4789,
  learning: false,
  gbp: false,
  mtu: 1450,
  mac: MAC,
  master: 'nomaster',
};

/** A device as `ip -d link show` has it after flanneld made it. */
function link(info: Partial<VxlanInfo> = {}, changes: Partial<Link> = {}): Link {
  return {
    index: 7,
    name: 'flannel.88',
    type: 1,
    flags: 0,
    up: true,
    running: true,
    mtu: 1450,
    mac: MAC,
    info: {
      kind: 'vxlan',
      id: 88,
      link: 2,
      local: LOCAL,
      port: 4789,
      learning: false,
      udpCsum: true,
      ageing: 300,
      ...info,
    },
    ...changes,
  };
}

/** What a vxlan device is set to when anything of it that can be changed is wrong. */
const REPAIRED = { kind: 'vxlan' as const, learning: false, link: 2, local: LOCAL, ttl: 0, df: 0 };

describe('compareLink', () => {
  test("adopts flanneld's device as it is, whatever it says besides", () => {
    assert.deepEqual(compareLink(desired, link(), 0), { outcome: 'same' });
    assert.deepEqual(compareLink(desired, link({ udpCsum: false, l3miss: true }, { txQueueLength: 0 }), 0), {
      outcome: 'same',
    });
  });

  for (const { name, actual, differences, change } of [
    {
      name: 'MTU',
      actual: link({}, { mtu: 1500 }),
      differences: ['mtu 1500 instead of 1450'],
      change: { mtu: 1450 },
    },
    {
      name: 'MAC',
      actual: link({}, { mac: Mac.parse('02:00:00:00:00:01') }),
      differences: ['address 02:00:00:00:00:01 instead of c6:d2:32:6f:8f:44'],
      change: { mac: MAC },
    },
    {
      name: 'learning',
      actual: link({ learning: true }),
      differences: ['learning instead of nolearning'],
      change: { info: REPAIRED },
    },
    {
      name: 'local address and lower device',
      actual: link({ local: Ip.parse('192.168.65.9'), link: 3 }),
      differences: ['local 192.168.65.9 instead of 192.168.65.3', 'lower device 3 instead of 2'],
      change: { info: REPAIRED },
    },
    {
      name: 'TTL and DF',
      actual: link({ ttl: 1, df: 1 }),
      differences: ['ttl 1 instead of 0', 'df 1 instead of 0'],
      change: { info: REPAIRED },
    },
    {
      name: 'membership of a bridge',
      actual: link({}, { master: 7 }),
      differences: ['master 7 instead of 0'],
      change: { master: 0 },
    },
  ]) {
    test(`repairs ${name} on the living device`, () => {
      assert.deepEqual(compareLink(desired, actual, 0), { outcome: 'change', change, differences });
    });
  }

  for (const { name, actual, reason } of [
    { name: 'another VNI', actual: link({ id: 1 }), reason: 'its VNI is 1, not 88' },
    { name: 'another port', actual: link({ port: 8472 }), reason: 'its UDP port is 8472, not 4789' },
    { name: 'gbp', actual: link({ gbp: true }), reason: 'it has gbp' },
    {
      name: 'a group',
      actual: link({ group: Ip.parse('239.1.1.1') }),
      reason: 'it has a default destination, 239.1.1.1',
    },
    { name: 'external', actual: link({ collectMetadata: true }), reason: 'it is external' },
    {
      name: 'another family',
      actual: link({ local: Ip.parse('2001:db8::1') }),
      reason: 'its local address is 2001:db8::1',
    },
    {
      name: 'another kind',
      actual: link({}, { info: { kind: 'bridge' } }),
      reason: 'it is not a vxlan device',
    },
  ]) {
    test(`makes a device with ${name} anew`, () => {
      assert.deepEqual(compareLink(desired, actual, 0), { outcome: 'recreate', reason });
    });
  }
});
