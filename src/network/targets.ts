/** What a network is applied to on this host: the data plane, the firewall, and the file for Docker and CNI. */
import type { HostIdentity } from '../backend/backend.ts';
import { together } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import { increment, Watchable } from '../base/watchable.ts';
import type { DataPlane, DataPlaneOptions, NetworkScope } from '../dataplane/data-plane.ts';
import { openDataPlane } from '../dataplane/open-data-plane.ts';
import type { ProgramStore } from '../dataplane/programs.ts';
import type { ApplyResult, Repair } from '../dataplane/report.ts';
import { HostExtension } from '../extension/host-extension.ts';
import { hasLegacyTables, ruleChanges, watchLegacyTables } from '../firewall/changes.ts';
import type { DesiredFirewall } from '../firewall/desired.ts';
import { Firewall } from '../firewall/firewall.ts';
import { FirewallReconciler, type FirewallState } from '../firewall/reconciler.ts';
import type { SenderFilter } from '../firewall/senders/filter.ts';
import { connectNetfilter, type Netfilter } from '../netlink/netfilter/connect.ts';
import { deviceOwner } from '../ownership/device.ts';
import { ownerByNetwork } from '../ownership/owner.ts';
import { EchoListener } from '../probe/echo-listener.ts';
import { Prober } from '../probe/prober.ts';
import { blocksOf } from '../subnet/lease/lease.ts';
import { parseSubnetEnv } from '../subnet/subnet-env.ts';
import { ManagedFile } from '../sys/managed-file.ts';
import type { Netns } from '../sys/netns.ts';
import { readSysctl, sysctlsOf } from '../sys/sysctl.ts';
import { ForwarderTarget } from './forwarder-target.ts';
import type { SenderTarget } from './host-senders.ts';
import type { ListenForEchoes } from './mesh/health-mesh.ts';
import { openSenders } from './open-senders.ts';
import type { ForwarderFiles, NetworkOptions } from './options.ts';

