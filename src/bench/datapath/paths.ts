/**
 * The ways across that `bench datapath` compares. Each is a lab of two hosts of its own, so that all are there at the
 * same time and rounds can go from one to the next.
 */
import { readFileSync } from 'node:fs';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { defined } from '../../base/defined.ts';
import { filesBeside } from '../../console/defaults.ts';
import { namespacesOf } from '../../lab/host/anchor.ts';
import { LabHost } from '../../lab/host/host.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { HostRecord } from '../../lab/record/record.ts';
import { planLab } from '../../lab/topology/simple.ts';
import { type Runtime } from '../../lab/topology/topology.ts';
import type { FastPathMode } from '../../subnet/config/config.ts';
import { askWhyNot, type WhyNot, withFastPath } from './fast-path.ts';
import { startNaive } from './naive.ts';
import type { TunnelEnds } from './past-device.ts';
import { PROCESSORS, pin } from './processors.ts';
import { joinSwarm } from './swarm.ts';

/** Where a load runs: from a namespace, to an address in another one. */
export interface Way {
  readonly path: PathName;
  /** Files of network namespaces. */
  readonly from: string;
  readonly to: string;
  /** Of the receiver. */
  readonly ip: string;
  /** The tunnel device that the load crosses, unless it takes the fast path; absent where there is no fast path. */
  readonly tunnel?: TunnelEnds;
}

interface Path {
  readonly does: string;
  /** The `Backend` of the network; absent for a path that does without one. */
  readonly backend?: Readonly<Record<string, unknown>>;
  readonly runtime?: Runtime;
  /** A process beside the sender carries its packets. */
  readonly inUserSpace?: true;
  /** Of the agents of the sender's and of the receiver's host. */
  readonly fastPath?: readonly [FastPathMode, FastPathMode];
}

const VXLAN = { Type: 'vxlan', VNI: 88, Port: 4789 };

/** The limit first: the others are its ratios. */
export const PATHS = {
  host: { does: 'from host to host, without containers: the limit' },
  vxlan: { does: "bridge, route and the kernel's VXLAN", backend: VXLAN, fastPath: ['off', 'off'] },
  fast: { does: 'the same with the fast path on both hosts', backend: VXLAN, fastPath: ['auto', 'auto'] },
  'fast-sender': { does: "the same on the sender's host alone", backend: VXLAN, fastPath: ['auto', 'off'] },
  'host-gw': { does: 'bridge and route, without a tunnel', backend: { Type: 'host-gw' } },
  udp: { does: 'the forwarder, in user space', backend: { Type: 'udp' }, inUserSpace: true },
  'udp-naive': {
    does: "flannel's way in user space: one read and one send per packet",
    backend: VXLAN,
    fastPath: ['off', 'off'],
    inUserSpace: true,
  },
  flanneld: {
    does: "the program of --flanneld in the agents' place, over vxlan",
    backend: VXLAN,
  },
  'docker-overlay': { does: "Docker's overlay network, in swarm mode", runtime: 'docker' },
} as const satisfies Readonly<Record<string, Path>>;

export type PathName = keyof typeof PATHS;
export const PATH_NAMES = Object.keys(PATHS) as PathName[];

/** Of the agents of a lab over vxlan. */
const DEVICE = `flannel.${VXLAN.VNI}`;

/** Port of the labs' own tunnel where Docker's overlay has 4789. */
const BESIDE_SWARM = { Type: 'vxlan', VNI: 88, Port: 8472 };

export interface OpenOptions {
  /** Path of the program for the path of that name. */
  readonly flanneld?: string;
  readonly signal: AbortSignal;
}

/** Where a forwarder of a lab's host says which process it is. */
const FORWARDER = `${filesBeside(DEFAULT_SOCKET).control}.pid`;

/** A path that stands until it is disposed. */
export class OpenPath implements AsyncDisposable {
  readonly way: Way;
  readonly #lab: Lab;

  private constructor(way: Way, lab: Lab) {
    this.way = way;
    this.#lab = lab;
  }

  /** @throws LabError */
  static async open(path: PathName, { flanneld, signal }: OpenOptions): Promise<OpenPath> {
    const { backend, runtime = 'namespace', fastPath }: Path = PATHS[path];
    const plan = planLab({
      name: `bench-${path}`,
      hosts: 2,
      containers: path === 'host' || runtime === 'docker' ? 0 : 1,
      runtime,
      store: 'tulle',
      backend: backend ?? BESIDE_SWARM,
      ...(path === 'flanneld' && defined({ flanneld })),
    });
    const lab = await createLab(fastPath === undefined ? plan : withFastPath(plan, fastPath), { signal });
    try {
      return new OpenPath({ path, ...(await endsOf(path, lab.record.hosts, signal)) }, lab);
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** undefined where there is no fast path. */
  async whyNot(signal: AbortSignal): Promise<WhyNot | undefined> {
    return this.way.tunnel && (await askWhyNot(this.#lab.record.hosts, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

async function endsOf(
  path: PathName,
  hosts: readonly HostRecord[],
  signal: AbortSignal,
): Promise<Omit<Way, 'path'>> {
  const [a, b] = hosts.map(record => ({ record, host: new LabHost(record.name, record.anchor) }));
  if (a === undefined || b === undefined) throw new Error('a lab of two hosts has fewer');
  if (path === 'host') {
    const [from, to] = [a, b].map(({ host }) => namespacesOf(host.anchor).net) as [string, string];
    return { from, to, ip: b.record.address.ipv4 ?? '' };
  }
  if (path === 'docker-overlay') return await joinSwarm(a.host, b.host, a.record.address.ipv4 ?? '', signal);
  if (path === 'udp-naive') {
    await startNaive(a, b, PROCESSORS[0], signal);
    await startNaive(b, a, PROCESSORS[1], signal);
  }
  if (path === 'udp') {
    await pinForwarder(a.host, PROCESSORS[0], signal);
    await pinForwarder(b.host, PROCESSORS[1], signal);
  }
  const [sender, receiver] = [a, b].map(({ record, host }) => {
    const [container] = record.containers;
    return { netns: host.path(container?.netns ?? ''), ip: container?.ip.ipv4 ?? '' };
  }) as [{ netns: string; ip: string }, { netns: string; ip: string }];
  const [senderHost, receiverHost] = [a, b].map(({ host }) => namespacesOf(host.anchor).net) as [
    string,
    string,
  ];
  return {
    from: sender.netns,
    to: receiver.netns,
    ip: receiver.ip,
    ...(['vxlan', 'fast', 'fast-sender'].includes(path) && {
      tunnel: { sender: senderHost, receiver: receiverHost, device: DEVICE },
    }),
  };
}

/** As it is now: one that is started again is not pinned. */
async function pinForwarder(host: LabHost, processor: number, signal: AbortSignal): Promise<void> {
  const { pid } = JSON.parse(readFileSync(host.path(FORWARDER), 'utf8')) as { pid: number };
  await pin(host, pid, processor, signal);
}
