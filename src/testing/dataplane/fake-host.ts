/**
 * A host for tests of the data plane: a fake kernel with an underlay link, a clock that stands still, and a second
 * connection through which others change what they should not.
 */
import { setImmediate } from 'node:timers/promises';
import { vxlanPath } from '../../backend/vxlan-path.ts';
import { Writer } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { Ip } from '../../base/ip.ts';
import { silentLogger } from '../../base/log.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DataPlane, DataPlaneOptions, NetworkScope } from '../../dataplane/data-plane.ts';
import type { DesiredHost, DesiredPeer, PeerPath } from '../../dataplane/desired.ts';
import { openDataPlane } from '../../dataplane/open-data-plane.ts';
import type { ApplyResult, Repair } from '../../dataplane/report.ts';
import { NLM_F_REQUEST } from '../../netlink/constants.ts';
import { writeMessage } from '../../netlink/message.ts';
import type { Change } from '../../netlink/protocol.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { ManualClock } from '../manual-clock.ts';
import { FakeKernel } from '../netlink/fake-kernel.ts';

export const DEVICE = 'flannel.88';
/** Turns of the event loop that a round takes at most here, and pieces of the time that passes. */
const TURNS = 30;
const STEPS = 50;
const LOCAL = Ip.parse('192.168.65.3');

export class FakeHost implements AsyncDisposable {
  readonly kernel: FakeKernel;
  readonly clock = new ManualClock();
  /** The connection of another program. */
  readonly others: Rtnetlink;
  readonly plane: DataPlane;
  /** The only network of most tests. */
  readonly network: NetworkScope;
  readonly repairs: Repair[] = [];
  readonly rounds: ApplyResult[] = [];
  readonly sysctls = new Map([[`net/ipv6/conf/${DEVICE}/accept_ra`, '1']]);
  readonly #ours: Rtnetlink;
  /** Index of eth0. */
  readonly underlay: number;

  constructor(options: Partial<DataPlaneOptions> = {}, kernel = new FakeKernel()) {
    this.kernel = kernel;
    this.underlay = underlayOf(kernel);
    this.others = kernel.connect();
    this.#ours = kernel.connect();
    this.plane = openDataPlane({
      rtnetlink: this.#ours,
      sysctls: {
        read: path => this.sysctls.get(path),
        write: (path, value) => void this.sysctls.set(path, value),
        watch: () => undefined,
      },
      logger: silentLogger,
      onRepair: repair => this.repairs.push(repair),
      onRound: result => this.rounds.push(result),
      clock: this.clock satisfies Clock,
      random: () => 0.5,
      ...options,
    });
    this.network = this.plane.network('overlay');
  }

  get desired(): DesiredHost {
    return {
      networks: [Prefix.parse('10.3.0.0/16')],
      links: [
        {
          kind: 'vxlan',
          name: DEVICE,
          vni: 88,
          underlayIndex: this.underlay,
          local: LOCAL,
          port: 4789,
          learning: false,
          gbp: false,
          mtu: 1450,
          mac: Mac.parse('02:00:00:00:00:01'),
        },
      ],
      addresses: [
        {
          link: DEVICE,
          address: { ip: Ip.parse('10.3.0.0'), length: 32 },
        },
      ],
      sysctls: [{ link: DEVICE, path: `net/ipv6/conf/${DEVICE}/accept_ra`, value: '0' }],
    };
  }

  /** Writes that our connection has sent. */
  get writes(): number {
    return this.#ours.writes;
  }

  /** Index of the device; it must be there. */
  async index(): Promise<number> {
    return (await this.others.links.get(DEVICE))?.index ?? 0;
  }

  /** States this host and these peers, and applies. */
  begin(peers: Iterable<DesiredPeer>): Promise<ApplyResult> {
    this.network.set({ host: this.desired, peers });
    return this.plane.apply();
  }

  /** A change by another program, done when this returns: also in the middle of one of ours. */
  interject(change: Change): void {
    using transport = this.kernel.open([]);
    const writer = new Writer();
    const flags = change.flags | NLM_F_REQUEST;
    writeMessage(writer, { type: change.type, flags, sequence: 1, payload: change });
    transport.send(writer.finish());
  }

  /** Lets time pass, in steps between which there is time enough for a round. */
  async pass(ms: number): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      await this.clock.advance(ms / STEPS);
      for (let turn = 0; turn < TURNS; turn++) await setImmediate();
    }
  }

  /** Everything but the underlay, as iproute2 prints it; without the numbers of links. */
  show(): string {
    return (['ip link', 'ip addr', 'ip neigh', 'bridge fdb', 'ip nexthop', 'ip route'] as const)
      .flatMap(command => this.kernel.show(command).split('\n'))
      .filter(line => line !== '' && !/^\d+: (lo|eth0):/.test(line))
      .map(line => line.replace(/^\d+: /, ''))
      .join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane[Symbol.asyncDispose]();
    await this.#ours[Symbol.asyncDispose]();
    await this.others[Symbol.asyncDispose]();
  }
}

function underlayOf(kernel: FakeKernel): number {
  const [, index] = /^(\d+): eth0:/m.exec(kernel.show('ip link')) ?? [];
  return index === undefined ? kernel.plugIn({ name: 'eth0', up: true }).index : Number(index);
}

/** Of the peer's VTEP. */
export function macOf({ entries }: PeerPath): Mac {
  for (const entry of entries) if (entry.kind === 'fdb') return entry.mac;
  throw new Error('the path has no FDB entry');
}

interface FakePeerChanges {
  readonly mac?: string;
  readonly underlayIp?: string;
  readonly revision?: bigint;
}

/** Peer n, from 1 to 9: subnet 10.3.n.0/24, VTEP MAC 02::1:0n at 192.168.65.10n, unless given. */
export function fakePeer(n: number, changes: FakePeerChanges = {}): DesiredPeer {
  const paths = [fakePath(n, Prefix.parse(`10.3.${n}.0/24`), changes)];
  return { key: `10.3.${n}.0-24`, revision: changes.revision ?? 1n, paths };
}

/** The path to a subnet behind the VTEP of peer n. */
export function fakePath(n: number, subnet: Prefix, changes: FakePeerChanges = {}): PeerPath {
  return vxlanPath({
    link: DEVICE,
    subnet,
    mac: Mac.parse(changes.mac ?? `02:00:00:00:01:0${n}`),
    underlayIp: Ip.parse(changes.underlayIp ?? `192.168.65.10${n}`),
  });
}
