/**
 * What hosts are plugged into: a namespace of its own with a bridge for every segment, and a cable to every link of a
 * host. In the root namespace the machine's own firewall would see bridged frames (br_netfilter), and dockerd's FORWARD
 * policy would drop them. It also has the disks of the hosts, which outlive them.
 */
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../netlink/unless-gone.ts';
import { Netns } from '../../sys/netns.ts';
import type { ProcessId } from '../../sys/pidfd.ts';
import { run } from '../../sys/process.ts';
import type { LabHostPlan } from '../topology/host-plan.ts';
import type { LinkPlan } from '../topology/link-plan.ts';
import type { LabPlan } from '../topology/plan.ts';
import type { SegmentPlan } from '../topology/segment-plan.ts';
import { Anchor, namespacesOf } from './anchor.ts';
import { makeDisks } from './files.ts';

/** No host has such a name. */
const bridgeOf = (segment: string) => `br.${segment}`;

/** A host's end in the fabric: of its first link the host's name. */
const portOf = (host: string, link: number): string => (link === 0 ? host : `${host}+${link}`);

export interface OpenHost {
  readonly netns: Netns;
  readonly route: Rtnetlink;
}

type Cabling = Pick<LabPlan, 'segments'> & {
  readonly hosts: readonly Pick<LabHostPlan, 'name' | 'links'>[];
};

export class Fabric implements AsyncDisposable {
  /** Names the anchor, which holds all hosts. */
  readonly id: ProcessId;
  readonly route: Rtnetlink;
  readonly #resources: AsyncDisposableStack;

  private constructor(id: ProcessId, resources: AsyncDisposableStack) {
    this.id = id;
    this.route = resources.use(connectRoute({ netns: resources.use(Netns.open(namespacesOf(id).net)) }));
    this.#resources = resources;
  }

  /** The fabric of a lab that runs. */
  static open(id: ProcessId): Fabric {
    return new Fabric(id, new AsyncDisposableStack());
  }

  /** A new one without hosts, in an anchor of its own. It ends, with all hosts, when the anchor is disposed. */
  static async make(cabling: Cabling): Promise<{ readonly fabric: Fabric; readonly anchor: Anchor }> {
    const anchor = await Anchor.drop({ mounts: true });
    try {
      await makeDisks(anchor.id);
      const fabric = Fabric.open(anchor.id);
      for (const segment of cabling.segments) await fabric.#addSegment(segment);
      await fabric.#lose(cabling);
      return { fabric, anchor };
    } catch (error) {
      await anchor[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #addSegment({ name, mtu }: SegmentPlan): Promise<void> {
    await this.route.links.add({
      name: bridgeOf(name),
      up: true,
      info: { kind: 'bridge', multicastSnooping: false },
      ...(mtu === undefined ? {} : { mtu }),
    });
  }

  /**
   * Drops frames between the ports of lossy segments, at random: one rule per segment. Not all kernels can match a
   * bridge by its name, but all of nftables can match its ports.
   */
  async #lose({ segments, hosts }: Cabling): Promise<void> {
    const rules = segments.flatMap(({ name, loss }) => {
      const ports = hosts.flatMap(host =>
        host.links.flatMap(({ segment }, index) => (segment === name ? `"${portOf(host.name, index)}"` : [])),
      );
      if (loss === undefined || ports.length === 0) return [];
      const outOf = 1_000_000;
      return [
        `iifname { ${ports.join(', ')} } numgen random mod ${outOf} < ${Math.round((loss / 100) * outOf)} counter drop`,
      ];
    });
    if (rules.length === 0) return;
    const chain = ['type filter hook forward priority 0; policy accept;', ...rules];
    const table = `table bridge lab {\n  chain loss {\n    ${chain.join('\n    ')}\n  }\n}\n`;
    await run('nft', ['-f', '-'], { input: table, namespaces: { net: namespacesOf(this.id).net } });
  }

  /**
   * Plugs a host into its segments, and gives its links their addresses and the host its routes. What a former host of
   * this name was plugged into is pulled first.
   */
  async plugIn(
    { name, links, routes }: Pick<LabHostPlan, 'name' | 'links' | 'routes'>,
    host: OpenHost,
  ): Promise<void> {
    await host.route.links.change('lo', { up: true });
    for (const [index, link] of links.entries()) await this.#plugLink(portOf(name, index), link, host);
    for (const { to, via } of routes) {
      const destination = to === undefined ? {} : { destination: to };
      await host.route.routes.replace({ ...destination, family: via.family, gateway: via });
    }
  }

  async #plugLink(
    port: string,
    { segment, name, addresses, mtu, delay }: LinkPlan,
    host: OpenHost,
  ): Promise<void> {
    const size = mtu === undefined ? {} : { mtu };
    await unlessGone(this.route.links.delete(port));
    const bridge = await this.route.links.get(bridgeOf(segment));
    await this.route.links.add({
      name: port,
      info: { kind: 'veth', peer: { name, netnsFd: host.netns.fd, ...size } },
      up: true,
      ...size,
      ...(bridge === undefined ? {} : { master: bridge.index }),
    });
    if (delay !== undefined) {
      // On the way to the host, so that each frame waits once.
      const args = ['qdisc', 'add', 'dev', port, 'root', 'netem', 'delay', `${delay}ms`];
      await run('tc', args, { namespaces: { net: namespacesOf(this.id).net } });
    }
    await host.route.links.change(name, { up: true });
    const link = await host.route.links.get(name);
    for (const address of addresses) {
      await host.route.addresses.replace({ index: link?.index ?? 0, ...address });
    }
  }

  /** Closes the doors; the fabric lives on with its anchor. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
