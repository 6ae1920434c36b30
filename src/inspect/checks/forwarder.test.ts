import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Link } from '../../netlink/route/objects.ts';
import { forwarderCauses } from './forwarder.ts';

/** ARPHRD_NONE: include/uapi/linux/if_arp.h. */
const NO_HEADER = 0xfffe;
const device = (running: boolean): Link => ({
  index: 3,
  name: 'flannel0',
  type: NO_HEADER,
  flags: 1,
  up: true,
  running,
  info: { kind: 'tun', type: 'tun', persist: true },
});

test('a device that no program has open, and one whose program is stopped', () => {
  const nameOf = () => '';
  assert.deepEqual(forwarderCauses(device(true), [], nameOf), []);
  const [gone] = forwarderCauses(device(false), [], nameOf);
  assert.match(`${gone?.code}: ${gone?.reason}`, /^FORWARDER_DOWN: no program takes packets from flannel0/);
  assert.match(gone?.evidence[0] ?? '', /NO-CARRIER/);
  const [stopped] = forwarderCauses(device(true), [41], nameOf);
  assert.equal(stopped?.remedy, 'kill -CONT 41');
});
