/**
 * One link of this host over time: where it is, which events concern it, and how it is made what it should be.
 *
 * The order makes a device useful only when it is complete: it is made, its sysctls are set, it gets its address,
 * then it is set up.
 */
import type { InterfaceAddress, Prefix } from '../../base/prefix.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { DesiredAddress, DesiredSysctl } from '../desired.ts';
import { type DesiredLink, NO_MASTER, type OwnLink } from '../desired-link.ts';
import { type LinkFacts, type ObjectType, type Repair, type RepairCause, repairOf } from '../report.ts';
import { addressText, ensureAddresses, hasFamily, superfluous } from './addresses.ts';
import { factsOf, textOf } from './facts.ts';
import { compareLink, ensureLink, LinkError } from './link.ts';
import { portDifferences } from './port.ts';
import type { Sysctls } from './sysctls.ts';

export interface LinkEnvironment {
  readonly rtnetlink: Rtnetlink;
  readonly sysctls: Sysctls;
  readonly onRepair: (repair: Repair) => void;
  /** Resolves when everything the kernel announced before the last acknowledgement has been recorded. */
  readonly caughtUp: () => Promise<void>;
  /** Does one thing; notes a refusal and goes on. */
  readonly attempt: (link: string, what: string, work: () => Promise<void>) => Promise<void>;
  /** Another one that is desired. */
  readonly ownLink: (name: string) => Pick<HostLink, 'index'> | undefined;
}

/** What is wanted of a device. */
export interface LinkSpec {
  /** The first of the networks that want it; undefined when none does any more, and it is used until nothing is left on it. */
  readonly network: string | undefined;
  readonly link: DesiredLink;
  readonly addresses: readonly DesiredAddress[];
  readonly sysctls: readonly DesiredSysctl[];
  /** Of this host in the network, now and before. */
  readonly networks: readonly Prefix[];
}

interface Binding {
  /** Absent while the device cannot be made. */
  readonly index?: number;
  /** What was wanted of it when it was made so, as text. */
  readonly spec: string;
  /** Whether it kept what it was given; a link of our own always does. */
  readonly isFit?: boolean;
  /** Addresses of the device when it was last looked at. */
  readonly addresses: ReadonlySet<string>;
}

export class HostLink {
  readonly #environment: LinkEnvironment;
  #spec: LinkSpec;
  #binding: Binding | undefined;
  /** The kernel's latest event of the device and of each address, to be processed when its socket is read empty. */
  readonly #pending = new Map<string, KernelEvent>();
  /** The kernel may have dropped entries without saying which: the link was down. */
  #flapped = false;
  /** The same, because the link may have lost its last address: the routes go with it (net/ipv4, fib_disable_ip). */
  #lostAddress = false;
  #entriesLost = false;
  /** Where the link is that was seen last. The event comes after others of its removal, so perhaps only after it was missed. */
  #movedTo: Link['movedTo'];
  /** Index of the device when it was looked at last: it is not in place yet while its addresses are seen to. */
  #seen: number | undefined;
  /** Index of the bridge it is a port of, 0 for none; undefined when that is not ours to say. */
  #master: number | undefined;
  #refusal: LinkError | undefined;
  #actual: LinkFacts | undefined;

  constructor(spec: LinkSpec, environment: LinkEnvironment) {
    this.#spec = spec;
    this.#environment = environment;
  }

  set(spec: LinkSpec): void {
    this.#spec = spec;
  }

  get desired(): DesiredLink {
    return this.#spec.link;
  }

  get name(): string {
    return this.#spec.link.name;
  }

  /** undefined while the device is not in place. */
  get index(): number | undefined {
    return this.#binding?.index;
  }

  /** What the kernel had under the name when it was looked at last; undefined when it had nothing. */
  get actual(): LinkFacts | undefined {
    return this.#actual;
  }

  /** Whether the kernel may have dropped entries of the device before or while it was looked at last. */
  get entriesLost(): boolean {
    return this.#entriesLost;
  }

  /** Index of the device when it was looked at last, and ours. */
  get seen(): number | undefined {
    return this.#seen;
  }

  /** Why the device cannot be made, or is not ours to have. */
  get refusal(): LinkError | undefined {
    return this.#refusal;
  }

