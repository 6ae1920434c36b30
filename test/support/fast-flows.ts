/** Flows that the programs of a host's fast path know, as they are in the kernel: whether or not there is an agent. */
import process from 'node:process';
import { BpfMap } from '../../src/bpf/map.ts';
import {
  CONFIG_LAYOUT,
  decodeFlow,
  type FastFlow,
  isFast,
  MAPS,
} from '../../src/fastpath/programs/layout.ts';
import { readSeenAtLink } from '../../src/fastpath/seen-at-link.ts';
import type { LabHost } from '../../src/lab/host/host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { Netns } from '../../src/sys/netns.ts';

/** Of the uplink `eth0` of a host of a lab; the ones that take the fast path now, in both directions. */
export async function fastFlows(host: LabHost): Promise<FastFlow[]> {
  using netns = Netns.open(host.netnsFile);
  await using rtnetlink = connectRoute({ netns });
  const uplink = (await rtnetlink.links.list()).find(({ name }) => name === 'eth0');
  const seen = await readSeenAtLink(uplink?.index ?? 0, { netns, rtnetlink });
  const [own] = seen.flatMap(one => one.own ?? []);
  if (own === undefined) return [];
  using config = BpfMap.open(own.config.id);
  const { generation } = CONFIG_LAYOUT.decode(
    config?.get(new Uint8Array(4)) ?? new Uint8Array(CONFIG_LAYOUT.size),
  );
  const now = process.hrtime.bigint();
  return own.mapIds.flatMap(id => {
    using map = BpfMap.open(id);
    if (map?.options.name !== MAPS.flows.name) return [];
    const flows = Array.from(map.entries(MAPS.flows.entries), ([key, value]) => decodeFlow(key, value));
    return flows.filter(flow => {
      const { sent, delivered } = isFast(flow, generation, now);
      return sent && delivered;
    });
  });
}
