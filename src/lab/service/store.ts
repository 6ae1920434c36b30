/** The lab's registry, on the first host: a real etcd, or Tulle's own store where etcd is not installed. */

import { Ip } from '../../base/ip.ts';
import { CommandError } from '../../console/errors.ts';
import { run } from '../../sys/process.ts';
import { LabError } from '../errors.ts';
import { startDaemon } from '../host/daemon.ts';
import { type LabHost, TULLE } from '../host/host.ts';
import { type LabPlan, STORE_PORT, urlOf } from '../topology/plan.ts';

/** Asks our own command whether any host could use this configuration. @throws CommandError USAGE */
export async function validateConfig(networkConfig: string, signal: AbortSignal): Promise<void> {
  const options = { signal, anyStatus: true } as const;
  const { status, stderr } = await run(TULLE, ['config', 'validate', networkConfig], options);
  if (status !== 0) throw new CommandError('USAGE', complaintOf(stderr));
}

/** Starts the lab's store, which is on this host. */
export async function startStore(host: LabHost, plan: LabPlan, signal: AbortSignal): Promise<void> {
  const loopback = loopbackOf(plan);
  await startDaemon(host, {
    ...(plan.store?.kind === 'etcd' ? etcd(plan, loopback) : embedded(plan, loopback)),
    patience: 60_000,
    signal,
  });
}

/** Puts the network's configuration, if there is one, into the store on this host. @throws LabError START_FAILED */
export async function configureNetwork(host: LabHost, plan: LabPlan, signal: AbortSignal): Promise<void> {
  if (plan.networkConfig === undefined) return;
  const loopback = loopbackOf(plan);
  // Our own command refuses a configuration that no agent could use, which etcdctl would not.
  const { status, stderr } = await host.run(
    TULLE,
    ['config', 'set', `--etcd-endpoints=${loopback}`, `--etcd-prefix=${plan.etcdPrefix}`, plan.networkConfig],
    { signal, anyStatus: true },
  );
  if (status === 0) return;
  throw new LabError('START_FAILED', complaintOf(stderr), {
    op: 'config set',
    hint: '`tulle config validate` checks a configuration without a lab',
  });
}

/** What a command of ours says when it fails, in one line. */
const complaintOf = (stderr: string) =>
  stderr
    .trim()
    .replace(/^tulle: error: /, '')
    .replaceAll('\n  ', '; ');

/** Of IPv6 where the lab has nothing else, so that nothing is on the way of the other family by accident. */
const loopbackOf = ({ families }: LabPlan, port = STORE_PORT) =>
  urlOf(Ip.parse(families[0] === 'ipv6' ? '::1' : '127.0.0.1'), port);

/** On the underlay, where the host is on it, and on loopback. */
const listenUrls = ({ etcdEndpoint = '' }: LabPlan, loopback: string) =>
  [...new Set([etcdEndpoint, loopback])].join(',');

function etcd(plan: LabPlan, loopback: string) {
  const peers = loopbackOf(plan, 2380);
  return {
    name: 'etcd',
    program: 'etcd',
    args: [
      '--name=lab',
      '--data-dir=/var/lib/etcd',
      `--listen-client-urls=${listenUrls(plan, loopback)}`,
      `--advertise-client-urls=${plan.etcdEndpoint}`,
      `--listen-peer-urls=${peers}`,
      `--initial-advertise-peer-urls=${peers}`,
      `--initial-cluster=lab=${peers}`,
      // A single member has no other to wait for; the default of a second is for elections.
      '--heartbeat-interval=20',
      '--election-timeout=200',
    ],
    accept: (log: string) => log.includes('ready to serve client requests'),
  };
}

function embedded(plan: LabPlan, loopback: string) {
  return {
    name: 'store',
    program: TULLE,
    // The underlay is a bridge that only the hosts of this lab are on.
    args: ['store', `--listen-client-urls=${listenUrls(plan, loopback)}`, '--insecure-listen'],
    accept: (log: string) => log.includes('"serving"'),
  };
}
