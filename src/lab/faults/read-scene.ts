/** The scene of a lab that runs: read from its record and from the kernels of its hosts. */
import * as v from 'valibot';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { run } from '../../sys/process.ts';
import { LabError } from '../errors.ts';
import { namespacesOf } from '../host/anchor.ts';
import { LabHost } from '../host/host.ts';
import { labAsItIs } from '../record/as-it-is.ts';
import type { ContainerRecord, HostRecord, LabRecord } from '../record/record.ts';
import type { Scene, SceneContainer, SceneHost } from './scene.ts';

const Links = v.array(
  v.object({
    ifindex: v.number(),
    ifname: v.string(),
    address: v.exactOptional(v.string(), ''),
    master: v.exactOptional(v.string(), ''),
    /** Index of its peer, elsewhere or here. */
    link_index: v.exactOptional(v.number(), 0),
    linkinfo: v.exactOptional(
      v.object({
        info_kind: v.exactOptional(v.string(), ''),
        info_data: v.exactOptional(
          v.object({ id: v.exactOptional(v.number()), port: v.exactOptional(v.number()) }),
          {},
        ),
      }),
      { info_kind: '', info_data: {} },
    ),
    mtu: v.number(),
    addr_info: v.array(v.object({ family: v.string(), local: v.exactOptional(v.string(), '') })),
  }),
);
type Link = v.InferOutput<typeof Links>[number];

/** Who takes part, by name. The containers are the first ones of their hosts when absent. */
export interface Cast {
  readonly host: string;
  readonly container?: string;
}

/** @throws LabError NOT_FOUND: the lab has not what faults are about. */
export async function readScene(lab: LabRecord, cast: Cast, signal: AbortSignal): Promise<Scene> {
  // Docker gives a container that is restarted another namespace.
  const { hosts } = await labAsItIs(lab, signal);
  const record = hosts.find(({ name }) => name === cast.host);
  const peerRecord = hosts.find(each => each.name !== cast.host && isMember(each));
  if (record === undefined || !isMember(record) || peerRecord === undefined) {
    throw new LabError('NOT_FOUND', `lab ${lab.name} has not what faults are planted in`, {
      hint: `want two hosts with IPv4, an agent and a container each, and ${cast.host} one of them: tulle lab up`,
    });
  }
  const containerName = cast.container ?? record.containers[0]?.name;
  const siblingName = record.containers.find(({ name }) => name !== containerName)?.name;
  const [own, other] = await Promise.all([
    readHost(record, [containerName, siblingName], signal),
    readHost(peerRecord, [], signal),
  ]);
  const [container] = own.containers;
  if (container === undefined) throw noContainer(record.name, containerName);
  const { info_data: data } = own.tunnel.linkinfo;
  const underlay = Prefix.of(Ip.parse(own.host.address), Number(own.host.length));
  const taken = new Set(lab.hosts.flatMap(({ links }) => links.flatMap(({ addresses }) => addresses)));
  const nobody = Array.from({ length: 50 }, (_, index) => `${underlay.last.plus(-1 - index)}`);
  return {
    network: networkOf(lab),
    vni: `${data.id ?? ''}`,
    port: `${data.port ?? ''}`,
    mtu: `${own.tunnel.mtu}`,
    nobody: nobody.find(address => !taken.has(address)) ?? '',
    segment: record.links[0]?.segment ?? '',
    endpoint: lab.etcdEndpoint ?? '',
    prefix: lab.etcdPrefix,
    host: own.host,
    container,
    // A fault about two containers is refused where there is one.
    sibling: own.containers[1] ?? container,
    peer: other.host,
  };
}

/** A host that a packet between containers can begin or end on. */
const isMember = ({ address, subnet, containers, links }: HostRecord): boolean =>
  address.ipv4 !== undefined && subnet.ipv4 !== undefined && containers.length > 0 && links.length > 0;

