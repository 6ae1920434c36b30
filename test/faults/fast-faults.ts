/** What happens to a host while flows take the fast path, and what is to become of them. */
import { foreignProgram, forgetFlows } from '../support/foreign-programs.ts';
import { DEVICE, type FaultHost } from './fault-host.ts';

/** Of the container of a host. */
export const HOST_END = 'veth-c1';
export const UPLINK = 'eth0';
const BRIDGE = 'docker0';
/** Where no host is, and addresses that none has. */
const NOWHERE = '192.168.65.99';
const OTHER_MAC = '02:00:00:00:00:99';

/** Takes back what was planted. */
type Undo = () => unknown;

export interface FastFault {
  readonly name: string;
  readonly plant: (host: FaultHost, peer: FaultHost) => Promise<Undo | undefined> | Undo | undefined;
  /** The kernel itself loses packets when it is taken back, also of the normal path. */
  readonly undoLoses?: true;
  /**
   * Only the agent sees it: a queue comes after the last program on a packet's way to a container. How soon is a question to
   * the machine; what programs do does not wait for a processor.
   */
  readonly needsAgent?: true;
}

export const place = ({ host }: FaultHost, link: string, point: 'ingress' | 'egress') => ({
  netns: host.netnsFile,
  link,
  point,
});

/** A command, and the one that takes it back. */
const commands =
  (plant: string, undo: string): FastFault['plant'] =>
  async host => {
    await host.shell(plant);
    return () => host.shell(undo);
  };

const queue = (link: string, kind: string) =>
  commands(`tc qdisc add dev ${link} root ${kind}`, `tc qdisc del dev ${link} root`);

const foreign = (link: string, point: 'ingress' | 'egress', verdict: 'next' | 'drop'): FastFault['plant'] => {
  return host => {
    const program = foreignProgram(place(host, link, point), verdict);
    return () => program[Symbol.dispose]();
  };
};

/** Nothing is lost, as nothing is lost on the normal path. */
export const HARMLESS: readonly FastFault[] = [
  {
    name: 'the map of the flows is emptied',
    plant: host => {
      forgetFlows(place(host, UPLINK, 'egress'));
      return undefined;
    },
  },
  ...[HOST_END, UPLINK].flatMap(link =>
    (['ingress', 'egress'] as const).map(point => ({
      name: `another program sees each packet before ours does, at ${point} of ${link}`,
      plant: foreign(link, point, 'next'),
    })),
  ),
  ...[HOST_END, BRIDGE, DEVICE].map(link => ({
    name: `a queue is put on ${link}`,
    plant: queue(link, 'tbf rate 10gbit burst 1mb latency 100ms'),
    // net/sched/sch_generic.c, dev_deactivate: between two queues there is one that drops everything.
    undoLoses: true as const,
  })),
];

/** Nothing comes through, as nothing does on the normal path, until it is taken back. */
export const SILENCING: readonly FastFault[] = [
  ...[HOST_END, UPLINK].map(link => ({
    name: `another program drops each packet before ours sees it, at ingress of ${link}`,
    plant: foreign(link, 'ingress', 'drop'),
  })),
  ...[HOST_END, BRIDGE, DEVICE].map(link => ({
    name: `a queue of ${link} loses everything`,
    plant: queue(link, 'blackhole'),
    ...(link === HOST_END && { needsAgent: true as const }),
  })),
  {
    name: "the container's link is set down",
    plant: commands(`ip link set ${HOST_END} down`, `ip link set ${HOST_END} up`),
  },
];

