/** What the shapes of `bench program` have in common: a host in a namespace of its own, and its peers. */
import type { VxlanPeer } from '../../backend/vxlan-path.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DesiredVxlan } from '../../dataplane/desired-link.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { Netns } from '../../sys/netns.ts';

export const BENCH_DEVICE = 'flannel.88';
/** The overlay's own block, and room for 262,000 more of its size. */
const NETWORK = Ip.parse('10.0.0.0');
const UNDERLAY = Ip.parse('172.16.0.0');
export const OWN_ADDRESS = Ip.parse('192.168.65.3');
const SUBNET_LENGTH = 24;

export const OWN_SUBNET = Prefix.of(NETWORK, SUBNET_LENGTH);
export const OWN_BASE = { ip: NETWORK, length: 32 };

export interface BenchPeer extends VxlanPeer {
  /** Base address of its subnet. */
  readonly gateway: Ip;
}

/** A namespace with an underlay link that is up, and nothing else. */
export class BenchHost implements AsyncDisposable {
  readonly netns: Netns;
  readonly rtnetlink: Rtnetlink;
  readonly underlayIndex: number;

  private constructor(netns: Netns, rtnetlink: Rtnetlink, underlayIndex: number) {
    this.netns = netns;
    this.rtnetlink = rtnetlink;
    this.underlayIndex = underlayIndex;
  }

  /** In a namespace of its own. */
  static create(): Promise<BenchHost> {
    return BenchHost.within(Netns.anonymous());
  }

  /** In an empty namespace, which it takes over. @param address of the underlay link. */
  static async within(netns: Netns, address = OWN_ADDRESS): Promise<BenchHost> {
    try {
      const rtnetlink = connectRoute({ netns });
      await rtnetlink.links.add({ name: 'eth0', info: { kind: 'veth', peer: { name: 'eth1' } }, up: true });
      const index = (await rtnetlink.links.get('eth0'))?.index ?? 0;
      await rtnetlink.links.change('eth1', { up: true });
      await rtnetlink.addresses.replace({ index, ip: address, length: SUBNET_LENGTH });
      return new BenchHost(netns, rtnetlink, index);
    } catch (error) {
      netns[Symbol.dispose]();
      throw error;
    }
  }

  /** Where other programs find the namespace while this process lives. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.netns.fd}`;
  }

  get device(): DesiredVxlan {
    return {
      kind: 'vxlan',
      name: BENCH_DEVICE,
      vni: 88,
      underlayIndex: this.underlayIndex,
      local: OWN_ADDRESS,
      port: 4789,
      learning: false,
      gbp: false,
      mtu: 1450,
      mac: Mac.parse('02:ff:00:00:00:01'),
    };
  }

  /** Makes the device and returns its index. */
  async addDevice(): Promise<number> {
    const { name, vni, underlayIndex: link, port, learning, mtu, mac } = this.device;
    await this.rtnetlink.links.add({
      name,
      mtu,
      mac,
      info: { kind: 'vxlan', id: vni, link, local: OWN_ADDRESS, learning, ...(port && { port }) },
    });
    const index = (await this.rtnetlink.links.get(name))?.index ?? 0;
    await this.rtnetlink.addresses.replace({ index, ...OWN_BASE });
    await this.rtnetlink.links.change(name, { up: true });
    return index;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rtnetlink[Symbol.asyncDispose]();
    this.netns[Symbol.dispose]();
  }
}

/** The way to peer number `index`, from 0; another `generation` has another MAC and underlay address. */
export function pathTo(index: number, generation = 0): BenchPeer {
  const gateway = NETWORK.plus(2 ** (32 - SUBNET_LENGTH) * (index + 1));
  return {
    link: BENCH_DEVICE,
    subnet: Prefix.of(gateway, SUBNET_LENGTH),
    gateway,
    mac: Mac.fromBytes(Uint8Array.of(2, generation, 0, index >> 16, (index >> 8) & 0xff, index & 0xff)),
    underlayIp: UNDERLAY.plus(index + 1 + generation * 2 ** 20),
  };
}

export function pathsTo(count: number): BenchPeer[] {
  return Array.from({ length: count }, (_, index) => pathTo(index));
}
