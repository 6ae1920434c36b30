/** The lab's registry: a real etcd on the first host, reachable by all hosts and by nobody else. */
import { startDaemon } from './daemon.ts';
import type { LabHost } from './host.ts';
import type { LabPlan } from './plan.ts';

const CLIENT_PORT = 2379;

/** Starts etcd and puts the network's configuration into it. */
export async function startEtcd(host: LabHost, plan: LabPlan, signal: AbortSignal): Promise<void> {
  const loopback = `http://127.0.0.1:${CLIENT_PORT}`;
  const peers = 'http://127.0.0.1:2380';
  await startDaemon(host, {
    name: 'etcd',
    program: 'etcd',
    args: [
      '--name=lab',
      '--data-dir=/var/lib/etcd',
      `--listen-client-urls=${plan.etcdEndpoint},${loopback}`,
      `--advertise-client-urls=${plan.etcdEndpoint}`,
      `--listen-peer-urls=${peers}`,
      `--initial-advertise-peer-urls=${peers}`,
      `--initial-cluster=lab=${peers}`,
      // Alone it has nobody to wait for; the default of a second is for elections.
      '--heartbeat-interval=20',
      '--election-timeout=200',
    ],
    accept: log => log.includes('ready to serve client requests'),
    patience: 20_000,
    signal,
  });
  await host.run(
    'etcdctl',
    [`--endpoints=${loopback}`, 'put', `${plan.etcdPrefix}/config`, plan.networkConfig],
    {
      env: { ...process.env, ETCDCTL_API: '3' },
      signal,
    },
  );
}
