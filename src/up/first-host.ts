/** The first host of a network: makes what is missing (authority, network configuration), and keeps the store. */
import process from 'node:process';
import type { AgentOptions } from '../agent/options/options.ts';
import { systemClock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import type { Family, Ip } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import { openLog } from '../console/daemon-log.ts';
import { note, print } from '../console/output.ts';
import { storeConfig } from '../etcdserver/config.ts';
import { StoreServer } from '../etcdserver/store-server.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import { RT_TABLE_MAIN } from '../netlink/route/constants.ts';
import { HostWatch } from '../network/host-watch.ts';
import { chooseUnderlay } from '../network/underlay.ts';
import { EtcdStore } from '../store/etcd/etcd-store.ts';
import { networksOf, parseNetworkConfig } from '../subnet/config/config.ts';
import { readConfig } from '../subnet/config/config-watch.ts';
import { Registry } from '../subnet/registry.ts';
import { Netns } from '../sys/netns.ts';
import { hostAndPort, storeNames, TOKEN_MS } from '../trust/command.ts';
import { type HostTrust, trustFiles } from '../trust/host-trust.ts';
import { keepOwnHost } from '../trust/own-host.ts';
import { StoreTrust } from '../trust/store-trust.ts';
import { chooseNetwork, takenRanges } from './free-network.ts';
import { drawVni } from './vni.ts';

export interface FirstHostOptions {
  /** Asked for; a network that is there already cannot be changed by it. */
  readonly network?: Prefix;
  readonly port: number;
  readonly dataDir: string;
  readonly agent: AgentOptions;
  readonly hostId: string;
}

/** The store, which serves until this is disposed of, and this host's way to it. */
export interface FirstHost extends AsyncDisposable {
  readonly trust: HostTrust;
  /** Renews what is due of the certificates of the authority, the store, the administrator and this host. */
  renew(): Promise<readonly string[]>;
}

export async function startFirstHost(options: FirstHostOptions, signal: AbortSignal): Promise<FirstHost> {
  const { port, dataDir, agent, hostId } = options;
  const log = openLog(agent.verbosity, agent.logFormat);
  const family = options.network?.family ?? 'ipv4';
  const address = await underlayAddress(agent, family, log, signal);
  const site = { address: hostAndPort(address, port), prefix: agent.store.prefix };
  const trust = await StoreTrust.init(dataDir, site, storeNames([address], []), systemClock);
  const server = await serve(trust, address.family, options, log);
  try {
    const network = await ensureNetwork(trust, options.network, port);
    const host = { stateDirectory: agent.stateDirectory, hostId, endpoint: `https://127.0.0.1:${port}` };
    const keepHost = () => keepOwnHost(trust, host, systemClock.now());
    await keepHost();
    await greet(trust, network);
    return {
      trust: {
        ...trustFiles(host.stateDirectory, { endpoint: host.endpoint, prefix: site.prefix }),
        certificates: [trust.authority.files.server.certificate, trust.authority.files.admin.certificate],
      },
      renew: async () => [...(await trust.authority.renew()), ...(await keepHost())],
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** Waits for a usable interface: at boot the network may come up after us. */
async function underlayAddress(
  { underlay: criteria }: AgentOptions,
  family: Family,
  logger: Logger,
  signal: AbortSignal,
): Promise<Ip> {
  using netns = Netns.current();
  await using rtnetlink = connectRoute({ netns });
  const stop = new AbortController();
  const watch = new HostWatch({ rtnetlink, criteria, clock: systemClock, logger });
  const watching = watch.run(AbortSignal.any([signal, stop.signal]));
  try {
    let reported: string | undefined;
    for await (const host of watch.network.changes(signal)) {
      if (host === undefined) continue;
      const choice = chooseUnderlay(host, criteria, [family]);
      if (choice.found) {
        const address = choice.underlay.publicIp[family];
        if (address !== undefined) return address;
      } else if (choice.reason !== reported) {
        reported = choice.reason;
        note(`waiting: ${choice.reason}; ${choice.hint}`);
      }
    }
    throw signal.reason as Error;
  } finally {
    stop.abort();
    await watching;
  }
}

function serve(
  trust: StoreTrust,
  family: Family,
  { dataDir, port }: FirstHostOptions,
  log: Logger,
): Promise<StoreServer> {
  const { authority, server } = trust.authority.files;
  const everywhere = family === 'ipv4' ? '0.0.0.0' : '[::]';
  const config = storeConfig({
    name: 'default',
    dataDir,
    listenClientUrls: [`https://${everywhere}:${port}`],
    advertiseClientUrls: [`https://${trust.site.address}`],
    certFile: server.certificate,
    keyFile: server.key,
    trustedCaFile: authority,
    clientCertAuth: true,
    quotaBackendBytes: '0',
    autoCompactionMode: 'periodic',
    autoCompactionRetention: '8h',
  });
  return StoreServer.start({ ...config, ...trust.extension(log), clock: systemClock, log });
}

/** Stores a configuration where there is none. @returns what to call the network. @throws ConfigError */
async function ensureNetwork(trust: StoreTrust, wanted: Prefix | undefined, port: number): Promise<string> {
  const { authority, admin } = trust.authority.files;
  await using store = new EtcdStore({
    endpoints: [`https://127.0.0.1:${port}`],
    tls: { caFile: authority, certFile: admin.certificate, keyFile: admin.key },
  });
  const { configKey: key } = new Registry(store, { prefix: trust.site.prefix });
  const { kv } = await store.get(key);
  if (kv !== undefined) return keptNetwork(kv.value, wanted);
  await using rtnetlink = connectRoute();
  const [links, addresses, routes] = await Promise.all([
    rtnetlink.links.list(),
    rtnetlink.addresses.list(),
    rtnetlink.routes.list({ table: RT_TABLE_MAIN }),
  ]);
  const nameOf = (index: number) => links.find(link => link.index === index)?.name ?? `link ${index}`;
  const taken = takenRanges(addresses, routes, nameOf);
  const network = chooseNetwork(wanted, wanted?.family ?? 'ipv4', taken);
  const families =
    network.family === 'ipv4'
      ? { Network: network }
      : { EnableIPv4: false, EnableIPv6: true, IPv6Network: network };
  const text = JSON.stringify({ ...families, Backend: { Type: 'vxlan', VNI: drawVni(links, Math.random) } });
  // What no host could use is refused before it is stored.
  parseNetworkConfig(text);
  const { ok } = await store.transact({
    compare: [{ key, target: 'version', is: '=', operand: 0n }],
    success: [{ op: 'put', key, value: new TextEncoder().encode(text) }],
  });
  return ok ? `new network ${network}` : await ensureNetwork(trust, wanted, port);
}

/** A network that is there stays as it is: another one takes their subnets from all hosts. @throws ConfigError */
function keptNetwork(value: Uint8Array, wanted: Prefix | undefined): string {
  const reading = readConfig(value);
  if (reading.state === 'invalid') {
    // Its hosts say what is wrong with it, and this one starts so that it can be mended.
    return 'network with a configuration that cannot be used';
  }
  const networks = networksOf(reading.config);
  if (wanted === undefined || networks.some(network => network.equals(wanted))) {
    return `network ${networks.join(' and ')}`;
  }
  throw new ConfigError('command line', [
    {
      path: '--network',
      value: wanted.toString(),
      message: `is not the network in the store of this host, which is ${networks.join(' and ')}`,
      hint: 'omit --network; `tulle config set` changes a network',
    },
  ]);
}

/** The line for the next host is a secret: it is shown to a person at a terminal, and never goes into a journal. */
async function greet(trust: StoreTrust, network: string): Promise<void> {
  const { address } = trust.site;
  note(`${network}, store at https://${address}`);
  if (!process.stdout.isTTY) {
    note('`tulle store token` prints what further hosts need to join');
    return;
  }
  print(`\nOn every further host, within a day:\n\n  tulle up --join ${await trust.createToken(TOKEN_MS)}\n`);
}