const noContainer = (host: string, name = '') =>
  new LabError('NOT_FOUND', `host ${host} has no container ${name} that runs`);

function networkOf({ topology }: LabRecord): string {
  const { Network: network } = topology.network ?? {};
  return typeof network === 'string' ? network : '';
}

interface ReadHost {
  readonly host: SceneHost;
  readonly containers: readonly SceneContainer[];
  readonly tunnel: Link;
}

async function readHost(
  record: HostRecord,
  names: readonly (string | undefined)[],
  signal: AbortSignal,
): Promise<ReadHost> {
  const lab = new LabHost(record.name, record.anchor);
  const links = linksOf((await lab.run('ip', ['-details', '-json', 'address'], { signal })).stdout);
  const containerOf = (each: ContainerRecord) => readContainer(lab, each, links, signal);
  const wanted = names.flatMap(name => record.containers.find(each => each.name === name) ?? []);
  const [first, ...containers] = await Promise.all(
    record.containers.slice(0, 1).concat(wanted).map(containerOf),
  );
  const uplink = links.find(({ ifname }) => ifname === record.links[0]?.name);
  const tunnel = links.find(({ linkinfo }) => linkinfo.info_kind === 'vxlan');
  if (first === undefined) throw noContainer(record.name);
  if (uplink === undefined || tunnel === undefined) {
    throw new LabError('NOT_FOUND', `host ${record.name} has no tunnel with VXLAN`, {
      hint: 'faults are planted in labs with the VXLAN backend: tulle lab up',
    });
  }
  const subnet = Prefix.parse(record.subnet.ipv4 ?? '');
  const bridge = links.find(({ ifname }) => ifname === first.hostLink)?.master ?? '';
  return {
    tunnel,
    containers: containers.filter(each => each !== undefined),
    host: {
      name: record.name,
      address: record.address.ipv4 ?? '',
      length: await lengthOf(lab, uplink.ifname, signal),
      uplink: uplink.ifname,
      uplinkMac: uplink.address,
      port: record.name,
      bridge,
      bridgeMac: links.find(({ ifname }) => ifname === bridge)?.address ?? '',
      gateway: `${subnet.ip.plus(1)}`,
      subnet: `${subnet}`,
      subnetLength: `${subnet.length}`,
      halves: [
        `${Prefix.of(subnet.ip, subnet.length + 1)}`,
        `${Prefix.of(subnet.ip.plus(subnet.size / 2n), subnet.length + 1)}`,
      ],
      last: `${subnet.last.plus(-1)}`,
      tunnel: tunnel.ifname,
      tunnelAddress: `${subnet.ip}`,
      tunnelMac: tunnel.address,
      container: first,
    },
  };
}

async function readContainer(
  host: LabHost,
  { name, ip, netns }: ContainerRecord,
  links: readonly Link[],
  signal: AbortSignal,
): Promise<SceneContainer> {
  const namespaces = { ...namespacesOf(host.anchor), net: host.path(netns) };
  const inside = linksOf((await run('ip', ['-details', '-json', 'address'], { namespaces, signal })).stdout);
  const link = inside.find(({ addr_info }) => addr_info.some(({ local }) => local === ip.ipv4));
  const hostLink = links.find(({ ifindex }) => ifindex === link?.link_index);
  if (link === undefined || hostLink === undefined) {
    throw new LabError('NOT_FOUND', `container ${name} of ${host.name} has not its address ${ip.ipv4}`, {
      hint: 'plant a fault in a lab that works, or mend the former one first: tulle lab mend --all',
    });
  }
  return { name, ip: ip.ipv4 ?? '', mac: link.address, hostLink: hostLink.ifname };
}

async function lengthOf(host: LabHost, link: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await host.run('ip', ['-4', '-brief', 'address', 'show', 'dev', link], { signal });
  return /\/(\d+)/.exec(stdout)?.[1] ?? '24';
}

const linksOf = (text: string): Link[] => v.parse(Links, JSON.parse(text));
