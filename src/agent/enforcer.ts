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
import type { DataPlane, DataPlaneOptions } from '../dataplane/data-plane.ts';
import { openDataPlane } from '../dataplane/open-data-plane.ts';
import type { ApplyResult, Repair } from '../dataplane/report.ts';
import { ruleChanges } from '../firewall/changes.ts';
import { Firewall } from '../firewall/firewall.ts';
import { FirewallKeeper, type FirewallState } from '../firewall/keeper.ts';
import type { DesiredFirewall } from '../firewall/rules.ts';
import { formatSubnetEnv } from '../subnet/subnet-env.ts';
import type { Netns } from '../sys/netns.ts';
import { readSysctl, sysctlsOf } from '../sys/sysctl.ts';
import { type Controller, firewallFor, type Outcome } from './controller.ts';
import type { EventLog } from './event-log.ts';
import type { Health } from './health.ts';
import { KeptFile } from './kept-file.ts';
import type { AgentOptions } from './options.ts';

/** Below /proc/sys. */
const FORWARDING = {
  ipv4: 'net/ipv4/ip_forward',
  ipv6: 'net/ipv6/conf/all/forwarding',
} as const satisfies Record<Family, string>;

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
  #devices: readonly string[];
  /** Of the last run, until they were looked at. */
  #formerDevices: readonly string[];
  /** Whether a device is being made that nothing depends on yet. */
  #isPreparing: (device: string) => boolean = () => false;
  #firewallRepairs = 0;
  #blocks: DesiredFirewall['blocks'] = [];

  constructor(options: EnforcerOptions) {
    const { rtnetlink, netns, clock, logger } = options;
    this.#options = options;
    this.#devices = options.formerDevices;
    this.#formerDevices = options.formerDevices;
    this.subnetFile = new KeptFile(options.options.lease.subnetFile, clock);
    this.dataPlane = openDataPlane({
      rtnetlink,
      sysctls: sysctlsOf(netns),
      logger,
      clock,
      onRepair: repair => this.#tellRepair(repair),
      onRound: result => {
        this.#reportDataPlane(result);
        this.checkForwarding();
        options.onRound();
      },
    });
    this.#firewall = new FirewallKeeper({
      firewall: new Firewall({ log: logger }),
      log: logger,
      clock,
      changes: signal => ruleChanges(netns, signal),
      resyncInterval: options.options.firewall.resyncSeconds * 1000,
      onRepair: repaired => {
        this.#firewallRepairs += repaired.length;
        for (const what of repaired) {
          this.#options.events.add('warning', 'drift-repaired', `firewall: ${what}`, { object: 'firewall' });
        }
      },
      onState: state => this.#reportFirewall(state),
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
    const firewall = this.#firewallRepairs;
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
      until => this.#reportSubnetFile(until),
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
        const reason = `the kernel could not be talked to: ${messageOf(error)}`;
        this.#options.health.report('dataplane', { code: 'KERNEL_UNREACHABLE', reason });
        await this.#options.clock.sleep(delay, signal).catch(() => undefined);
      }
    }
  }

  async #followOutcome(controller: Controller, signal: AbortSignal): Promise<void> {
    for await (const outcome of controller.outcome.changes(signal)) {
      if (outcome === undefined) continue;
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

  #reportFirewall({ ok, lastError, obstacles }: FirewallState): void {
    const { health } = this.#options;
    const reason = lastError ?? 'the rules are not as they should be';
    health.report('firewall', ok ? undefined : { code: 'FIREWALL_FAILED', reason });
    health.warn(
      'firewall',
      obstacles.map(text => ({
        id: text,
        code: 'FIREWALL_OBSTACLE',
        severity: 'warning',
        title: 'a rule of somebody else stops traffic of the overlay',
        text,
      })),
    );
  }

  async #reportSubnetFile(signal: AbortSignal): Promise<void> {
    const { health } = this.#options;
    for await (const { ok, lastError } of this.subnetFile.state.changes(signal)) {
      if (ok) health.report('subnet-file');
      else if (lastError !== undefined) {
        health.report('subnet-file', {
          code: 'SUBNET_FILE_NOT_WRITTEN',
          reason: `${this.subnetFile.path} could not be written: ${lastError}`,
        });
      }
    }
  }

  /**
   * Warns while this host does not forward packets, without which no container is reached. A change of that leads to
   * a round of the data plane, and every round here.
   */
  checkForwarding(): void {
    const { health, netns } = this.#options;
    const families = new Set(this.#blocks.map(({ network }) => network.family));
    const off = [...families].filter(family => readSysctl(FORWARDING[family], netns) === '0');
    health.warn(
      'forwarding',
      off.map(family => ({
        id: family,
        code: 'FORWARDING_OFF',
        severity: 'warning',
        title: `this host does not forward ${family === 'ipv4' ? 'IPv4' : 'IPv6'} packets`,
        text: 'containers of this host cannot be reached by others, nor reach them',
        hint: `sysctl -w ${FORWARDING[family].replaceAll('/', '.')}=1; dockerd does it when it starts`,
      })),
    );
  }

  #reportDataPlane({ inSync, failures }: ApplyResult): void {
    const { health } = this.#options;
    const { links, failed } = this.dataPlane.report();
    const broken = links.find(({ name, inSync }) => !inSync && !this.#isPreparing(name));
    health.report(
      'dataplane',
      broken === undefined
        ? undefined
        : { code: 'DEVICE_FAILED', reason: `${broken.name}: ${broken.reason ?? 'is not as it should be'}` },
    );
    const isPartial = !inSync && broken === undefined && failed > 0;
    health.warn(
      'dataplane',
      isPartial
        ? [
            {
              id: 'failed',
              code: 'ENTRIES_FAILED',
              severity: 'warning',
              title: 'some peers cannot be reached',
              text: `${failed} kernel entries are missing: ${failures[0] ?? 'they are tried again'}`,
            },
          ]
        : [],
    );
  }

  #tellRepair(repair: Repair): void {
    const { cause, object, action, link, peer, found, wanted } = repair;
    const severity = cause === 'drift' ? 'warning' : 'info';
    const what = wanted ?? found ?? object;
    this.#options.events.add(
      severity,
      `${cause === 'drift' ? 'drift' : 'state'}-repaired`,
      `${action}: ${what}`,
      {
        cause,
        object,
        action,
        link,
        ...(peer === undefined ? {} : { peer }),
        ...(found === undefined ? {} : { found }),
        ...(wanted === undefined ? {} : { wanted }),
      },
    );
  }
}

function subnetEnvOf({ plan, lease }: Outcome, options: AgentOptions): string {
  return formatSubnetEnv({
    config: plan.config,
    subnet: lease.subnet,
    mtu: plan.backend.overlayMtu,
    masquerade: options.firewall.masquerade,
  });
}
