/**
 * What this host has around the overlay and Tulle does not change: the carrier of the underlay, the bridges of
 * container runtimes, and kernel parameters. Reported where it keeps containers from talking.
 */
import { ownLinks } from '../backend/handover.ts';
import { defined } from '../base/defined.ts';
import { formatProblem, type Problem } from '../base/errors.ts';
import { familiesOf } from '../base/per-family.ts';
import { IFA_F_PERMANENT } from '../netlink/route/constants.ts';
import type { Subnet } from '../subnet/lease/lease.ts';
import type { ActivePlan } from './active-plan.ts';
import { type BridgeAddress, bridgeAddresses, bridgeWarnings } from './bridges.ts';
import { capturedWarnings } from './captured.ts';
import { forwardingWarnings } from './forwarding.ts';
import type { HealthReporter, OwnedWarning } from './reports.ts';
import type { HostNetwork } from './underlay.ts';

export interface SurroundingsOptions {
  readonly health: HealthReporter;
  /** The value of a kernel parameter (src/sys/sysctl.ts). */
  readonly readSysctl: (path: string) => string | undefined;
  /** Whether the agent masquerades. */
  readonly masquerade: boolean;
}

export class Surroundings {
  readonly #options: SurroundingsOptions;
  #network: HostNetwork | undefined;
  #active: ActivePlan | undefined;
  #bridges: readonly BridgeAddress[] = [];
  /** Subnets that this host had since the agent started. */
  readonly #formerSubnets: Subnet[] = [];

  constructor(options: SurroundingsOptions) {
    this.#options = options;
  }

  /** Addresses of this host's subnet on bridges. */
  get bridges(): readonly BridgeAddress[] {
    return this.#bridges;
  }

  /** @returns whether `bridges` has changed */
  setNetwork(network: HostNetwork): boolean {
    this.#network = network;
    return this.#check();
  }

  /** The plan in use is another one. */
  setActive(active: ActivePlan): void {
    const before = this.#active?.lease;
    if (before !== undefined && before.key !== active.lease.key) this.#formerSubnets.push(before.subnet);
    this.#active = active;
    this.#check();
  }

  /** Warns while this host does not forward packets. To be called when sysctls may have changed. */
  checkForwarding(): void {
    if (this.#active === undefined) return;
    const { health, readSysctl, masquerade } = this.#options;
    const { plan, host } = this.#active;
    const families = familiesOf(plan.config);
    const links = [plan.underlay.link.name, ...host.links.map(({ name }) => name)];
    const isMixed = host.links.some(({ kind }) => kind === 'existing') && ownLinks(host).length > 0;
    const mixed = isMixed ? plan.underlay.link.name : undefined;
    const circumstances = {
      families,
      links,
      masquerade,
      ...defined({ mixed, expiring: this.#expiring() }),
    };
    health.warn('forwarding', forwardingWarnings(readSysctl, circumstances));
  }

  /** Name of the underlay link, if its IPv6 address is one with an end. */
  #expiring(): string | undefined {
    const { link, ip } = this.#active?.plan.underlay ?? {};
    const own = this.#network?.addresses.find(address => address.ip.equals(ip?.ipv6));
    return own === undefined || own.flags & IFA_F_PERMANENT ? undefined : link?.name;
  }

  #check(): boolean {
    const { health } = this.#options;
    const network = this.#network;
    const active = this.#active;
    if (active === undefined || network === undefined) return false;
    const { plan } = active;
    const link = network.links.find(({ index }) => index === plan.underlay.link.index);
    const isCut = link?.up === true && !link.running;
    health.warn('bridge', bridgeWarnings(network, { ...active, former: this.#formerSubnets }));
    health.warn('left-out', plan.backend.leftOut.map(leftOut));
    health.warn('reduced', plan.backend.reduced.map(reduced));
    health.warn('captured', capturedWarnings(network, active));
    health.warn('carrier', isCut ? [noCarrier(link.name)] : []);
    const bridges = bridgeAddresses(network, active);
    const isChanged = JSON.stringify(bridges) !== JSON.stringify(this.#bridges);
    this.#bridges = bridges;
    return isChanged;
  }
}

function leftOut(problem: Problem): OwnedWarning {
  return {
    id: problem.path,
    code: 'FAMILY_LEFT_OUT',
    severity: 'error',
    title: 'one family of the network cannot be carried by the underlay',
    text: `${formatProblem(problem)}: containers of this host do not reach others with it`,
    hint: 'raise the MTU of the underlay; the other family keeps working',
  };
}

function reduced(problem: Problem): OwnedWarning {
  return {
    id: problem.path,
    code: 'MTU_REDUCED',
    severity: 'warning',
    title: 'the underlay cannot carry the MTU of the configuration',
    text: `${formatProblem(problem)}: the tunnel of this host has the MTU that fits`,
    hint: 'raise the MTU of the underlay, or lower Backend.MTU for all hosts with `tulle config set`',
  };
}

function noCarrier(name: string): OwnedWarning {
  return {
    id: name,
    code: 'NO_CARRIER',
    severity: 'error',
    explains: 'store',
    title: 'the underlay interface has no carrier',
    text: `${name} is up but has no carrier: no packet leaves this host for its peers`,
    hint: 'look at the cable, the switch port, or the other end of a virtual link',
  };
}
