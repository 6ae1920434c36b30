/** What proves a flow of the fast path, and what does not: the two programs behind the normal path, packet by packet. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { formatHex } from '../../src/base/bytes.ts';
import type { TestPacket } from '../../src/bpf/test-run.ts';
import { needsBpf } from '../support/bpftool.ts';
import {
  containerFrame,
  FastRig,
  frame,
  innerPacket,
  MACS,
  type OuterFields,
  type PacketFields,
  tunnelFrame,
  UPLINK,
} from '../support/fast-rig.ts';

const NEXT = -1;
const DROP = 2;
const UDP = 17;
const [FIN, SYN, RST] = [0x11, 0x02, 0x04];

describe('proofs of the fast path', needsBpf, () => {
  let rig: FastRig;
  before(async () => {
    rig = await FastRig.open();
  });
  after(() => rig[Symbol.dispose]());
  beforeEach(() => rig.clear());

  const goesOut = (before: PacketFields = {}, behind: PacketFields = before, outer: OuterFields = {}) => {
    rig.run('transmit', containerFrame('out', before));
    rig.run('sent', tunnelFrame('out', behind, outer));
  };
  const comesIn = (before: PacketFields = {}, behind: PacketFields = before) => {
    rig.run('receive', tunnelFrame('in', before));
    rig.run('delivered', containerFrame('in', { ttl: 62, ...behind }));
  };
  const entry = (protocol?: number) => rig.entry(protocol) ?? assert.fail('no entry');

  describe('entries begin with a packet of the tunnel', () => {
    const none: readonly [string, PacketFields, OuterFields][] = [
      ['another VNI', {}, { vni: 5 }],
      ['another port', {}, { port: 4790 }],
      ['an extension', {}, { flags: 0x8800_0000 }],
      ['an outer fragment', {}, { fragment: 0x2000 }],
      ['ICMP', { protocol: 1 }, {}],
      ['a fragment', { fragment: 0x2000 }, {}],
      ['SYN', { flags: SYN }, {}],
      ['FIN', { flags: FIN }, {}],
      ['RST', { flags: RST }, {}],
      ['inner IPv6', {}, { innerType: 0x86dd }],
    ];
    for (const [name, fields, outer] of none)
      test(`not with ${name}`, () => {
        const { verdict } = rig.run('sent', tunnelFrame('out', fields, outer));
        assert.deepEqual([verdict, rig.entry()], [NEXT, undefined]);
      });

    test('nothing of it is proven by that', () => {
      for (let count = 0; count < 20; count++) rig.run('sent', tunnelFrame('out'));
      const { sentSeen, hostEnd, cleared, uplink } = entry();
      assert.deepEqual([sentSeen, hostEnd, cleared, uplink], [0, 0, 0, UPLINK]);
    });

    test('UDP has no conntrack window to be cleared', () => {
      rig.run('sent', tunnelFrame('out', { protocol: UDP }));
      assert.equal(entry(UDP).cleared, 1);
    });
  });

  describe('out', () => {
    beforeEach(() => void rig.run('sent', tunnelFrame('out')));

    test('a packet counts once', () => {
      goesOut();
      assert.equal(entry().sentSeen, 1);
      rig.run('sent', tunnelFrame('out'));
      assert.equal(entry().sentSeen, 1);
    });

    const none: readonly [string, PacketFields, PacketFields, TestPacket['fields']?][] = [
      ['TTL that was set by a rule', {}, { ttl: 40 }],
      ['two hops', {}, { ttl: 62 }],
      ['TTL that has grown', {}, { ttl: 65 }],
      ['DSCP that was set by a rule', {}, { tos: 0x20 }],
      ['a mark that a rule has set', {}, {}, { mark: 5 }],
    ];
    for (const [name, before, behind, fields] of none)
      test(`no proof: ${name}`, () => {
        rig.run('transmit', containerFrame('out', before));
        rig.run('sent', tunnelFrame('out', behind), fields);
        assert.deepEqual([entry().sentSeen, entry().sentUntil], [0, 0n]);
      });

    test('no proof: addresses or ports that were translated', () => {
      goesOut({}, { from: '10.42.1.1' });
      goesOut({}, { ports: [1024, 80] });
      assert.equal(entry().sentSeen, 0);
    });

    test('no proof: rules changed while the packet was on its way', () => {
      rig.run('transmit', containerFrame('out'));
      rig.setGeneration(8n);
      rig.run('sent', tunnelFrame('out'));
      assert.equal(entry().sentSeen, 0);
    });

    test('ECN may change on the way', () => {
      goesOut({ tos: 2 }, { tos: 3 });
      assert.equal(entry().sentSeen, 1);
    });

    test('another generation begins anew, but conntrack stays told', () => {
      rig.prove();
      rig.setGeneration(8n);
      goesOut();
      const { sentSeen, deliveredSeen, deliveredUntil, generation, cleared } = entry();
      assert.deepEqual([sentSeen, deliveredSeen, deliveredUntil, generation, cleared], [1, 0, 0n, 8n, 1]);
    });

    test('a container that sends from another interface begins anew', () => {
      rig.prove();
      rig.run('transmit', containerFrame('out'), { ifindex: UPLINK });
      const { sentSeen, deliveredSeen, deliveredUntil, hostEnd } = entry();
      assert.deepEqual([sentSeen, deliveredSeen, deliveredUntil, hostEnd], [0, 0, 0n, UPLINK]);
    });

    test('a proof that has ended begins with the length that proves it', () => {
      goesOut({ payload: 1000 });
      assert.equal(entry().sentLongest, 1040);
      goesOut({ payload: 500 });
      assert.equal(entry().sentLongest, 1040);
      rig.set({ sentUntil: 1n });
      goesOut({ payload: 500 });
      assert.equal(entry().sentLongest, 540);
      goesOut({ payload: 700 });
      assert.equal(entry().sentLongest, 740);
    });

    test('of a packet that will be cut, the segments count', () => {
      rig.run('transmit', containerFrame('out', { payload: 1000 }));
      rig.run('sent', tunnelFrame('out', { payload: 1000, tcpOptions: new Uint8Array(12) }), {
        gsoSize: 300,
        gsoSegs: 4,
      });
      assert.equal(entry().sentLongest, 20 + 32 + 300);
    });

    test('of a flow that nobody answers, one packet in the lifetime of a proof is a proof', () => {
      for (let count = 0; count < 8; count++) goesOut();
      rig.set({ sentUntil: 2n ** 63n });
      rig.run('transmit', containerFrame('out'));
      assert.deepEqual([entry().sentSeen, entry().sentPendingTtl], [8, 0]);
      rig.set({ sentUntil: 1n });
      rig.run('transmit', containerFrame('out'));
      assert.equal(entry().sentPendingTtl, 64);
      rig.run('sent', tunnelFrame('out'));
      rig.run('transmit', containerFrame('out'), { ifindex: UPLINK });
      assert.deepEqual([entry().hostEnd, entry().sentPendingTtl], [UPLINK, 64]);
    });

    for (const [name, outer] of [
      ['another peer', { from: '192.0.2.9' }],
      ['another DSCP of the tunnel', { tos: 0x20 }],
      ['another inner header', { innerFrom: MACS.peer }],
      ['fragments forbidden', { fragment: 0x4000 }],
    ] as const)
      test(`other headers begin anew: ${name}`, () => {
        rig.prove();
        rig.set({ sentUntil: 1n });
        rig.run('transmit', containerFrame('out'));
        assert.deepEqual(
          rig.reasonsOf(() => rig.run('sent', tunnelFrame('out', {}, outer))),
          ['template changed'],
        );
        const { sentSeen, hostEnd, template } = entry();
        assert.deepEqual([sentSeen, hostEnd], [0, 0]);
        assert.equal(
          formatHex(template.slice(26, 34)),
          'from' in outer ? 'c0000209c0000202' : 'c0000201c0000202',
        );
      });

    test('another source port of the tunnel is taken over: a sender that looks for another way', () => {
      rig.prove();
      rig.set({ sentUntil: 1n });
      goesOut({}, {}, { sourcePort: 50_000 });
      assert.equal(entry().sentSeen, 8);
      const { bytes } = rig.run('transmit', containerFrame('out'));
      assert.equal(new DataView(bytes.buffer, bytes.byteOffset).getUint16(34), 50_000);
    });
  });

  describe('in', () => {
    beforeEach(() => {
      rig.run('sent', tunnelFrame('out'));
      rig.run('transmit', containerFrame('out'));
    });

    test('a packet counts once, and leaves its header', () => {
      comesIn();
      rig.run('delivered', containerFrame('in', { ttl: 62 }));
      assert.equal(entry().deliveredSeen, 1);
      assert.equal(formatHex(entry().delivered), formatHex(containerFrame('in').slice(0, 14)));
    });

    test('a mark that a rule has set proves as well: it ends with the link to the container', () => {
      rig.run('receive', tunnelFrame('in'));
      rig.run('delivered', containerFrame('in', { ttl: 62 }), { mark: 0x10000 });
      assert.equal(entry().deliveredSeen, 1);
    });

    test('no proof: another interface, to which the bridge has flooded it', () => {
      rig.run('receive', tunnelFrame('in'));
      rig.run('delivered', containerFrame('in', { ttl: 62 }), { ifindex: UPLINK });
      assert.equal(entry().deliveredSeen, 0);
    });

    test('no proof: an address that the container does not send from, which the bridge floods', () => {
      rig.run('receive', tunnelFrame('in'));
      rig.run('delivered', frame(MACS.peer, MACS.gateway, innerPacket('in', { ttl: 62 })));
      assert.equal(entry().deliveredSeen, 0);
    });

    test('no proof: what did not come from the tunnel, or was changed', () => {
      rig.run('delivered', containerFrame('in', { ttl: 62 }));
      comesIn({}, { ttl: 61 });
      comesIn({}, { tos: 0x20 });
      comesIn({}, { from: '10.42.2.4' });
      assert.equal(entry().deliveredSeen, 0);
    });

    test('another header of the container begins anew', () => {
      rig.prove();
      rig.run('receive', tunnelFrame('in', { payload: 200 }));
      rig.run('delivered', frame(MACS.container, MACS.peer, innerPacket('in', { ttl: 62, payload: 200 })));
      assert.equal(entry().deliveredSeen, 1);
      assert.equal(formatHex(entry().delivered.slice(6, 12)), MACS.peer.replaceAll(':', ''));
    });
  });

  describe('conntrack', () => {
    test('the agent is asked once it matters, and not with each packet', () => {
      rig.run('sent', tunnelFrame('out'));
      for (let count = 0; count < 8; count++) {
        assert.deepEqual(rig.asked(), []);
        goesOut();
        comesIn();
      }
      goesOut();
      assert.deepEqual(
        rig.asked().map(key => formatHex(key)),
        [formatHex(rig.key())],
      );
      rig.set({ askAt: 2n ** 62n });
      goesOut();
      assert.deepEqual(rig.asked(), []);
      assert.equal(entry().cleared, 0);
      rig.clearTcp();
      goesOut();
      assert.deepEqual([entry().cleared, rig.isClearedByAgent], [1, false]);
    });

    test('and again when the window has got stale', () => {
      rig.prove();
      rig.set({ sentBytes: 2n ** 26n - 1n, sentUntil: 1n });
      rig.asked();
      goesOut();
      assert.equal(rig.asked().length, 0);
      rig.set({ deliveredBytes: 1n, sentUntil: 1n });
      goesOut();
      assert.equal(rig.asked().length, 1);
      rig.set({ sentUntil: 1n });
      goesOut();
      assert.equal(rig.asked().length, 0);
    });

    test('a new connection between the same ports asks for itself', () => {
      for (const way of ['transmit', 'receive'] as const) {
        rig.prove();
        rig.clearTcp();
        rig.run(
          way,
          way === 'transmit' ? containerFrame('out', { flags: SYN }) : tunnelFrame('in', { flags: SYN }),
        );
        assert.deepEqual([rig.entry(), rig.isClearedByAgent], [undefined, false]);
      }
    });
  });

  test('an entry that became that of another flow while it was read: the packet is dropped', () => {
    rig.prove();
    rig.set({ identity: new Uint8Array(16) });
    assert.equal(rig.run('transmit', containerFrame('out')).verdict, DROP);
    assert.equal(rig.run('receive', tunnelFrame('in')).verdict, DROP);
  });
});
