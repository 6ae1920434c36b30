/** From options to a running agent: opens what it is made of, in the network namespace of the calling thread. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { systemClock } from '../base/clock.ts';
import { openLog } from '../console/daemon-log.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import { openFastPath } from '../network/fastpath/open-fast-path.ts';
import { EtcdStore } from '../store/etcd/etcd-store.ts';
import { blocksOf } from '../subnet/lease/lease.ts';
import { parseSubnetEnv } from '../subnet/subnet-env.ts';
import { Netns } from '../sys/netns.ts';
import { takePassedSockets } from '../sys/socket-activation.ts';
import { Agent } from './agent.ts';
import type { AgentOptions } from './options/options.ts';
import { choosePeerApi } from './servers/peer-api-choice.ts';
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
  const passed = takePassedSockets(process.env, process.pid);
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
  await using making = connectRoute({ netns, aside: true });
  await using removing = connectRoute({ netns, aside: true });
  const { subnet } = parseSubnetEnv(await readIfAny(options.lease.subnetFile));
  const previous = blocksOf(subnet).length > 0 ? subnet : undefined;
  const tunnels = await TunnelFile.open(join(options.stateDirectory, TUNNEL_FILE), true);
  const peerApi = await choosePeerApi(options.peerApi);
  await using opened = await openFastPath({
    mode: options.fastPath,
    prefix,
    netns,
    rtnetlink,
    clock,
    logger,
  });
  const fastPath = opened.choice;
  const kernel = { netns, rtnetlink, attaching: { making, removing } };
  const own = { identity, knownFile, ...kernel, previous, tunnels, peerApi, passed, fastPath };
  const parts = { options, clock, logger, etcd, ...own };
  const agent = new Agent(parts, (await knownFile.load()) ?? { keys: [], devices: [] });
  await agent.run(signal);
}

const readIfAny = (path: string) => readFile(path, 'utf8').catch(() => '');
