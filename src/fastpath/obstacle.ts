/** Why this kernel cannot have the fast path, in one sentence. */
import { messageOf } from '../base/errors.ts';
import { linkProgramObstacle } from '../bpf/obstacle.ts';
import {
  type Probe,
  probeAdjustRoom,
  probeHelper,
  probeMap,
  probeProgram,
  probePrograms,
} from '../bpf/probe.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import { isPassing } from '../sys/errors.ts';
import { Netns } from '../sys/netns.ts';
import { Clsact } from './clsact.ts';
import {
  ETHERNET,
  IPV4,
  IPV4_SIZE,
  OVERHEAD,
  TRANSPORT,
  TUNNEL,
  UDP_SIZE,
  VERSION_4_NO_OPTIONS,
} from './programs/headers.ts';
import { DECAPSULATE, ENCAPSULATE } from './programs/room.ts';
import { Tcx } from './tcx.ts';

/** A packet of a tunnel: its headers, and an inner packet of IP and UDP without data. */
const TUNNELLED = new Uint8Array(TUNNEL.ip + IPV4_SIZE + UDP_SIZE);
TUNNELLED.set([0x08, 0x00, VERSION_4_NO_OPTIONS], ETHERNET.type.offset);
TUNNELLED[TUNNEL.outerIp + IPV4.protocol.offset] = TRANSPORT.udp;

/** In order: the first that is missing is the reason. */
export const PROBES: readonly Probe[] = [
  linkProgramObstacle,
  probePrograms,
  probeMap('lru hash', 'LRU hash maps of BPF (Linux 4.10)'),
  probeMap('ring buffer', 'ring buffers of BPF (Linux 5.8)'),
  probeHelper('redirect_peer', 'bpf_redirect_peer (Linux 5.10)'),
  probeHelper('ktime_get_coarse_ns', 'bpf_ktime_get_coarse_ns (Linux 5.11)'),
  probeAdjustRoom(
    { bytes: TUNNELLED, length: OVERHEAD, flags: ENCAPSULATE },
    'bpf_skb_adjust_room for Ethernet in a tunnel (Linux 5.13)',
  ),
  probeAdjustRoom(
    { bytes: TUNNELLED, length: -OVERHEAD, flags: DECAPSULATE },
    'bpf_skb_adjust_room that takes a tunnel off (Linux 5.13)',
  ),
];

/**
 * @param probes for tests: another kernel
 * @throws SysError, NetlinkError when it could not be found out now (`isPassing`)
 */
export async function fastPathObstacle(probes: readonly Probe[] = PROBES): Promise<string | undefined> {
  for (const probe of probes) {
    const obstacle = probe();
    if (obstacle !== undefined) return obstacle;
  }
  return await mechanismObstacle();
}

/** Kernels with tcx have it without a module; filters are tried, in a namespace that goes. */
async function mechanismObstacle(): Promise<string | undefined> {
  using netns = Netns.anonymous();
  return Tcx.isAvailable(netns) ? undefined : await filterObstacle(netns);
}

/** @param netns without filters. @throws as `fastPathObstacle` */
export async function filterObstacle(netns: Netns): Promise<string | undefined> {
  await using rtnetlink = connectRoute({ netns });
  using program = probeProgram(-1);
  try {
    await new Clsact(rtnetlink).attach(
      { index: LOOPBACK, point: 'ingress' },
      { program, name: 'tulle_probe' },
    );
    return undefined;
  } catch (error) {
    if (isPassing(error)) throw error;
    return `this kernel has neither tcx (Linux 6.6) nor filters of clsact that run programs (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF): ${messageOf(error)}`;
  }
}

const LOOPBACK = 1;