export interface Targets extends AsyncDisposable {
  readonly dataPlane: DataPlane;
  /** Grows after every comparison of the data plane with the kernel. */
  readonly rounds: Watchable<number>;
  /** The overlay's part of the data plane. */
  readonly network: NetworkScope;
  readonly firewall: Pick<FirewallReconciler, 'state'> & {
    /** @throws FirewallError; it is then tried again by itself. */
    apply(desired: DesiredFirewall): Promise<unknown>;
  };
  /** Who may send tunnel packets to this host. */
  readonly senders: SenderTarget & Pick<SenderFilter, 'refused'>;
  /** What is changed over this connection is no news to those who watch rules: elements of sets, one per peer or port. */
  readonly netfilter: Pick<Netfilter, 'commit' | 'elements' | 'connections' | 'forget' | 'port'>;
  readonly forwarder: Pick<ForwarderTarget, 'set' | 'state' | 'stats' | 'obstacle'>;
  readonly prober: Pick<Prober, 'probe'>;
  readonly listen: ListenForEchoes;
  readonly subnetFile: Pick<ManagedFile, 'path' | 'set' | 'state'>;
  /** Absent where this host runs no commands of the configuration. */
  readonly extension?: Pick<HostExtension, 'prepare' | 'use'>;
  /** The value of a kernel parameter (src/sys/sysctl.ts). */
  readSysctl(path: string): string | undefined;
  /** Deletes those of these devices that an earlier run of this host made; yields the name of each. */
  removeDevices(names: readonly string[]): AsyncIterable<string>;
  /** Writes the subnet file and watches the firewall until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** What happens at the targets. */
export interface TargetListener {
  /** The data plane was compared with the kernel. @param settingsChanged whether sysctls may have changed */
  onRound(result: ApplyResult, settingsChanged: boolean): void;
  onRepair(repair: Repair): void;
  onFirewallState(state: FirewallState): void;
  /** Why strangers cannot be refused; undefined when they are. */
  onSenderFilter(failure: string | undefined): void;
  onFirewallRepair(repaired: readonly string[]): void;
  /** Why commands could not set this host up, or leave; undefined when they have. */
  onCommandFailure(reason: string | undefined): void;
  onSubnetFileReplaced(path: string, before: string, after: string): void;
  /** Networks that this host has or had. */
  networks(): readonly Prefix[];
}

export type OpenTargets = (listener: TargetListener) => Targets;

export interface TargetOptions {
  readonly options: NetworkOptions;
  readonly rtnetlink: DataPlaneOptions['rtnetlink'];
  readonly netns: Netns;
  readonly identity: HostIdentity;
  readonly forwarderFiles: ForwarderFiles;
  /** Absent where this host has no fast path. */
  readonly programs?: ProgramStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The targets in the network namespace of `netns`. */
export function openTargets(given: TargetOptions, listener: TargetListener): Targets {
  const { rtnetlink, netns, clock, logger, options } = given;
  const resyncInterval = options.firewall.resyncSeconds * 1000;
  const forwarder = new ForwarderTarget(given.forwarderFiles, clock, logger);
  const extension =
    options.extension &&
    new HostExtension({
      ...options.extension,
      clock,
      logger,
      onFailure: reason => listener.onCommandFailure(reason),
    });
  const rounds = new Watchable(0);
  const dataPlane = openDataPlane({
    rtnetlink,
    stores: { tunnel: forwarder.store, ...(extension && { command: extension.table }) },
    ...defined({ programs: given.programs }),
    sysctls: sysctlsOf(netns),
    logger,
    clock,
    onRepair: repair => listener.onRepair(repair),
    onRound: (result, settingsChanged) => {
      forwarder.follow(dataPlane.report().links);
      listener.onRound(result, settingsChanged);
      increment(rounds);
    },
  });
  const netfilter = connectNetfilter({ netns });
  const senders = openSenders({ ...given, netfilter }, listener);
  const firewall = new FirewallReconciler({
    firewall: new Firewall({ log: logger, hasLegacyTables: () => hasLegacyTables(netns) }),
    log: logger,
    clock,
    changes: signal => ruleChanges(netns, signal, { ignored: netfilter.port, own: 'flannel-' }),
    resyncInterval,
    onRepair: repaired => listener.onFirewallRepair(repaired),
    onState: state => listener.onFirewallState(state),
  });
  const subnetFile = new ManagedFile(options.lease.subnetFile, clock, {
    onReplaced: (before, after) => listener.onSubnetFileReplaced(options.lease.subnetFile, before, after),
    ownerOf: content => anotherNetworkOf(content, listener.networks()),
  });
  const prober = new Prober(netns, clock);
  const legacy = { clock, interval: resyncInterval, onChange: () => firewall.resync() };
  return {
    dataPlane,
    rounds,
    network: dataPlane.network('overlay'),
    firewall,
    senders,
    netfilter,
    forwarder,
    prober,
    listen: async (family, mark, onRequest, signal) => {
      using listener = EchoListener.open(netns, family, mark, clock);
      await listener.run(onRequest, signal);
    },
    subnetFile,
    ...(extension && { extension }),
    readSysctl: path => readSysctl(path, netns),
    removeDevices: names => removeDevices(names, given, listener.networks()),
    run: signal =>
      together(
        signal,
        until => subnetFile.run(until),
        until => forwarder.run(until),
        until => senders.run(until),
        async until => extension?.run(until),
        until => watchLegacyTables(netns, legacy, until),
      ),
    async [Symbol.asyncDispose]() {
      prober[Symbol.dispose]();
      netfilter[Symbol.dispose]();
      await extension?.[Symbol.asyncDispose]();
      await firewall[Symbol.asyncDispose]();
      await dataPlane[Symbol.asyncDispose]();
    },
  };
}

/** The network that a subnet file names, when it is none of ours: an overlay that uses flannel's file too. */
function anotherNetworkOf(subnetFile: string, networks: readonly Prefix[]): string | undefined {
  const named = blocksOf(parseSubnetEnv(subnetFile).network);
  return ownerByNetwork(named, networks) === 'another' ? named.join(' and ') : undefined;
}

/**
 * A device with another MAC than this host gave it is not ours, whatever its name; nor is a TUN device, which has none,
 * unless it carries an address of our networks.
 */
export async function* removeDevices(
  names: readonly string[],
  { rtnetlink, identity, logger }: Pick<TargetOptions, 'rtnetlink' | 'identity' | 'logger'>,
  networks: readonly Prefix[],
): AsyncGenerator<string, void> {
  for (const name of names) {
    try {
      const link = await rtnetlink.links.get(name);
      if (link === undefined) continue;
      const isVxlan = link.info?.kind === 'vxlan' && identity.mac(name).equals(link.mac);
      const isTun =
        link.info?.kind === 'tun' && (await deviceOwner(rtnetlink, link.index, networks)).owner === 'ours';
      if (!isVxlan && !isTun) continue;
      await rtnetlink.links.delete(link.index);
    } catch (error) {
      logger.warn({ link: name, error: messageOf(error) }, 'a former device could not be removed');
      continue;
    }
    yield name;
  }
}
