/** A tunnel as the kernel has it: link, counters, forwarding database. */
import type { TunnelReport } from '../../api/tunnels.ts';
import { defined } from '../../base/defined.ts';
import { formatProblem, type Problem } from '../../base/errors.ts';
import { formatInterfaceAddress } from '../../base/prefix.ts';
import type { NetworkReport } from '../../dataplane/report.ts';
import { NUD_NOARP, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { FdbEntry, Link } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { KeptTunnel } from './kept.ts';
import type { Fitted } from './members.ts';
import type { TunnelPlan } from './plan.ts';
import type { TunnelSpec } from './spec.ts';

/** MACs that are named; of more than these only the number is of use on a screen. */
const MOST_LEARNED = 50;

interface TunnelAndNotes {
  readonly spec: TunnelSpec;
  readonly kept: KeptTunnel;
  readonly plan?: TunnelPlan;
  /** About what shares its bridge. */
  readonly notes: readonly string[];
}

type Kernel = Pick<TunnelReport, 'device' | 'counters' | 'fdb'>;

/** The link of a tunnel: of its name, kind and MAC address; undefined when there is none. @throws NetlinkError */
export async function linkOf(rtnetlink: Rtnetlink, { request, mac }: KeptTunnel): Promise<Link | undefined> {
  const link = await rtnetlink.links.get(request.name);
  return link?.info?.kind === 'vxlan' && mac.equals(link.mac) ? link : undefined;
}

/** @throws NetlinkError, SysError */
export async function kernelReport(rtnetlink: Rtnetlink, link: Link): Promise<Kernel> {
  const { index, up, mtu = 0, mac, master } = link;
  const [addresses, counters, fdb, bridge] = await Promise.all([
    rtnetlink.addresses.list({ index }),
    rtnetlink.links.counters(index),
    rtnetlink.fdb.list(index),
    master === undefined ? undefined : rtnetlink.links.get(master),
  ]);
  const ofTunnel = fdb.filter(entry => entry.index === index && entry.destination !== undefined);
  const learned = ofTunnel.filter(isLearned);
  return {
    device: {
      index,
      up,
      mtu,
      mac: String(mac),
      addresses: addresses.map(formatInterfaceAddress),
      ...defined({ bridge: bridge?.name }),
    },
    ...defined({ counters: counters && { ...counters } }),
    fdb: {
      entries: ofTunnel.length,
      learned: learned
        .slice(0, MOST_LEARNED)
        .map(entry => ({ mac: entry.mac.toString(), ...defined({ host: entry.destination?.toString() }) })),
    },
  };
}

const isLearned = ({ state }: FdbEntry) => (state & (NUD_PERMANENT | NUD_NOARP)) === 0;

/** How a tunnel is: @param waiting what this host lacks; @param report of its part of the data plane, if it has one. */
export function stateOf(
  waiting: readonly Problem[],
  report: NetworkReport | undefined,
  link: Pick<Link, 'name' | 'up'> | undefined,
): Pick<TunnelReport, 'state' | 'reason' | 'hint'> {
  const [first] = waiting;
  if (first !== undefined) {
    return {
      state: 'waiting',
      reason: formatProblem({ path: first.path, value: first.value, message: first.message }),
      ...defined({ hint: first.hint }),
    };
  }
  // What is neither there nor refused is on its way.
  const broken = report?.links.find(({ inSync, reason }) => !inSync && reason !== undefined);
  const refusal = broken?.reason ?? report?.failures[0];
  if (refusal !== undefined) return { state: 'failed', reason: refusal, ...defined({ hint: broken?.hint }) };
  if (link === undefined) {
    const hint = 'add it again; one that an agent keeps is restored by itself';
    return { state: 'failed', reason: 'the link is gone, or was replaced by another one', hint };
  }
  return link.up
    ? { state: 'up' }
    : { state: 'failed', reason: 'the link is down', hint: `\`ip link set ${link.name} up\`` };
}

export const fittedReport = ({ name, netns, was }: Fitted): TunnelReport['fitted'][number] => ({
  name,
  where: netns === 0 ? 'host' : `namespace ${netns}`,
  was,
});

/** What is left to a person. @param tunnel what it is attached to, and what its neighbors on the bridge are like */
export function notesOf({ spec, kept, plan, notes }: TunnelAndNotes, keeper: TunnelReport['kept']): string[] {
  const { attach } = spec;
  if (attach === undefined || plan === undefined) return [...notes];
  const later =
    keeper === 'agent'
      ? []
      : [`links that are attached to ${plan.bridge} later keep their MTU: ${plan.mtu} is right`];
  if (kept.bridge === attach) return [...notes, ...later];
  return [
    ...notes,
    ...later,
    `Docker gives new containers of ${attach} its own MTU${keeper === 'agent' ? ', which the agent lowers' : ''}: ` +
      `a network made with \`-o com.docker.network.driver.mtu=${plan.mtu}\` begins with the right one`,
    `Docker on every host gives out addresses of the whole subnet: use another \`--ip-range\` and \`--gateway\` on each, or name every address with \`--ip\``,
  ];
}
