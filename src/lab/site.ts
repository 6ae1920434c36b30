/** A host while its lab is made: its anchor, and open doors into its network. */
import type { Family, Ip } from '../base/ip.ts';
import { familiesOf, type PerFamily } from '../base/per-family.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { Netns } from '../sys/netns.ts';
import { writeSysctl } from '../sys/sysctl.ts';
import { Anchor } from './anchor.ts';
import { plugIn } from './fabric.ts';
import { LabHost, prepareHost } from './host.ts';
import type { LabHostPlan } from './plan.ts';

export interface Fabric {
  readonly anchor: Anchor;
  readonly route: Rtnetlink;
}

const FORWARDING = {
  ipv4: 'net/ipv4/ip_forward',
  ipv6: 'net/ipv6/conf/all/forwarding',
} as const satisfies Record<Family, string>;

export class Site implements AsyncDisposable {
  readonly address: PerFamily<Ip>;
  /** Names of the containers to be. */
  readonly containers: readonly string[];
  readonly anchor: Anchor;
  readonly host: LabHost;
  readonly netns: Netns;
  readonly route: Rtnetlink;

  private constructor({ name, address, containers }: LabHostPlan, anchor: Anchor) {
    this.address = address;
    this.containers = containers;
    this.anchor = anchor;
    this.host = new LabHost(name, anchor.id);
    this.netns = Netns.open(this.host.netnsFile);
    this.route = connectRoute({ netns: this.netns });
  }

  /**
   * A host on the fabric, ready for daemons.
   *
   * @param hostsFile its /etc/hosts.
   */
  static async prepare(plan: LabHostPlan, fabric: Fabric, hostsFile: string): Promise<Site> {
    const site = new Site(plan, await Anchor.drop({ host: true, within: fabric.anchor.id }));
    try {
      await prepareHost(site.host, hostsFile);
      const { netns, route } = site;
      // Each address is given once: the kernel need not ask for a second or two whether it is taken (RFC 4862, section 5.4).
      for (const link of ['all', 'default']) writeSysctl(`net/ipv6/conf/${link}/accept_dad`, '0', site.netns);
      await plugIn(fabric.route, { name: plan.name, address: plan.address, netns, route });
      // As on every host that runs containers; Docker sets it, too.
      for (const family of familiesOf(plan.address)) writeSysctl(FORWARDING[family], '1', site.netns);
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
