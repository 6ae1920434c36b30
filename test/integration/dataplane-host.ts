/**
 * What the tests of the data plane share: a host of its own for each test, and a data plane on it.
 *
 *     namespace        eth0 192.168.65.3/24 ---- eth1
 *                      flannel.88 10.3.1.0/32, peers 10.3.2.0/24, 10.3.3.0/24, 10.3.4.0/24
 */
import { execFileSync } from 'node:child_process';
import { vxlanPath } from '../../src/backend/vxlan-path.ts';
import { Ip } from '../../src/base/ip.ts';
import { recordingLogger } from '../../src/base/log.ts';
import { Mac } from '../../src/base/mac.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DataPlane, DataPlaneOptions, NetworkScope } from '../../src/dataplane/data-plane.ts';
import type { DesiredHost, DesiredPeer } from '../../src/dataplane/desired.ts';
import type { DesiredVxlan } from '../../src/dataplane/desired-link.ts';
import { openDataPlane } from '../../src/dataplane/open-data-plane.ts';
import type { ApplyResult, Repair } from '../../src/dataplane/report.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { Rtnetlink } from '../../src/netlink/route/rtnetlink.ts';
import { Netns } from '../../src/sys/netns.ts';
import { sysctlsOf } from '../../src/sys/sysctl.ts';
import { within } from '../support/eventually.ts';

export const DEVICE = 'flannel.88';
/** Milliseconds. */
const PATIENCE = 45_000;

/** A namespace that plays a host, and the programs that look at it. */
export class TestHost implements Disposable {
  readonly netns = Netns.anonymous();

  constructor() {
    for (const line of [
      // No address is tentative for a while, so that what is shown does not change by itself.
      'sysctl -qw net.ipv6.conf.default.accept_dad=0',
      'ip link set lo up',
      'ip link add eth0 type veth peer name eth1',
      'ip link set eth0 up',
      'ip link set eth1 up',
      'ip address add 192.168.65.3/24 dev eth0',
    ]) {
      this.sh(line);
    }
    // The kernel notices the carrier in its own time, and shows it.
    const end = performance.now() + PATIENCE;
    for (const link of ['eth0', 'eth1'])
      while (!this.sh(`ip -o link show ${link}`).includes(' state UP '))
        if (performance.now() > end) throw new Error(`${link} has no carrier`);
  }

  /** Words are separated by single blanks; nothing is quoted. */
  sh(line: string): string {
    const [program = '', ...args] = line.split(' ');
    return this.netns.run(() => execFileSync(program, args, { encoding: 'utf8' }));
  }

  /** Commands of `ip`, by one process. */
  batch(lines: readonly string[]): void {
    this.netns.run(() => void execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') }));
  }

  indexOf(name: string): number {
    return Number(this.sh(`ip -o link show ${name}`).split(':')[0]);
  }

  /** Everything the data plane is responsible for, as text without numbers that change when a device is made anew. */
  show(): string {
    return [
      this.sh(`ip -d -o link show ${DEVICE}`)
        .replace(/^\d+: /, '')
        .replaceAll(/\\ +/g, ' '),
      this.sh(`ip -4 -o address show dev ${DEVICE}`).replace(/^\d+: /, ''),
      ...lines(this.sh(`ip neighbor show dev ${DEVICE} nud permanent`)),
      ...lines(this.sh(`bridge fdb show dev ${DEVICE}`)),
      ...lines(this.sh('ip nexthop')),
      ...lines(this.sh('ip route')),
    ].join('\n');
  }

  [Symbol.dispose](): void {
    this.netns[Symbol.dispose]();
  }
}

export const lines = (text: string) =>
  text
    .split('\n')
    .map(line => line.trim().replaceAll(/ +/g, ' '))
    .filter(line => line !== '')
    .sort();

export function device(host: TestHost, changes: Partial<DesiredVxlan> = {}): DesiredVxlan {
  return {
    kind: 'vxlan',
    name: DEVICE,
    vni: 88,
    underlayIndex: host.indexOf('eth0'),
    local: Ip.parse('192.168.65.3'),
    port: 4789,
    learning: false,
    gbp: false,
    mtu: 1450,
    mac: Mac.parse('02:00:00:00:00:01'),
    master: 'nomaster',
    ...changes,
  };
}

export function desiredHost(link: DesiredVxlan): DesiredHost {
  const address = { ip: Ip.parse('10.3.1.0'), length: 32 };
  return {
    networks: [Prefix.parse('10.3.0.0/16')],
    links: [link],
    addresses: [{ link: link.name, address }],
    sysctls: [
      { link: link.name, path: `net/ipv6/conf/${link.name}/accept_ra`, value: '0' },
      {
        link: link.name,
        path: `net/ipv4/conf/${link.name}/forwarding`,
        value: '1',
        whenever: { path: 'net/ipv4/ip_forward', value: '1' },
      },
    ],
  };
}

/** Peer n has the subnet 10.3.n.0/24, the MAC 02::n and the underlay address 192.168.65.100+n, unless given. */
export function peer(
  n: number,
  changes: { mac?: string; underlayIp?: string; revision?: bigint } = {},
): DesiredPeer {
  const gateway = Ip.parse(`10.3.${n}.0`);
  const path = vxlanPath({
    link: DEVICE,
    subnet: Prefix.of(gateway, 24),
    mac: Mac.parse(changes.mac ?? `02:00:00:00:01:0${n}`),
    underlayIp: Ip.parse(changes.underlayIp ?? `192.168.65.${100 + n}`),
  });
  return { key: `10.3.${n}.0-24`, revision: changes.revision ?? 1n, paths: [path] };
}

const PEERS = [peer(2), peer(3), peer(4)];

/** A data plane on a host, what it reported, and a way to wait for it. */
export class Running implements AsyncDisposable {
  readonly rtnetlink: Rtnetlink;
  readonly plane: DataPlane;
  /** The only network of most tests. */
  readonly network: NetworkScope;
  readonly repairs: Repair[] = [];
  readonly logger = recordingLogger();
  #onRound: (result: ApplyResult) => void = () => undefined;

  constructor(host: TestHost, options: Partial<DataPlaneOptions> = {}) {
    this.rtnetlink = connectRoute({ netns: host.netns });
    this.plane = openDataPlane({
      rtnetlink: this.rtnetlink,
      logger: this.logger,
      sysctls: sysctlsOf(host.netns),
      // After a round of more than a second, on a busy machine, one stands for all like it.
      onRepair: repair => {
        for (let count = 0; count <= (repair.others ?? 0); count++) this.repairs.push(repair);
      },
      onRound: result => this.#onRound(result),
      ...options,
    });
    this.network = this.plane.network('overlay');
  }

  /** Makes the usual desired state. */
  async begin(host: TestHost, peers: readonly DesiredPeer[] = PEERS): Promise<ApplyResult> {
    this.network.set({ host: desiredHost(device(host)), peers });
    return await this.plane.apply();
  }

  /** Does something, and resolves with the repairs when a round ends that satisfies `test`. */
  async after(action: () => unknown, test: (result: ApplyResult) => boolean): Promise<Repair[]> {
    this.repairs.length = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onRound = result => test(result) && resolve();
    action();
    await within(`a round satisfies ${String(test)}`, promise);
    return this.repairs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane[Symbol.asyncDispose]();
    await this.rtnetlink[Symbol.asyncDispose]();
  }
}

export const summary = (repairs: readonly Repair[]) =>
  repairs
    .map(({ object, action, peer: served }) => [object, action, served].filter(Boolean).join(' '))
    .sort();
