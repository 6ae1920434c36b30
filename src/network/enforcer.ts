/**
 * Makes real what the controller has decided: the data plane, the firewall, and last the file that tells Docker
 * and CNI that there is something to use. Reports how each of them is.
 */

import type { HostIdentity } from '../backend/backend.ts';
import { together } from '../base/abort.ts';
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import { Watchable } from '../base/watchable.ts';
import type { DataPlane, DataPlaneOptions } from '../dataplane/data-plane.ts';
import { openDataPlane } from '../dataplane/open-data-plane.ts';
import { hasLegacyTables, ruleChanges, watchLegacyTables } from '../firewall/changes.ts';
import type { DesiredFirewall } from '../firewall/desired.ts';
import { Firewall } from '../firewall/firewall.ts';
import { FirewallReconciler, type FirewallState } from '../firewall/reconciler.ts';
import { ownerByNetwork } from '../ownership/owner.ts';
import { blocksOf } from '../subnet/lease/lease.ts';
import { formatSubnetEnv, parseSubnetEnv } from '../subnet/subnet-env.ts';
import { ManagedFile } from '../sys/managed-file.ts';
import type { Netns } from '../sys/netns.ts';
import { readSysctl, sysctlsOf } from '../sys/sysctl.ts';
import { type ActivePlan, firewallFor } from './active-plan.ts';
import type { Controller } from './controller.ts';
import { EnforcementReport } from './enforcement-report.ts';
import { forwardingWarnings } from './forwarding.ts';
import type { NetworkOptions } from './options.ts';
import type { EventReporter, HealthReporter } from './reports.ts';

export interface EnforcerOptions {
  readonly options: NetworkOptions;
  readonly rtnetlink: DataPlaneOptions['rtnetlink'];
  readonly netns: Netns;
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly identity: HostIdentity;
  /** Names of the devices that were in use in the last run. */
  readonly formerDevices: readonly string[];
  /** Told after every comparison of the data plane with the kernel. */
  readonly onRound: () => void;
  /** Told when `devices` has changed. */
  readonly onDevices: () => void;
}

export class Enforcer implements AsyncDisposable {
  readonly dataPlane: DataPlane;
  readonly subnetFile: ManagedFile;
  readonly #firewall: FirewallReconciler;
  readonly #options: EnforcerOptions;
  readonly #report: EnforcementReport;
  #devices: readonly string[];
  /** Of the last run, until they were looked at. */
  #formerDevices: readonly string[];
  /** Whether a device is being made that nothing depends on yet. */
  #isPreparing: (device: string) => boolean = () => false;
  #wanted: Pick<DesiredFirewall, 'blocks' | 'tunnel'> = { blocks: [] };
  /** Of this host, now and before. */
  #networks: ActivePlan['networks'] = [];
  readonly #dependsOnPeers = new Watchable(false);

