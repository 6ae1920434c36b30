/** The first host of a network: makes what is missing (authority, network configuration), and keeps the store. */
import process from 'node:process';
import type { AgentOptions } from '../agent/options/options.ts';
import { systemClock } from '../base/clock.ts';
import { type Family, Ip } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import { familiesOf, type PerFamily, valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { openLog } from '../console/daemon-log.ts';
import { note, print } from '../console/output.ts';
import { storeConfig } from '../etcdserver/config.ts';
import { StoreServer } from '../etcdserver/store-server.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import { HostWatch } from '../network/host-watch.ts';
import { chooseUnderlay } from '../network/underlay.ts';
import { Netns } from '../sys/netns.ts';
import { hostAndPort, storeNames, TOKEN_MS } from '../trust/command.ts';
import { type HostTrust, trustFiles } from '../trust/host-trust.ts';
import { keepOwnHost } from '../trust/own-host.ts';
import { type StoreSite, StoreTrust } from '../trust/store-trust.ts';
import { ensureNetwork } from './new-network.ts';

export interface FirstHostOptions {
  /** Asked for; a network that is there already cannot be changed by it. */
  readonly network: PerFamily<Prefix>;
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
  const known = await StoreTrust.open(dataDir, systemClock);
  const addresses = await underlayAddresses(agent, familiesToTry(options.network, known?.site), log, signal);
  const families = familiesOf(addresses);
  const [address] = valuesOf(addresses) as readonly [Ip];
  const site = { address: hostAndPort(address, port), prefix: agent.store.prefix };
  const trust = await StoreTrust.init(dataDir, site, storeNames(valuesOf(addresses), []), systemClock);
  const server = await serve(trust, families, options, log);
  try {
    const network = await ensureNetwork(trust, options.network, families, port);
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

/**
 * The families that this host may work with, the best choice first. Those of the networks asked for; those of a former
 * start, as hosts have joined at that address; else IPv4, and IPv6 where this host has nothing else.
 */
export function familiesToTry(
  network: PerFamily<Prefix>,
  site: StoreSite | undefined,
): readonly (readonly Family[])[] {
  const asked = familiesOf(network);
  if (asked.length > 0) return [asked];
  const former = site && Ip.tryParse(hostOf(site.address));
  return former === undefined ? [['ipv4'], ['ipv6']] : [[former.family]];
}

/** `[fd00::3]:2379` is at fd00::3. */
const hostOf = (address: string) => address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');

/** Waits for a usable interface: at boot the network may come up after us. */
async function underlayAddresses(
  { underlay: criteria }: AgentOptions,
  choices: readonly (readonly Family[])[],
  logger: Logger,
  signal: AbortSignal,
): Promise<PerFamily<Ip>> {
  using netns = Netns.current();
  await using rtnetlink = connectRoute({ netns });
  const stop = new AbortController();
  const watch = new HostWatch({ rtnetlink, criteria, clock: systemClock, logger });
  const watching = watch.run(AbortSignal.any([signal, stop.signal]));
  try {
    let reported: string | undefined;
    for await (const host of watch.network.changes(signal)) {
      if (host === undefined) continue;
      const results = choices.map(families => chooseUnderlay(host, criteria, families));
      const choice = results.find(({ found }) => found) ?? results[0];
      if (choice?.found) return choice.underlay.publicIp;
      if (choice !== undefined && choice.reason !== reported) {
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
  families: readonly Family[],
  { dataDir, port }: FirstHostOptions,
  log: Logger,
): Promise<StoreServer> {
  const { authority, server } = trust.authority.files;
  // A socket of IPv6 takes IPv4 as well; a host may have been started without IPv6.
  const everywhere = families.includes('ipv6') ? '[::]' : '0.0.0.0';
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
