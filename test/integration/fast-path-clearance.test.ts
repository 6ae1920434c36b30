/** Flows that ask through a real ring buffer, what the kernel tracks of them afterwards, and the map that tells programs. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import { written } from '../../src/base/bytes.ts';
import { Ip } from '../../src/base/ip.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Assembler } from '../../src/bpf/assembler.ts';
import { FP, R0, R1, R2, R3, R4, R7, R8 } from '../../src/bpf/instructions.ts';
import { BpfMap } from '../../src/bpf/map.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { RingBuffer } from '../../src/bpf/ring-buffer.ts';
import { FLOW_KEY, MAPS } from '../../src/fastpath/programs/layout.ts';
import { startClearance } from '../../src/fastpath/start-clearance.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { NLM_F_CREATE } from '../../src/netlink/constants.ts';
import { askConnections, conntrackMessage } from '../../src/netlink/netfilter/conntrack.ts';
import { conntrackType } from '../../src/netlink/netfilter/header.ts';
import { NETFILTER_PROTOCOL } from '../../src/netlink/netfilter/protocol.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../src/sys/netlink-socket.ts';
import type { Netns } from '../../src/sys/netns.ts';
import { openUdpSocket } from '../../src/sys/udp-socket.ts';
import { needsBpf } from '../support/bpftool.ts';
import { eventually } from '../support/eventually.ts';
import { Namespace } from '../support/neighbourhood.ts';

const FLOWS = 3000;
/** So many at once that the queue of a busy processor has room for them (net.core.netdev_max_backlog: 1,000). */
const BURST = 500;
const PORT = 4444;
const LOCAL = Ip.parse('10.3.5.2');
const REMOTE = Ip.parse('10.3.6.7');
const LIBERAL = 0x08;
/** include/uapi/linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_tcp.h. */
const CTA_TIMEOUT = 7;
const ESTABLISHED = 3;

/** Of struct __sk_buff, include/uapi/linux/bpf.h; of a packet: Ethernet, IPv4 and UDP. */
const SKB = { data: 76, dataEnd: 80 };
const [PROTOCOL, DESTINATION_PORT, PAYLOAD] = [23, 36, 42];

/** Has whatever is sent to the port, of a key's length, become a record. */
const recorder = (ring: RingBuffer) =>
  new Assembler()
    .load(R7, R1, SKB.data, 4)
    .load(R8, R1, SKB.dataEnd, 4)
    .move(R2, R7)
    .add(R2, PAYLOAD + FLOW_KEY.size)
    .jumpIf(R2, '>', R8, 'end')
    .load(R2, R7, PROTOCOL, 1)
    .jumpIf(R2, '!=', 17, 'end')
    .load(R2, R7, DESTINATION_PORT, 1)
    .jumpIf(R2, '!=', PORT >> 8, 'end')
    .load(R2, R7, PAYLOAD, 8)
    .store(FP, -16, R2, 8)
    .load(R2, R7, PAYLOAD + 8, 8)
    .store(FP, -8, R2, 8)
    .loadMap(R1, ring)
    .move(R2, FP)
    .add(R2, -16)
    .move(R3, FLOW_KEY.size)
    .move(R4, 0)
    .call('ringbuf_output')
    .label('end')
    .move(R0, 0)
    .exit()
    .finish();

const connectionOf = (netns: Netns) =>
  new NetlinkConnection(NetlinkSocket.open(netns, [], NETLINK_NETFILTER), NETFILTER_PROTOCOL);

/** Tracks established connections, as if their packets had come by. */
async function track(netns: Netns, ports: readonly number[]): Promise<void> {
  await using connection = connectionOf(netns);
  const tuple = (source: Ip, sourcePort: number, destination: Ip, destinationPort: number) => ({
    ip: { ipv4Source: source, ipv4Destination: destination },
    protocol: { number: 6, sourcePort, destinationPort },
  });
  const header = { family: 2, version: 0, resource: 0 };
  const results = await connection.apply(
    ports.map(port => ({
      what: 'add a connection',
      type: conntrackType(0),
      flags: NLM_F_CREATE,
      write: writer =>
        conntrackMessage.write(writer, header, {
          original: tuple(LOCAL, port, REMOTE, 80),
          reply: tuple(REMOTE, 80, LOCAL, port),
          protocolInfo: { tcp: { state: ESTABLISHED } },
          unknown: [{ type: CTA_TIMEOUT, payload: written(timeout => timeout.u32be(600)) }],
        }),
    })),
  );
  assert.deepEqual(new Set(results), new Set([undefined]));
}

/** Ports of the connections any window of which is accepted, in both directions. */
async function liberal(netns: Netns): Promise<Set<number>> {
  await using connection = connectionOf(netns);
  const ports = new Set<number>();
  const { what, type, write } = askConnections({ family: 'ipv4', protocol: 6 });
  await connection.dump([{ what, type, payload: written(write) }], {
    begin: () => ports.clear(),
    each({ payload }) {
      const { original, protocolInfo } = conntrackMessage.decode(payload).attributes;
      const { originalFlags, replyFlags } = protocolInfo?.tcp ?? {};
      if ((originalFlags?.flags ?? 0) & (replyFlags?.flags ?? 0) & LIBERAL)
        ports.add(original?.protocol?.sourcePort ?? 0);
    },
  });
  return ports;
}

test('flows are cleared with the kernel, tracked or not', needsBpf, async t => {
  const host = new Namespace(t);
  await host.do('ip link set lo up');
  const ring = RingBuffer.create(1 << 18, MAPS.unproven.name);
  const [cleared, flows] = [BpfMap.create(MAPS.cleared), BpfMap.create(MAPS.flows)];
  const program = BpfProgram.load({
    type: 'traffic control',
    name: 'recorder',
    instructions: recorder(ring),
  });
  const attached = host.netns.run(() => program.attachToLink(1, 'tcx ingress'));
  const clearance = startClearance({ unproven: ring, cleared, flows }, host.netns, silentLogger);
  const sender = createSocket('udp4');
  sender.bind({ fd: host.netns.run(() => openUdpSocket(Ip.parse('0.0.0.0'), 0)) });
  t.after(async () => {
    sender.close();
    attached[Symbol.dispose]();
    program[Symbol.dispose]();
    await clearance[Symbol.asyncDispose]();
    for (const map of [cleared, flows]) map[Symbol.dispose]();
    ring[Symbol.dispose]();
  });

  const ports = Array.from({ length: FLOWS }, (_, index) => 1024 + index);
  const tracked = ports.filter(port => port % 3 !== 0);
  await track(host.netns, tracked);
  const keys = ports.map(localPort =>
    FLOW_KEY.encode({
      local: LOCAL.key as number,
      remote: REMOTE.key as number,
      localPort,
      remotePort: 80,
      protocol: 6,
    }),
  );
  for (let first = 0; first < FLOWS; first += BURST) {
    for (const key of keys.slice(first, first + BURST)) sender.send(key, PORT, '127.0.0.1');
    await eventually('all of them have asked', async () => clearance.counts.asked === first + BURST);
  }
  assert.equal(clearance.obstacle, undefined);
  await eventually(
    'any window of all is accepted',
    async () => (await liberal(host.netns)).size === tracked.length,
  );
  await eventually('all are cleared', async () => keys.every(key => cleared.get(key)?.[0] === 1));
  assert.deepEqual(clearance.counts, {
    asked: FLOWS,
    cleared: tracked.length,
    untracked: FLOWS - tracked.length,
    failed: 0,
  });
});
