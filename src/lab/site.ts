/** A host while its lab is made: its anchor, and open doors into its network. */
import type { Ip } from '../base/ip.ts';
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

export class Site implements AsyncDisposable {
  readonly address: Ip;
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
      await plugIn(fabric.route, { name: plan.name, address: plan.address, netns, route });
      // As on every host that runs containers; Docker sets it, too.
      writeSysctl('net/ipv4/ip_forward', '1', site.netns);
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
