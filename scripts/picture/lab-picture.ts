/** A picture of a lab: what its topology says, and what an experiment makes in it. */
import { valuesOf } from '../../src/base/per-family.ts';
import { formatInterfaceAddress } from '../../src/base/prefix.ts';
import type { LabHostPlan } from '../../src/lab/topology/host-plan.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import type { SegmentPlan } from '../../src/lab/topology/segment-plan.ts';
import type { LabTopology } from '../../src/lab/topology/topology.ts';
import type { BoxPicture, HostPicture, LinePicture, TopologyPicture } from './topology-picture.ts';

export interface LabPictureOptions {
  readonly title: string;
  readonly description?: string;
  /** By name of the host. A box with the name of one that the topology has stands in its place. */
  readonly made?: Readonly<
    Record<string, Pick<HostPicture, 'lines'> & { readonly boxes?: readonly BoxPicture[] }>
  >;
  readonly lines?: readonly LinePicture[];
  /** Names of segments that are left out, with the links to them. */
  readonly without?: readonly string[];
}

const BRIDGE = 'docker0';
/** Of Docker, when nobody says another. */
const DOCKER_BRIDGE = '172.17.0.1/16';

/** @throws ConfigError for a topology that no lab can have; Error for names that are not in it */
export function labPicture(topology: LabTopology, options: LabPictureOptions): TopologyPicture {
  const { title, description, made = {}, lines, without = [] } = options;
  const plan = planTopology(topology, { name: 'picture' });
  const segments = plan.segments.filter(({ name }) => !without.includes(name));
  const hosts = plan.hosts.map(host => ({
    ...host,
    links: host.links.filter(({ segment }) => !without.includes(segment)),
  }));
  for (const name of Object.keys(made)) {
    if (!hosts.some(host => host.name === name))
      throw new Error(`the topology of ${title} has no host ${name}`);
  }
  return {
    title,
    hosts: hosts.map(host => hostPicture(host, made[host.name]?.boxes ?? [], made[host.name]?.lines)),
    wires: segments.flatMap(segment => {
      const ends = hosts.flatMap(({ name, links }) =>
        links.filter(link => link.segment === segment.name).map(link => `${name}/${link.name}`),
      );
      return ends.length === 0 ? [] : [{ name: segment.name, lines: segmentLines(segment), ends }];
    }),
    ...(description === undefined ? {} : { description }),
    ...(lines === undefined ? {} : { lines }),
  };
}

function hostPicture(
  host: LabHostPlan,
  made: readonly BoxPicture[],
  lines: readonly string[] | undefined,
): HostPicture {
  const isMade = ({ name }: BoxPicture) => made.some(box => box.name === name);
  const links = host.links.map(
    ({ name, addresses, mtu }): BoxPicture => ({
      name,
      kind: 'link',
      lines: [...addresses.map(formatInterfaceAddress), ...(mtu === undefined ? [] : [`MTU ${mtu}`])],
    }),
  );
  const given = [...containersOf(host), ...links].filter(box => !isMade(box));
  return { name: host.name, boxes: [...made, ...given], ...(lines === undefined ? {} : { lines }) };
}

/** The containers of the topology and the bridge that they are on. */
function containersOf({ containers, bridge, links }: LabHostPlan): BoxPicture[] {
  if (containers.length === 0) return [];
  const addresses = valuesOf(bridge ?? {}).map(formatInterfaceAddress);
  const [uplink] = links;
  return [
    ...containers.map(({ name }): BoxPicture => ({ name, kind: 'container', to: BRIDGE })),
    {
      name: BRIDGE,
      kind: 'bridge',
      lines: addresses.length === 0 ? [DOCKER_BRIDGE] : addresses,
      ...(uplink === undefined ? {} : { to: uplink.name }),
    },
  ];
}

const segmentLines = ({ subnets, mtu }: SegmentPlan): string[] => [
  ...valuesOf(subnets).map(String),
  ...(mtu === undefined ? [] : [`MTU ${mtu}`]),
];
