/** From options to a running agent: opens what it is made of, in the network namespace of the calling thread. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { openLog } from '../console/daemon-log.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import { EtcdStore } from '../store/etcd/etcd-store.ts';
import { blocksOf } from '../subnet/lease/lease.ts';
import { parseSubnetEnv } from '../subnet/subnet-env.ts';
import { Netns } from '../sys/netns.ts';
import { Agent } from './agent.ts';
import type { AgentOptions } from './options/options.ts';
import { KnownStateFile } from './state/known-state.ts';
import { Identity } from './state/state-directory.ts';
import { TUNNEL_FILE, TunnelFile } from './state/tunnel-file.ts';

/**
 * Runs an agent until `signal` aborts.
 *
 * @throws ApiServerError when an agent answers at the socket already; ConfigError for files that are named in the
 *   options and cannot be used.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const clock = systemClock;
  const logger = openLog(options.verbosity, options.logFormat);
  const { endpoints, prefix, username, password, caFile, certFile, keyFile } = options.store;
  await using etcd = new EtcdStore({
    endpoints,
    tls: {
      ...(caFile === undefined ? {} : { caFile }),
      ...(certFile === undefined ? {} : { certFile }),
      ...(keyFile === undefined ? {} : { keyFile }),
    },
    ...(username === undefined || password === undefined ? {} : { user: { name: username, password } }),
    logger,
  });
  const knownFile = new KnownStateFile(options.stateDirectory, prefix, clock);
  const identity = await Identity.open(options.stateDirectory);
  using netns = Netns.current();
  await using rtnetlink = connectRoute({ netns });
  const { subnet } = parseSubnetEnv(await readIfAny(options.lease.subnetFile));
  const previous = blocksOf(subnet).length > 0 ? subnet : undefined;
  const tunnels = await TunnelFile.open(join(options.stateDirectory, TUNNEL_FILE), true);
  const parts = { options, clock, logger, etcd, knownFile, identity, netns, rtnetlink, previous, tunnels };
  const agent = new Agent(parts, (await knownFile.load()) ?? { keys: [], devices: [] });
  await agent.run(signal);
}

const readIfAny = (path: string) => readFile(path, 'utf8').catch(() => '');