  constructor(options: EnforcerOptions) {
    const { rtnetlink, netns, clock, logger } = options;
    const report = new EnforcementReport(options);
    this.#options = options;
    this.#report = report;
    this.#devices = options.formerDevices;
    this.#formerDevices = options.formerDevices;
    const { subnetFile } = options.options.lease;
    this.subnetFile = new ManagedFile(subnetFile, clock, {
      onReplaced: (before, after) => report.subnetFileReplaced(subnetFile, before, after),
      ownerOf: content => anotherNetworkOf(content, this.#networks),
    });
    this.dataPlane = openDataPlane({
      rtnetlink,
      sysctls: sysctlsOf(netns),
      logger,
      clock,
      onRepair: repair => report.repair(repair),
      onRound: (result, settingsChanged) => {
        const { links, ...rest } = this.dataPlane.report();
        report.dataPlane(result, { ...rest, links: links.filter(({ name }) => !this.#isPreparing(name)) });
        if (settingsChanged) this.checkForwarding();
        options.onRound();
      },
    });
    this.#firewall = new FirewallReconciler({
      firewall: new Firewall({ log: logger, hasLegacyTables: () => hasLegacyTables(netns) }),
      log: logger,
      clock,
      changes: signal => ruleChanges(netns, signal),
      resyncInterval: options.options.firewall.resyncSeconds * 1000,
      onRepair: repaired => report.firewallRepaired(repaired),
      onState: state => {
        report.firewall(state);
        if (state.dependsOnPeers !== this.#dependsOnPeers.value)
          this.#dependsOnPeers.set(state.dependsOnPeers);
      },
    });
  }

  /** Names of the network devices that are in use; until there is a plan, those of the last run. */
  get devices(): readonly string[] {
    return this.#devices;
  }

  get firewallState(): FirewallState {
    return this.#firewall.state;
  }

  /** Repaired drift by kind of object, the firewall included. */
  driftRepairs(): Record<string, number> {
    const firewall = this.#report.firewallRepairs;
    return { ...this.dataPlane.report().driftRepairs, ...(firewall === 0 ? {} : { firewall }) };
  }

  /** Follows the controller until `signal` aborts. The kernel stays as it is. */
  async run(controller: Controller, signal: AbortSignal): Promise<void> {
    this.#isPreparing = device => controller.isPreparing(device);
    await together(
      signal,
      until => this.#applyStatements(controller, until),
      until => this.#followOutcome(controller, until),
      until => this.#followSurroundings(controller, until),
      until => this.subnetFile.run(until),
      until => {
        const { netns, clock, options } = this.#options;
        const interval = options.firewall.resyncSeconds * 1000;
        return watchLegacyTables(netns, { clock, interval, onChange: () => this.#firewall.resync() }, until);
      },
      async until => {
        const { path, state } = this.subnetFile;
        for await (const news of state.changes(until)) this.#report.subnetFile(path, news);
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#firewall[Symbol.asyncDispose]();
    await this.dataPlane[Symbol.asyncDispose]();
  }

  async #applyStatements(controller: Controller, signal: AbortSignal): Promise<void> {
    for await (const count of controller.stated.changes(signal)) {
      if (count > 0) await this.#apply(signal);
    }
  }

  /** What the kernel refuses is retried by the data plane; only a kernel that does not answer is left to us. */
  async #apply(signal: AbortSignal): Promise<void> {
    for (const delay of backoff(500, 30_000)) {
      try {
        await this.dataPlane.apply();
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#report.kernelUnreachable(messageOf(error));
        await this.#options.clock.sleep(delay, signal).catch(() => undefined);
      }
    }
  }

  async #followOutcome(controller: Controller, signal: AbortSignal): Promise<void> {
    for await (const activePlan of controller.activePlan.changes(signal)) {
      if (activePlan === undefined) continue;
      this.#networks = activePlan.networks;
      await this.#takeOverDevices(activePlan);
      await this.#applyFirewall(controller);
      this.subnetFile.set(subnetEnvOf(activePlan, this.#options.options));
    }
  }

  /** Bridges and peers come and go without another outcome; peers matter to few firewalls, and are many. */
  async #followSurroundings(controller: Controller, signal: AbortSignal): Promise<void> {
    const { bridges, stated } = controller;
    const isConcerned = () => this.#dependsOnPeers.value;
    await together(
      signal,
      async until => {
        for await (const _ of bridges.changes(until)) await this.#applyFirewall(controller);
      },
      async until => {
        for await (const _ of stated.changes(until)) if (isConcerned()) await this.#applyFirewall(controller);
      },
      async until => {
        for await (const depends of this.#dependsOnPeers.changes(until)) {
          if (depends) await this.#applyFirewall(controller);
        }
      },
    );
  }

  /** A failure is told through `onState`, and the keeper goes on trying. */
  async #applyFirewall({ activePlan, bridges, peers }: Controller): Promise<void> {
    if (activePlan.value === undefined) return;
    const wanted = firewallFor(activePlan.value, this.#options.options.firewall, {
      bridges: bridges.value,
      peers: peers.underlayAddresses(),
    });
    this.#wanted = wanted;
    this.checkForwarding();
    await this.#firewall.apply(wanted).catch(() => undefined);
  }

  /**
   * Removes devices of the last run that are not wanted any more; what this run has made it removes by itself. One
   * with another MAC than we gave it is not ours, whatever its name.
   */
  async #takeOverDevices({ plan, lease }: ActivePlan): Promise<void> {
    const { rtnetlink, identity, events, logger } = this.#options;
    const former = this.#formerDevices;
    this.#formerDevices = [];
    this.#devices = plan.backend.host(lease.subnet).links.map(({ name }) => name);
    for (const name of former.filter(device => !this.#devices.includes(device))) {
      try {
        const link = await rtnetlink.links.get(name);
        if (link?.info?.kind !== 'vxlan' || !identity.mac(name).equals(link.mac)) continue;
        await rtnetlink.links.delete(link.index);
        events.add('info', 'state-repaired', `removed: the former device ${name}`, { link: name });
      } catch (error) {
        logger.warn({ link: name, error: messageOf(error) }, 'a former device could not be removed');
      }
    }
    this.#options.onDevices();
  }

  /**
   * Warns while this host does not forward packets, without which no container is reached. The kernel
   * announces a change of that; status asks again, in case it does not.
   */
  checkForwarding(): void {
    const { health, netns, options } = this.#options;
    const { blocks, tunnel } = this.#wanted;
    const links = [...(tunnel === undefined ? [] : [tunnel.link]), ...this.#devices];
    const families = blocks.map(({ network }) => network.family);
    const { masquerade } = options.firewall;
    health.warn(
      'forwarding',
      forwardingWarnings(path => readSysctl(path, netns), { families, links, masquerade }),
    );
  }
}

/** The network that a subnet file names, when it is none of ours: an overlay that goes by flannel's file too. */
function anotherNetworkOf(subnetFile: string, networks: readonly Prefix[]): string | undefined {
  const named = blocksOf(parseSubnetEnv(subnetFile).network);
  return ownerByNetwork(named, networks) === 'another' ? named.join(' and ') : undefined;
}

function subnetEnvOf({ plan, lease }: ActivePlan, options: NetworkOptions): string {
  return formatSubnetEnv({
    config: plan.config,
    subnet: lease.subnet,
    mtu: plan.backend.overlayMtu,
    masquerade: options.firewall.masquerade,
  });
}
