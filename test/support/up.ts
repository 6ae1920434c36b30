/** Machines in namespaces that run `tulle up`, on one underlay: 192.168.65.3, .4, ..., or fd00:65::3, ::4, ... */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Status } from '../../src/api/status.ts';
import { EXIT } from '../../src/console/exit-codes.ts';
import { Fabric } from '../../src/lab/host/fabric.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { Site } from '../../src/lab/host/site.ts';
import { type LabFamily, planLab } from '../../src/lab/topology/simple.ts';
import type { Route } from '../../src/netlink/route/objects.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { deadline } from './eventually.ts';

const RTPROT_TULLE = 77;

export async function machines(t: TestContext, count: number, family: LabFamily = 'ipv4'): Promise<Site[]> {
  const stack = new AsyncDisposableStack();
  t.after(() => stack.disposeAsync());
  const shape = { containers: 0, runtime: 'namespace', store: 'tulle' } as const;
  const plan = planLab({ name: 'tt-up', hosts: count, family, ...shape });
  const { fabric, anchor } = await Fabric.make(plan);
  stack.use(anchor);
  stack.use(fabric);
  const sites: Site[] = [];
  for (const host of plan.hosts) sites.push(stack.use(await Site.prepare(host, fabric, '')));
  return sites;
}

/** Starts `tulle up`; every machine names its interface, for there is no default route. */
export const up = (site: Site, ...flags: string[]) =>
  site.host.start(TULLE, ['up', '--iface=eth0', ...flags], 'up');

export const tulle = (site: Site, ...args: string[]) => site.host.run(TULLE, args);

/** Waits until this machine has routes of ours to so many subnets, and returns these. */
export async function peersOf(site: Site, count: number): Promise<string[]> {
  const found = new Set<string>();
  const note = ({ destination, protocol }: Route) => {
    if (protocol === RTPROT_TULLE && destination !== undefined) found.add(destination.toString());
  };
  const late = deadline(`${site.host.name} has ${count} peers`, 60_000);
  const events = site.route.watch(['route'], late);
  for (const route of await site.route.routes.list()) note(route);
  if (found.size >= count) return [...found];
  for await (const event of events) {
    if (event.type === 'route' && !event.gone) note(event.route);
    if (found.size >= count) break;
  }
  late.throwIfAborted();
  return [...found];
}

export async function peersAfter(
  site: Site,
  count: number,
  start: () => Promise<unknown>,
): Promise<string[]> {
  const [peers] = await Promise.all([peersOf(site, count), start()]);
  return peers;
}

/** Also of an agent that is not ready yet. */
export async function statusOf(site: Site): Promise<Status> {
  const { status, stdout, stderr } = await site.host.run(TULLE, ['status', '--json'], { anyStatus: true });
  assert.ok(status === EXIT.ok.status || status === EXIT.differs.status, stderr);
  return JSON.parse(stdout) as Status;
}

/** The status of the agent, once it answers and has its lease. */
export async function untilServing(site: Site) {
  await waitForFile(site.host.path('/run/flannel/subnet.env'), deadline(`${site.host.name} has a subnet`));
  const status = await statusOf(site);
  const { lease, backend } = status;
  if (lease === undefined || backend === undefined) throw new Error(`${site.host.name} has no lease`);
  return { ...status, lease, backend };
}

export function etcdctl(site: Site, as: 'host' | undefined, ...args: string[]) {
  const trust = '/var/lib/tulle/trust';
  const identity = as === undefined ? [] : ['--cert', `${trust}/host.pem`, '--key', `${trust}/host-key.pem`];
  return site.host.run(
    'etcdctl',
    [
      '--endpoints=https://192.168.65.3:2379',
      // Whoever is not let in tries until then.
      ...(as === undefined ? ['--command-timeout=2s'] : ['--dial-timeout=20s', '--command-timeout=45s']),
      '--cacert',
      `${trust}/ca.pem`,
      ...identity,
      ...args,
    ],
    { anyStatus: true },
  );
}
