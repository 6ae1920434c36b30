/**
 * What it costs that hosts ask each other whether they answer, and how soon all know of one that does not any more. Each
 * host is a network namespace with sockets of its own behind one router (the kernel's table of neighbors is one for all
 * namespaces, and too small for each to know each); the same objects as in an agent run for all of them in this process.
 */
import { systemClock } from '../../base/clock.ts';
import { Ip } from '../../base/ip.ts';
import { silentLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import { Mesh } from '../../network/mesh/mesh.ts';
import { MARK } from '../../network/mesh/suspicion.ts';
import { ProbeBudget } from '../../network/probe-budget.ts';
import { EchoListener } from '../../probe/echo-listener.ts';
import { Prober } from '../../probe/prober.ts';
import { Netns } from '../../sys/netns.ts';
import { writeSysctl } from '../../sys/sysctl.ts';

export interface MeshResult {
  readonly hosts: number;
  /** Echo requests that a host sends in a second, while all are well. */
  readonly perSecond: number;
  /** Processor time of one host, as a part of one processor: for its echoes, and those of others. */
  readonly processor: number;
  /** Milliseconds from the death of a host until the first, and until all others said so. */
  readonly firstKnown: number;
  readonly allKnown: number;
  /** Hosts that said of a living one that it does not answer. */
  readonly falseAlarms: number;
}

export interface MeshBenchOptions {
  readonly hosts: number;
  /** Milliseconds for which the calm is measured. */
  readonly calm: number;
  readonly signal: AbortSignal;
}

/** Milliseconds in which all must have been asked, and in which all must know of a death. */
const EVERYBODY = 180_000;
const DEATH = 120_000;
const ADDRESSES = Ip.parse('10.9.0.0');
const GATEWAY = Ip.parse('10.8.0.1');
const EVERYWHERE = Prefix.parse('0.0.0.0/0');
/** The one that dies. */
const VICTIM = 1;

interface MeshHost {
  readonly mesh: Mesh;
  readonly netns: Netns;
  sent: number;
}

export async function measureMesh({ hosts: count, calm, signal }: MeshBenchOptions): Promise<MeshResult> {
  await using teardown = new AsyncDisposableStack();
  const stop = new AbortController();
  const until = AbortSignal.any([signal, stop.signal]);
  const fabric = teardown.use(Netns.anonymous());
  const router = teardown.use(connectRoute({ netns: fabric }));
  writeSysctl('net/ipv4/ip_forward', '1', fabric);
  const hosts: MeshHost[] = [];
  const running: Promise<void>[] = [];
  teardown.defer(async () => {
    stop.abort();
    await Promise.allSettled(running);
  });
  for (let index = 0; index < count; index++) {
    const netns = teardown.use(Netns.anonymous());
    await using route = connectRoute({ netns });
    const info = { kind: 'veth', peer: { name: 'eth0', netnsFd: netns.fd } } as const;
    await router.links.add({ name: `h${index}`, up: true, info });
    await route.links.change('eth0', { up: true });
    const [inside, outside] = [await route.links.get('eth0'), await router.links.get(`h${index}`)];
    await router.addresses.replace({ index: outside?.index ?? 0, ip: GATEWAY, length: 32 });
    await router.routes.replace({ destination: Prefix.ofOne(addressOf(index)), oif: outside?.index ?? 0 });
    await route.addresses.replace({ index: inside?.index ?? 0, ip: addressOf(index), length: 32 });
    const oif = inside?.index ?? 0;
    await route.routes.replace({ destination: Prefix.ofOne(GATEWAY), oif });
    await route.routes.replace({ destination: EVERYWHERE, gateway: GATEWAY, oif });
    const prober = teardown.use(new Prober(netns, systemClock));
    const host: MeshHost = { mesh: meshOf(prober, () => host.sent++), netns, sent: 0 };
    host.mesh.setOwn({ key: keyOf(index), subnet: { ipv4: Prefix.of(addressOf(index), 32) } });
    const listener = teardown.use(EchoListener.open(netns, 'ipv4', MARK));
    running.push(listener.run((from, data) => host.mesh.receive(from, data), until));
    hosts.push(host);
  }
  for (const [index, { mesh }] of hosts.entries()) {
    for (const other of hosts.keys()) {
      const to = addressOf(other);
      if (other !== index)
        mesh.set(keyOf(other), { ipv4: { to, base: to, underlay: to, isOverlay: false, mtu: 1450 } });
    }
    running.push(mesh.run(until));
  }

  const states = (host: MeshHost) => Array.from(host.mesh.paths.all, ({ answers: { state } }) => state);
  await waitFor('all hosts answer each other', EVERYBODY, signal, () =>
    hosts.every(host => states(host).every(state => state === 'answers')),
  );
  const [sent, usage, began] = [total(hosts), process.cpuUsage(), performance.now()];
  await systemClock.sleep(calm, signal);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(usage);
  const perSecond = (total(hosts) - sent) / seconds / count;

  await router.links.change(`h${VICTIM}`, { up: false });
  const died = performance.now();
  const others = hosts.filter((_, index) => index !== VICTIM);
  const knows = ({ mesh }: MeshHost) => mesh.paths.of(keyOf(VICTIM)).ipv4?.answers.state === 'silent';
  await waitFor('the first host knows', DEATH, signal, () => others.some(knows));
  const firstKnown = performance.now() - died;
  await waitFor('all hosts know', DEATH, signal, () => others.every(knows));
  const allKnown = performance.now() - died;
  const falseAlarms = others.filter(
    host => host.mesh.host.isCut || states(host).filter(state => state === 'silent').length > 1,
  ).length;
  return {
    hosts: count,
    perSecond: Math.round(perSecond * 100) / 100,
    processor: Math.round(((user + system) / 1e6 / seconds / count) * 1e5) / 1e5,
    firstKnown: Math.round(firstKnown),
    allKnown: Math.round(allKnown),
    falseAlarms,
  };
}

const total = (hosts: readonly MeshHost[]) => hosts.reduce((sum, { sent }) => sum + sent, 0);
const addressOf = (index: number) => ADDRESSES.plus(index + 1);
const keyOf = (index: number) => `${addressOf(index)}-32`;

function meshOf(prober: Prober, onSend: () => void): Mesh {
  return new Mesh({
    prober: {
      probe: (to, options) => {
        onSend();
        return prober.probe(to, options);
      },
    },
    budget: new ProbeBudget(systemClock),
    clock: systemClock,
    logger: silentLogger,
    onChange: () => undefined,
  });
}

async function waitFor(what: string, most: number, signal: AbortSignal, isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + most; !isSo(); await systemClock.sleep(20, signal)) {
    if (performance.now() > end) throw new Error(`not within ${most} ms: ${what}`);
  }
}
