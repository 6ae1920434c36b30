/**
 * The program of AttachmentHost: the network of an agent in the namespace where it is started, whose attachments are asked for
 * by lines of JSON. It can be killed like an agent, also by itself after so many further changes of links.
 *
 *     {"n":1,"call":"reserve","network":"blue","wish":{...}}   ->   {"n":1,"value":"10.9.1.2"}
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { EventLog } from '../../src/agent/health/event-log.ts';
import { Health } from '../../src/agent/health/health.ts';
import { KnownStateFile, lastRunOf } from '../../src/agent/state/known-state.ts';
import { Identity } from '../../src/agent/state/state-directory.ts';
import { createBackend } from '../../src/backend/registry.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { mapFamilies, type PerFamily } from '../../src/base/per-family.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { openLog } from '../../src/console/daemon-log.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { Rtnetlink } from '../../src/netlink/route/rtnetlink.ts';
import type { AddressWish, AttachWish, NetworkWish } from '../../src/network/attachment/attachments.ts';
import { OBSTACLES } from '../../src/network/fastpath/obstacle.ts';
import { Network } from '../../src/network/network.ts';
import { CachedStore } from '../../src/store/cached-store.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { Registry } from '../../src/subnet/registry.ts';
import { SegmentRegistry } from '../../src/subnet/segment/segment-registry.ts';
import { Netns } from '../../src/sys/netns.ts';

const [endpoint = '', prefix = '', stateDirectory = '', subnetFile = ''] = process.argv.slice(2);
const clock = systemClock;
const logger = openLog(0, 'text');
const etcd = new EtcdStore({ endpoints: [endpoint], tls: {}, logger });
const knownFile = new KnownStateFile(stateDirectory, prefix, clock);
const known = (await knownFile.load()) ?? { keys: [], devices: [] };
const store: CachedStore = new CachedStore(etcd, {
  cached: known.keys,
  onChange: () => knownFile.changed(stateNow),
});
const stateNow = () => ({ keys: [...store.cached()], devices: [] });
const netns = Netns.current();
/** Changes of links until it kills itself. */
let left = Number.POSITIVE_INFINITY;
const rtnetlink = killing(connectRoute({ netns }));
const events = new EventLog({ clock, logger });
const network = new Network({
  options: {
    stateDirectory,
    underlay: { interfaces: ['eth0'], patterns: [], publicIp: {} },
    healthMesh: false,
    fastPath: 'off' as const,
    resolver: { mode: 'off' as const },
    firewall: {
      masquerade: true,
      randomFully: true,
      forward: true,
      openPort: false,
      checkSenders: false,
      resyncSeconds: 60,
    },
    lease: { subnetFile, renewMarginMinutes: 60 },
  },
  registry: new Registry(store, { prefix }),
  fastPath: { obstacle: OBSTACLES.offByFlag },
  segmentRegistry: new SegmentRegistry(store, { prefix }),
  rtnetlink,
  attaching: { making: rtnetlink, removing: rtnetlink },
  netns,
  identity: await Identity.open(stateDirectory),
  createBackend,
  forwarderFiles: {
    program: '/bin/false',
    control: `${stateDirectory}/fwd.sock`,
    logFile: `${stateDirectory}/fwd.log`,
  },
  health: new Health(clock, events),
  events,
  clock,
  logger,
  cachedKeys: () => store.cached(),
  saveKeys: () => knownFile.save(),
  former: lastRunOf(known, undefined),
});
const end = new AbortController();
const running = Promise.all([network.run(end.signal), knownFile.run(end.signal)]);

type Text = string;
interface Asked {
  readonly n: number;
  readonly call: string;
  readonly id?: string;
  readonly ip?: Text;
  readonly network?: string;
  readonly engine?: 'docker' | 'cni';
  readonly wish?: Record<string, unknown>;
  readonly ids?: readonly string[];
  readonly changes?: number;
  readonly ips?: readonly { readonly network: string; readonly ip: Text }[];
  readonly known?: { readonly container: string; readonly names: readonly string[] };
}

