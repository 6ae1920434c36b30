import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatHex } from '../../base/bytes.ts';
import {
  CONFIG_LAYOUT,
  decodeFlow,
  FLOW_KEY,
  FLOW_LAYOUT,
  isFast,
  MAPS,
  REASONS,
  tunnelKey,
} from './layout.ts';

const KEY = FLOW_KEY.encode({
  local: 0x0a2a0102,
  remote: 0x0a2a0203,
  localPort: 40000,
  remotePort: 80,
  vni: Uint8Array.of(0, 0x10, 1),
  protocol: 6,
});
const template = new Uint8Array(64).fill(2, 0, 6).fill(9, 30, 34);
const PROVEN = {
  generation: 7n,
  sentUntil: 100n,
  deliveredUntil: 50n,
  sentSeen: 8,
  deliveredSeen: 8,
  cleared: 1,
  uplink: 3,
  hostEnd: 12,
  template,
};

describe('layout of the fast path', () => {
  test('a key has the bytes of packets', () => {
    assert.equal(formatHex(KEY), '0a2a01020a2a02039c40005000100106');
    assert.equal(formatHex(tunnelKey({ port: 8472, vni: 1 })), '2118000000000100');
  });

  test('what each side writes has a cache line of its own, wherever lines begin', () => {
    const line = 64;
    const { deliveredTtl, sentPackets, sentBytes, deliveredPackets } = FLOW_LAYOUT.at;
    assert.ok(sentPackets.offset - deliveredTtl.offset >= line);
    assert.ok(deliveredPackets.offset - sentBytes.offset >= line);
    assert.equal(FLOW_LAYOUT.at.identity.offset, 0);
    assert.equal(FLOW_LAYOUT.size % 8, 0);
    assert.deepEqual([FLOW_LAYOUT.at.sentSeen.offset % 4, CONFIG_LAYOUT.at.generation.offset], [0, 16]);
  });

  test('a flow as the agent sees it', () => {
    const flow = decodeFlow(KEY, FLOW_LAYOUT.encode(PROVEN));
    assert.deepEqual(
      [flow.vni, flow.protocol, `${flow.local}:${flow.localPort}`, `${flow.remote}:${flow.remotePort}`],
      [4097, 'tcp', '10.42.1.2:40000', '10.42.2.3:80'],
    );
    assert.deepEqual([`${flow.peer}`, `${flow.gateway}`], ['9.9.9.9', '02:02:02:02:02:02']);
    assert.deepEqual([flow.uplink, flow.hostEnd], [3, 12]);
  });

  test('fast is: of this generation, seen often enough, cleared, and proven of late', () => {
    const fast = (change: object, generation = 7n, now = 10n) =>
      isFast(decodeFlow(KEY, FLOW_LAYOUT.encode({ ...PROVEN, ...change })), generation, now);
    assert.deepEqual(fast({}), { sent: true, delivered: true });
    assert.deepEqual(fast({}, 7n, 60n), { sent: true, delivered: false });
    const not = { sent: false, delivered: false };
    assert.deepEqual(fast({}, 8n), not);
    assert.deepEqual(fast({ sentSeen: 7 }), not);
    assert.deepEqual(fast({ deliveredSeen: 7 }), not);
    assert.deepEqual(fast({ cleared: 0 }), not);
  });

  test('the kernel cuts off no name, and each reason has a place', () => {
    for (const { name } of Object.values(MAPS)) assert.ok(name.length <= 15, name);
    assert.ok(REASONS.length <= MAPS.reasons.entries);
  });
});