/** The agents repair it, and all goes on. */
export const REPAIRED: readonly FastFault[] = [
  ...['del', 'replace blackhole'].map(
    (verb): FastFault => ({
      name: `ip route ${verb}, for the subnet of the peer`,
      plant: async (host, peer) => void (await host.shell(`ip route ${verb} ${peer.subnet}`)),
    }),
  ),
  {
    name: "the peer's FDB entry leads elsewhere",
    plant: async (host, peer) => void (await misleadFdb(host, peer)),
  },
  {
    name: "the peer's neighbor entry has another MAC address",
    plant: async (host, peer) => void (await misleadNeighbor(host, peer)),
  },
  {
    name: 'the device of the tunnel is deleted',
    plant: async host => void (await host.shell(`ip link del ${DEVICE}`)),
  },
  {
    name: 'the device of the tunnel is set down',
    plant: async host => void (await host.shell(`ip link set ${DEVICE} down`)),
  },
  {
    name: 'the uplink of the peer gets another MAC address',
    plant: async (host, peer) => {
      await peer.shell(`ip link set ${UPLINK} address 02:00:00:00:00:97`);
      // As a host does that is told of it.
      await host.shell(`ip neigh flush dev ${UPLINK}`);
      return undefined;
    },
  },
];

/** Nothing comes through, although no agent lives that could say so. */
export const SILENCING_ALONE: readonly FastFault[] = [
  {
    name: 'a rule of iptables drops what is forwarded',
    plant: commands('iptables -I FORWARD -j DROP', 'iptables -D FORWARD -j DROP'),
  },
  {
    name: 'a rule of nftables drops what comes from the tunnel',
    plant: async host => {
      const chain = 'add chain ip foreign drops { type filter hook prerouting priority 0 ; }';
      await host.shell('nft add table ip foreign');
      await host.host.run('nft', [chain]);
      await host.shell(`nft add rule ip foreign drops iifname ${DEVICE} drop`);
      return () => host.shell('nft delete table ip foreign');
    },
  },
  {
    name: 'the route to the peer becomes a blackhole',
    plant: async (host, { subnet }) => {
      const [route] = await host.json<{ nhid: number }>(`ip -json route show ${subnet}`);
      await host.shell(`ip route replace blackhole ${subnet}`);
      return () => host.shell(`ip route replace ${subnet} nhid ${route?.nhid} proto 77`);
    },
  },
  {
    name: 'a rule leads elsewhere',
    plant: async (host, { subnet }) => {
      const rule = `to ${subnet} priority 100 blackhole`;
      await host.shell(`ip rule add ${rule}`);
      return () => host.shell(`ip rule del ${rule}`);
    },
  },
  { name: "the peer's FDB entry leads elsewhere", plant: misleadFdb },
  { name: "the peer's neighbor entry has another MAC address", plant: misleadNeighbor },
  {
    name: 'the route of the underlay becomes a blackhole',
    plant: async (host, { address }) => {
      await host.shell(`ip route add blackhole ${address}/32`);
      return () => host.shell(`ip route del blackhole ${address}/32`);
    },
  },
  {
    name: 'the next hop of the underlay has another MAC address',
    plant: async (host, { address }) => {
      await host.shell(`ip neigh replace ${address} lladdr ${OTHER_MAC} dev ${UPLINK} nud permanent`);
      return () => host.shell(`ip neigh del ${address} dev ${UPLINK}`);
    },
  },
  {
    name: 'forwarding is switched off',
    plant: commands('sysctl -q -w net.ipv4.ip_forward=0', 'sysctl -q -w net.ipv4.ip_forward=1'),
  },
  {
    name: 'a queue of the tunnel loses everything',
    plant: queue(DEVICE, 'blackhole'),
  },
  {
    name: 'packets of the tunnel are not taken for what they are, by a port that is filtered',
    plant: commands(
      'iptables -I INPUT -p udp --dport 4789 -j DROP',
      'iptables -D INPUT -p udp --dport 4789 -j DROP',
    ),
  },
];

async function misleadFdb(host: FaultHost, peer: FaultHost): Promise<Undo> {
  const { mac, address } = await peer.vtep();
  const entry = (to: string) => `bridge fdb replace ${mac} dev ${DEVICE} dst ${to} self permanent`;
  await host.shell(entry(NOWHERE));
  return () => host.shell(entry(address));
}

async function misleadNeighbor(host: FaultHost, peer: FaultHost): Promise<Undo> {
  const { base, mac } = await peer.vtep();
  const entry = (to: string) => `ip neigh replace ${base} lladdr ${to} dev ${DEVICE} nud permanent`;
  await host.shell(entry(OTHER_MAC));
  return () => host.shell(entry(mac));
}
