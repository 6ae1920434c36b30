/** A host while its lab is made: its anchor, and open doors into its network. */
import { FAMILIES, type Family } from '../../base/ip.ts';
import { familiesOf } from '../../base/per-family.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { Netns } from '../../sys/netns.ts';
import { writeSysctl } from '../../sys/sysctl.ts';
import type { LabHostPlan } from '../topology/host-plan.ts';
import { Anchor } from './anchor.ts';
import type { Fabric } from './fabric.ts';
import { prepareHost } from './files.ts';
import { LabHost } from './host.ts';

const FORWARDING = {
  ipv4: 'net/ipv4/ip_forward',
  ipv6: 'net/ipv6/conf/all/forwarding',
} as const satisfies Record<Family, string>;

export class Site implements AsyncDisposable {
  readonly plan: LabHostPlan;
  readonly anchor: Anchor;
  readonly host: LabHost;
  readonly netns: Netns;
  readonly route: Rtnetlink;

  private constructor(plan: LabHostPlan, anchor: Anchor) {
    this.plan = plan;
    this.anchor = anchor;
    this.host = new LabHost(plan.name, anchor.id);
    this.netns = Netns.open(this.host.netnsFile);
    this.route = connectRoute({ netns: this.netns });
  }

  /**
   * A host on the fabric, ready for daemons.
   *
   * @param hostsFile the /etc/hosts of a new host; absent when it boots again.
   */
  static async prepare(plan: LabHostPlan, fabric: Fabric, hostsFile?: string): Promise<Site> {
    const site = new Site(plan, await Anchor.drop({ host: true, within: fabric.id }));
    try {
      await prepareHost(site.host, hostsFile);
      const { netns } = site;
      // Each address is given once: the kernel need not ask for a second or two whether it is taken (RFC 4862, section 5.4).
      for (const link of ['all', 'default']) writeSysctl(`net/ipv6/conf/${link}/accept_dad`, '0', site.netns);
      forward(plan, netns);
      await fabric.plugIn(plan, site);
      return site;
    } catch (error) {
      site.anchor.release();
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Closes the doors; the host lives on with its anchor. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.route[Symbol.asyncDispose]();
    this.netns[Symbol.dispose]();
  }
}

/** A new namespace may have the machine's own setting, so that it is written in any case. */
function forward({ forwarding, address }: LabHostPlan, netns: Netns): void {
  const own = familiesOf(address);
  for (const family of FAMILIES) {
    const isOn = forwarding && (own.length === 0 || own.includes(family));
    writeSysctl(FORWARDING[family], isOn ? '1' : '0', netns);
  }
}
