/**
 * A host of the overlay without an agent in it: a namespace with all that one programs for two peers, and a socket that
 * answers with a status. What a check finds is then what was planted, and the agent repairs nothing meanwhile.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Status } from '../../src/api/status.ts';
import { type Cause, type HostCheck, saidOf } from '../../src/inspect/checks/check.ts';
import { HostReader } from '../../src/inspect/host/host-reader.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { eventually } from './eventually.ts';

/**
 * `settled LINK...` waits until the kernel has noticed that links have a carrier: what it does then, such as to let the port of
 * a bridge forward, would undo what is planted.
 */
const SETUP = `
  settled() { for link; do for i in $(seq 1000); do ip -o link show $link | grep -q ' state UP ' && break; sleep 0.02; done; done; }
  sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
  ip link set lo up
  ip link add eth0 address 02:00:00:00:00:aa type veth peer name cable
  ip link set eth0 up
  ip link set cable up
  ip addr add 192.168.65.3/24 dev eth0
  ip addr add fd65::3/64 dev eth0 nodad
  ip link add flannel.88 address 02:00:00:00:00:03 mtu 1450 type vxlan id 88 local 192.168.65.3 dev eth0 dstport 4789 nolearning
  ip link set flannel.88 up
  ip addr add 10.3.1.0/32 dev flannel.88
  ip link add docker0 mtu 1450 type bridge
  ip link add veth0 mtu 1450 type veth peer name inner
  ip link set veth0 master docker0
  for link in docker0 veth0 inner; do ip link set $link up; done
  settled eth0 veth0
  ip addr add 10.3.1.1/24 dev docker0
  for peer in 2 3; do
    ip neigh add 10.3.$peer.0 lladdr 02:00:00:00:01:0$peer dev flannel.88 nud permanent
    bridge fdb add 02:00:00:00:01:0$peer dev flannel.88 dst 192.168.65.$((peer + 2)) self permanent
    ip route add 10.3.$peer.0/24 via 10.3.$peer.0 dev flannel.88 onlink proto 77
  done
`;

const NOW = '2026-01-01T00:00:00.000Z';
const isOk = { ok: true, required: true, since: NOW } as const;

const peer = (number: number): Status['peers'][number] => {
  const entries = [
    `fdb 02:00:00:00:01:0${number} dev flannel.88 dst 192.168.65.${number + 2} self permanent`,
    `neighbor 10.3.${number}.0 dev flannel.88 lladdr 02:00:00:00:01:0${number} PERMANENT`,
    `route 10.3.${number}.0/24 via 10.3.${number}.0 dev flannel.88 proto 77 onlink`,
  ];
  return {
    key: `10.3.${number}.0-24`,
    subnet: { ipv4: `10.3.${number}.0/24` },
    publicIp: { ipv4: `192.168.65.${number + 2}` },
    hostName: `docker${number}`,
    backendType: 'vxlan',
    links: ['flannel.88'],
    state: 'ok',
    desired: entries,
    actual: entries,
  };
};

/** Of docker1, which has the peers docker2 and docker3. */
export const STATUS: Status = {
  apiVersion: 1,
  version: '0.1.0',
  host: { id: '8e66cabe-4662-4c20-bc48-cfa49ab7b752', name: 'docker1' },
  pid: 41,
  startedAt: NOW,
  uptimeSeconds: 8,
  agent: { state: 'ready', since: NOW, ready: true },
  conditions: [
    { name: 'underlay', ...isOk },
    { name: 'store', ...isOk },
  ],
  underlay: {
    link: { name: 'eth0', index: 3, mtu: 1500 },
    ip: { ipv4: '192.168.65.3' },
    publicIp: { ipv4: '192.168.65.3' },
    chosenBy: '--iface=eth0',
  },
  store: {
    endpoints: ['http://192.168.65.3:2379'],
    prefix: '/coreos.com/network',
    connected: true,
    since: NOW,
    cached: false,
  },
  network: {
    config: {
      ipv4: { network: '10.3.0.0/16', subnetLength: 24, subnetMin: '10.3.1.0', subnetMax: '10.3.255.0' },
      backendType: 'vxlan',
    },
    problems: [],
  },
  lease: { key: '10.3.1.0-24', subnet: { ipv4: '10.3.1.0/24' }, reservation: false, ownership: 'held' },
  backend: {
    type: 'vxlan',
    overlayMtu: 1450,
    mtuParts: [],
    devices: [
      {
        name: 'flannel.88',
        kind: 'vxlan',
        vni: 88,
        port: 4789,
        mac: '02:00:00:00:00:03',
        mtu: 1450,
        local: '192.168.65.3',
        addresses: ['10.3.1.0/32'],
      },
    ],
  },
  dataplane: { inSync: true, wanted: 12, failed: 0, writes: 11, driftRepairs: {}, recentRepairs: [] },
  peers: [peer(2), peer(3)],
  firewall: { masquerade: false, forward: true, mode: 'iptables', ok: true },
  warnings: [],
};

/** A host with a fault planted. */
export interface LookedAt {
  /** Shell commands, in the namespace. */
  readonly plant?: string;
  /** What the agent says instead; null: no agent answers. */
  readonly status?: Partial<Status> | null;
}

/** What a check finds on such a host, by its name. */
export const lookWith = async (check: HostCheck, at: LookedAt = {}): Promise<Cause[]> =>
  (await readWith(check, at)).map(cause => saidOf(STATUS.host.name, cause));

/** What is read of such a host. */
export async function readWith<T>(
  read: (host: HostReader) => Promise<T> | T,
  { plant = '', status = {} }: LookedAt = {},
): Promise<T> {
  using netns = Netns.anonymous();
  netns.run(() =>
    execFileSync('sh', ['-ec', `${SETUP}\n${plant}`], { stdio: ['ignore', 'ignore', 'inherit'] }),
  );
  const directory = mkdtempSync(join(tmpdir(), 'tulle-look-'));
  const socketPath = join(directory, 'agent.sock');
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...STATUS, ...status }));
  });
  if (status !== null) await new Promise<void>(resolve => server.listen(socketPath, resolve));
  await using host = HostReader.open({ netns, socketPath });
  try {
    await untilNoticed(netns);
    return await read(host);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  }
}

/** IF_OPER_DOWN and IF_OPER_LOWERLAYERDOWN, include/uapi/linux/if.h. */
const NOT_NOTICED: ReadonlySet<number | undefined> = new Set([2, 3]);

/** Waits until the kernel has noticed the carrier of every link that was planted. */
async function untilNoticed(netns: Netns): Promise<void> {
  await using rtnetlink = connectRoute({ netns });
  await eventually('every carrier is noticed', async () =>
    (await rtnetlink.links.list()).every(
      ({ up, running, operState }) => !up || !running || !NOT_NOTICED.has(operState),
    ),
  );
}