const { attachments } = network;
const calls: Record<string, (asked: Asked) => unknown> = {
  find: ({ network: name = '' }) => attachments.find(name),
  networks: () => attachments.networks(),
  ensure: ({ wish }) => attachments.ensure(networkWish(wish)),
  reserve: ({ network: name = '', wish }) => attachments.reserve(name, addressWish(wish)),
  release: ({ network: name = '', ip = '' }) => attachments.release(name, Ip.parse(ip)),
  attach: ({ wish }) => attachments.attach(attachWish(wish)),
  detach: ({ id = '' }) => attachments.detach(id),
  list: () => attachments.list(),
  check: ({ id = '' }) => attachments.check(id),
  describe: ({ id = '', known: said = { container: '', names: [] } }) => attachments.describe(id, said),
  reconcile: ({ engine = 'docker', ids = [], ips = [] }) =>
    attachments.reconcile(
      engine,
      { ids: new Set(ids), ips: ips.map(one => ({ network: one.network, ip: Ip.parse(one.ip) })) },
      performance.now(),
    ),
  killAfter: ({ changes = 1 }) => void (left = changes),
  usage: () => process.cpuUsage(),
  exit: () => process.exit(0),
  status: () => ({ networks: network.segments.status(), warnings: events.list?.() }),
};

for await (const line of createInterface(process.stdin)) {
  const asked = JSON.parse(line) as Asked;
  void answer(asked);
}
end.abort();
await running;
await network[Symbol.asyncDispose]();
process.exit(0);

async function answer(asked: Asked): Promise<void> {
  const { n } = asked;
  try {
    const value: unknown = await calls[asked.call]?.(asked);
    process.stdout.write(`${JSON.stringify({ n, value })}\n`);
  } catch (error) {
    const { code = 'NONE', message } = error as Error & { readonly code?: string };
    process.stdout.write(`${JSON.stringify({ n, error: { code, message } })}\n`);
  }
}

function record(value: unknown): PerFamily<string> {
  return value ?? {};
}

function networkWish(wish: Record<string, unknown> = {}): NetworkWish {
  return {
    ...(wish as unknown as NetworkWish),
    subnets: mapFamilies(record(wish['subnets']), Prefix.parse),
    gateways: mapFamilies(record(wish['gateways']), Ip.parse),
  };
}

function addressWish(wish: Record<string, unknown> = {}): AddressWish {
  const { ip, mac, ...rest } = wish as { readonly ip?: string; readonly mac: string };
  return {
    ...(rest as unknown as AddressWish),
    mac: Mac.parse(mac),
    ...(ip !== undefined && { ip: Ip.parse(ip) }),
  };
}

function attachWish(wish: Record<string, unknown> = {}): AttachWish {
  const { mac, addresses } = wish;
  return {
    ...(wish as unknown as AttachWish),
    mac: Mac.parse(String(mac)),
    addresses: mapFamilies(record(addresses), Ip.parse),
  };
}

/** Kills this process with the last change of a link that is left to it. */
function killing(route: Rtnetlink): Rtnetlink {
  const counted =
    <Args extends readonly [unknown, ...unknown[]], T>(change: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      const result = await change(...args);
      const [first] = args;
      const name =
        typeof first === 'object' ? (first as { readonly name: string }).name : `${first as string}`;
      if (/^t[ev][0-9a-f]{12}$|^\d+$/.test(name) && --left === 0) process.kill(process.pid, 'SIGKILL');
      return result;
    };
  const apply: Rtnetlink['apply'] = async changes => {
    const results = await route.apply(changes);
    // A pair is made, and put on its bridge.
    const isPair = changes.some(({ what }) => /^add veth link tv[0-9a-f]{12}$/.test(what));
    if (isPair && --left === 0) process.kill(process.pid, 'SIGKILL');
    return results;
  };
  const { links } = route;
  const changed = {
    ...links,
    add: counted(links.add),
    change: counted(links.change),
    delete: counted(links.delete),
  };
  return new Proxy(route, {
    get: (of, name) => (name === 'links' ? changed : name === 'apply' ? apply : Reflect.get(of, name, of)),
  });
}
