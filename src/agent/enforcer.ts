/**
 * Makes real what the controller has decided: the data plane, the firewall, and last the file that tells Docker
 * and CNI that there is something to use. Reports how each of them is.
 */
import type { HostIdentity } from '../backend/backend.ts';
import { together } from '../base/abort.ts';
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Family } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import type { DataPlane, DataPlaneOptions } from '../dataplane/data-plane.ts';
import { openDataPlane } from '../dataplane/open-data-plane.ts';
import { ruleChanges } from '../firewall/changes.ts';
import { Firewall } from '../firewall/firewall.ts';
import { FirewallKeeper, type FirewallState } from '../firewall/keeper.ts';
import type { DesiredFirewall } from '../firewall/rules.ts';
import { ownerByNetwork } from '../ownership/owner.ts';
import { blocksOf } from '../subnet/lease.ts';
import { formatSubnetEnv, parseSubnetEnv } from '../subnet/subnet-env.ts';
import type { Netns } from '../sys/netns.ts';
import { readSysctl, sysctlsOf } from '../sys/sysctl.ts';
import type { Controller } from './controller.ts';
import { EnforcementReport, FORWARDING } from './enforcement-report.ts';
import type { EventLog } from './event-log.ts';
import type { Health } from './health.ts';
import { KeptFile } from './kept-file.ts';
import type { AgentOptions } from './options.ts';
import { firewallFor, type Outcome } from './outcome.ts';

export interface EnforcerOptions {
  readonly options: AgentOptions;
  readonly rtnetlink: DataPlaneOptions['rtnetlink'];
  readonly netns: Netns;
  readonly health: Health;
  readonly events: EventLog;
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
  readonly subnetFile: KeptFile;
  readonly #firewall: FirewallKeeper;
  readonly #options: EnforcerOptions;
  readonly #report: EnforcementReport;
  #devices: readonly string[];
  /** Of the last run, until they were looked at. */
  #formerDevices: readonly string[];
  /** Whether a device is being made that nothing depends on yet. */
  #isPreparing: (device: string) => boolean = () => false;
  #blocks: DesiredFirewall['blocks'] = [];
  /** Of this host, now and before. */
  #networks: Outcome['networks'] = [];

  constructor(options: EnforcerOptions) {
    const { rtnetlink, netns, clock, logger } = options;
    const report = new EnforcementReport(options);
    this.#options = options;
    this.#report = report;
    this.#devices = options.formerDevices;
    this.#formerDevices = options.formerDevices;
    const { subnetFile } = options.options.lease;
    this.subnetFile = new KeptFile(subnetFile, clock, {
      onReplaced: (before, after) => report.subnetFileReplaced(subnetFile, before, after),
      ownerOf: content => anotherNetworkOf(content, this.#networks),
    });
    this.dataPlane = openDataPlane({
      rtnetlink,
      sysctls: sysctlsOf(netns),
      logger,
      clock,
      onRepair: repair => report.repair(repair),
      onRound: (result, hasNews) => {
        const { links, ...rest } = this.dataPlane.report();
        report.dataPlane(result, { ...rest, links: links.filter(({ name }) => !this.#isPreparing(name)) });
        if (hasNews) this.checkForwarding();
        options.onRound();
      },
    });
    this.#firewall = new FirewallKeeper({
      firewall: new Firewall({ log: logger }),
      log: logger,
      clock,
      changes: signal => ruleChanges(netns, signal),
      resyncInterval: options.options.firewall.resyncSeconds * 1000,
      onRepair: repaired => report.firewallRepaired(repaired),
      onState: state => report.firewall(state),
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
      until => this.subnetFile.run(until),
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
    for await (const outcome of controller.outcome.changes(signal)) {
      if (outcome === undefined) continue;
      this.#networks = outcome.networks;
      await this.#takeOverDevices(outcome);
      const wanted = firewallFor(outcome, this.#options.options.firewall);
      this.#blocks = wanted.blocks;
      this.checkForwarding();
      // A failure is told through `onState`, and the keeper goes on trying.
      await this.#firewall.apply(wanted).catch(() => undefined);
      this.subnetFile.set(subnetEnvOf(outcome, this.#options.options));
    }
  }

  /**
   * Removes devices of the last run that are not wanted any more; what this run has made it removes by itself. One
   * with another MAC than we gave it is not ours, whatever its name.
   */
  async #takeOverDevices({ plan, lease }: Outcome): Promise<void> {
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
    const families = new Set(this.#blocks.map(({ network }) => network.family));
    const isOff = (family: Family) => readSysctl(FORWARDING[family], this.#options.netns) === '0';
    this.#report.forwardingOff([...families].filter(isOff));
  }
}

/** The network that a subnet file names, when it is none of ours: an overlay that goes by flannel's file too. */
function anotherNetworkOf(subnetFile: string, networks: readonly Prefix[]): string | undefined {
  const named = blocksOf(parseSubnetEnv(subnetFile).network);
  return ownerByNetwork(named, networks) === 'another' ? named.join(' and ') : undefined;
}

function subnetEnvOf({ plan, lease }: Outcome, options: AgentOptions): string {
  return formatSubnetEnv({
    config: plan.config,
    subnet: lease.subnet,
    mtu: plan.backend.overlayMtu,
    masquerade: options.firewall.masquerade,
  });
}