  /** Takes an event. True when it is about this device. */
  observe(event: KernelEvent): boolean {
    if (event.type === 'link') {
      const { name, index, movedTo } = event.link;
      const isBound = this.index === index;
      const wasSeen = this.#seen === index;
      if (!isBound && !wasSeen && name !== this.name) return false;
      // It may be back before it is read, and has lost its entries all the same.
      if (isBound && (event.gone || this.#losesEntries(event.link))) this.#flapped = true;
      if (wasSeen && event.gone) this.#movedTo = movedTo;
      this.#pending.set('link', event);
      return true;
    }
    if (event.type === 'port') {
      if (event.index !== this.index && event.index !== this.#seen) return false;
      this.#pending.set('port', event);
      return true;
    }
    if (event.type !== 'address') return false;
    const { index } = event.address;
    if (index !== this.index && index !== this.#seen) return false;
    const wanted = this.#spec.addresses.map(({ address }) => address);
    const mayBeLast = event.gone && !hasFamily(wanted, event.address);
    if (this.desired.kind === 'existing' || mayBeLast) this.#lostAddress = true;
    if (this.desired.kind !== 'existing') this.#pending.set(`address ${addressText(event.address)}`, event);
    return true;
  }

  /** Compares the pending events with what is known. True when the device is to be looked at. */
  processPending(): boolean {
    const isContradicted = [...this.#pending.values()].some(event => this.#contradicts(event));
    this.#pending.clear();
    return isContradicted || this.#flapped || this.#lostAddress;
  }

  /** Makes it so. @throws NetlinkError, LinkError, SysError */
  async ensure(): Promise<void> {
    this.#refusal = undefined;
    try {
      await this.#ensure();
    } catch (error) {
      if (error instanceof LinkError) this.#refusal = error;
      throw error;
    }
  }

  async #ensure(): Promise<void> {
    const { rtnetlink, sysctls, caughtUp, attempt } = this.#environment;
    const { link: desired, networks, sysctls: settings } = this.#spec;
    const addresses = this.#spec.addresses.map(({ address }) => address);
    const { name } = desired;
    const flapped = this.#flapped;
    this.#entriesLost = flapped || this.#lostAddress;
    this.#flapped = false;
    this.#lostAddress = false;
    const before = this.#binding;
    const spec = JSON.stringify(this.#spec);
    const cause = causeOf(before, spec);
    const found = await rtnetlink.links.get(name);
    this.#actual = found && factsOf(found);
    // It is gone, whatever becomes of the attempt to make it anew.
    if (before !== undefined && before.index !== found?.index) {
      this.#binding = { spec: before.spec, addresses: new Set() };
    }
    if (desired.kind === 'existing') {
      this.#useExisting(found, before, spec);
      return;
    }
    this.#master = await this.#masterOf(desired);
    const context = { index: this.#seen, movedTo: this.#movedTo, networks, master: this.#master };
    const device = await ensureLink(rtnetlink, desired, found, context);
    this.#movedTo = undefined;
    this.#seen = device.index;
    if (before?.index !== device.index || device.flushed) this.#entriesLost = true;
    // A device that was not there at the start is new rather than lost.
    if (device.found !== undefined || (device.outcome === 'created' && before !== undefined)) {
      this.#repaired(cause, 'link', device.found, textOf(desired));
    }
    // What a new device lacks was lost with the old one, which is reported already.
    const causeWithin = device.outcome === 'created' ? undefined : cause;
    for (const sysctl of settings) {
      await attempt(name, `sysctl ${sysctl.path}`, async () => {
        const repair = sysctls.ensure(sysctl);
        if (repair !== undefined && causeWithin === 'drift') {
          this.#repaired(causeWithin, 'sysctl', repair.found, repair.wanted);
        }
      });
    }
    const haveChanged = await ensureAddresses(addresses, {
      addresses: rtnetlink.addresses,
      index: device.index,
      attempt: (address, work) => attempt(name, this.#textOf(address), work),
      onAdded: address => {
        if (causeWithin === 'drift') this.#repaired(causeWithin, 'address', undefined, this.#textOf(address));
      },
      onRemoved: address => this.#repaired(causeWithin, 'address', this.#textOf(address), undefined),
    });
    if (haveChanged) this.#entriesLost = true;
    if (!device.up) {
      await rtnetlink.links.change(name, { up: true });
      this.#entriesLost = true;
      this.#repaired(causeWithin, 'link', 'down', textOf(desired));
    } else if (flapped && device.found === undefined) {
      this.#repaired(causeWithin, 'link', 'down for a moment', textOf(desired));
    }
    const kept = await rtnetlink.addresses.list({ index: device.index });
    const link = device.outcome === 'kept' ? found : await rtnetlink.links.get(name);
    this.#actual = link && { ...factsOf(link), addresses: kept.map(addressText) };
    // The events that say the new device was down come before it counts as ours.
    await caughtUp();
    // The end of one that was made anew for another spec is of our doing, and its tables are read in any case.
    if (device.outcome === 'created') this.#flapped = false;
    // What others did while we looked must not be taken for what is to be there.
    const unwanted = superfluous(addresses, kept);
    const expected = [...kept.filter(address => !unwanted.includes(address)), ...addresses];
    this.#binding = { index: device.index, spec, addresses: new Set(expected.map(addressText)) };
  }

  /**
   * Without a carrier next hops and their routes are gone, unannounced (net/ipv4/nexthop.c). Links of ours have one, or none of them.
   */
  #losesEntries({ up, running }: Link): boolean {
    return !up || (this.desired.kind === 'existing' && !running);
  }

  /** A link of the host is only looked at. @throws LinkError */
  #useExisting(found: Link | undefined, before: Binding | undefined, spec: string): void {
    if (found === undefined) throw new LinkError('LINK_MISSING', `this host has no link ${this.name}`);
    const { index } = found;
    const isFit = !this.#losesEntries(found);
    if (before?.index !== index || before.isFit !== isFit) this.#entriesLost = true;
    this.#seen = index;
    this.#binding = { index, isFit, spec, addresses: new Set() };
  }

  async #masterOf({ master }: OwnLink): Promise<number | undefined> {
    if (master === undefined) return undefined;
    if (master === NO_MASTER) return 0;
    const { rtnetlink, ownLink } = this.#environment;
    const own = ownLink(master);
    // One of another's that has the name of ours is not to get a port.
    if (own !== undefined && own.index === undefined)
      throw new LinkError('LINK_MISSING', `the bridge ${master} that it is to be a port of is not in place`);
    const link = await rtnetlink.links.get(own?.index ?? master);
    if (link !== undefined) return link.index;
    throw new LinkError('LINK_MISSING', `there is no bridge ${master} for it to be a port of`);
  }

  #textOf(address: InterfaceAddress): string {
    return `address ${addressText(address)} dev ${this.name}`;
  }

  #contradicts(event: KernelEvent): boolean {
    if (event.type === 'link') {
      const isOurs = this.index === event.link.index;
      if (event.gone) return isOurs || this.#movedTo !== undefined;
      if (!isOurs || event.link.name !== this.name) return true;
      const { desired } = this;
      if (desired.kind === 'existing') return this.#losesEntries(event.link) === this.#binding?.isFit;
      return !event.link.up || compareLink(desired, event.link, this.#master).outcome !== 'same';
    }
    if (event.type === 'port') {
      const { desired } = this;
      return !event.gone && desired.kind !== 'existing' && portDifferences(desired, event.port).length > 0;
    }
    if (event.type !== 'address') return false;
    return this.#binding?.addresses.has(addressText(event.address)) === event.gone;
  }

  #repaired(
    cause: RepairCause | undefined,
    object: ObjectType,
    found: string | undefined,
    wanted: string | undefined,
  ): void {
    if (cause === undefined) return;
    const { network } = this.#spec;
    this.#environment.onRepair(repairOf({ cause, object, network, link: this.name, found, wanted }));
  }
}

/** undefined when the spec itself has changed: then a difference is of our making. */
function causeOf(before: Binding | undefined, spec: string): RepairCause | undefined {
  if (before === undefined) return 'start';
  return before.spec === spec ? 'drift' : undefined;
}
