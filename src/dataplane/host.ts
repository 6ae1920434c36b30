/**
 * This host's half of the wanted world: devices, their addresses, sysctls. They are few, so they are not kept in
 * tables: whenever something may be wrong with them they are read and repaired one by one, each on its own.
 *
 * The order makes a device useful only when it is complete: it is made, its sysctls are set, it gets its address,
 * then it is set up.
 */
import type { Clock } from '../base/clock.ts';
import { isCode, messageOf } from '../base/errors.ts';
import { NETCONFA_IFINDEX_ALL } from '../netlink/constants.ts';
import type { Link } from '../netlink/objects.ts';
import type { KernelEvent, Rtnetlink } from '../netlink/rtnetlink.ts';
import { addressText, ensureAddress } from './addresses.ts';
import type { SysctlFiles } from './data-plane.ts';
import type { DesiredHost, DesiredLink } from './desired.ts';
import { compareVxlan, ensureVxlan } from './links.ts';
import { type LinkReport, type ObjectType, type Repair, type RepairCause, repairOf } from './report.ts';
import { Retries } from './retries.ts';
import { Sysctls } from './sysctls.ts';

export interface HostEnvironment {
  readonly rtnetlink: Rtnetlink;
  readonly sysctls: SysctlFiles;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onRepair: (repair: Repair) => void;
  /** Resolves when everything the kernel announced before the last acknowledgement has been noted. */
  readonly heard: () => Promise<void>;
  /** Something may have changed of which `note` was not told. */
  readonly onSuspicion: () => void;
}

/** A device that is in place. */
export interface BoundLink {
  readonly name: string;
  readonly index: number;
  /** Something happened to it by which the kernel drops entries without saying which. */
  readonly shaken: boolean;
}

interface Binding {
  /** Absent while the device cannot be made. */
  readonly index?: number;
  /** What was wanted of it when it was made so, as text. */
  readonly wish: string;
  /** Addresses of the device when it was last looked at. */
  readonly addresses: ReadonlySet<string>;
}

const NOTHING: DesiredHost = { links: [], addresses: [], sysctls: [] };

export class Host implements Disposable {
  readonly #environment: HostEnvironment;
  #desired: DesiredHost = NOTHING;
  /** Names of devices that were wanted and are no more. */
  readonly #retired = new Set<string>();
  readonly #bindings = new Map<string, Binding>();
  readonly #retries: Retries;
  readonly #sysctls: Sysctls;
  /** The kernel's last word about each device and address, to be weighed when its socket is read empty. */
  readonly #notes = new Map<string, KernelEvent>();
  readonly #shaken = new Set<string>();
  /** Somebody may have written to a sysctl. */
  #sysctlsDoubted = false;
  #dirty = false;

  constructor(environment: HostEnvironment) {
    this.#environment = environment;
    this.#retries = new Retries(environment.clock, environment.random);
    this.#sysctls = new Sysctls(environment.sysctls, () => {
      this.#sysctlsDoubted = true;
      environment.onSuspicion();
    });
  }

  /** True when it differs from what was stated before. */
  set(desired: DesiredHost): boolean {
    // The values print themselves as JSON; comparing the text compares everything.
    if (JSON.stringify(desired) === JSON.stringify(this.#desired)) return false;
    for (const { name } of this.#desired.links) this.#retired.add(name);
    for (const { name } of desired.links) this.#retired.delete(name);
    this.#desired = desired;
    this.#sysctls.set(desired.sysctls);
    this.#retries.clear();
    this.#dirty = true;
    return true;
  }

  get links(): readonly DesiredLink[] {
    return this.#desired.links;
  }

  get wanted(): number {
    const { links, addresses } = this.#desired;
    return links.length + addresses.length + this.#sysctls.size;
  }

  get failed(): number {
    return this.#retries.size;
  }

  get nextRetry(): number | undefined {
    return this.#retries.next;
  }

  get inSync(): boolean {
    return !this.#dirty && this.#retries.size === 0 && this.#retired.size === 0;
  }

  *failures(): Generator<string> {
    for (const [what, reason] of this.#retries.reasons()) yield `${what}: ${reason}`;
  }

  report(): LinkReport[] {
    return this.#desired.links.map(({ name, kind }) => {
      const index = this.#bindings.get(name)?.index;
      const reason = this.#retries.reason(`link ${name}`);
      return {
        name,
        kind,
        inSync: index !== undefined && reason === undefined,
        ...(index === undefined ? {} : { index }),
        ...(reason === undefined ? {} : { reason }),
      };
    });
  }

  /** Everything is to be read again. */
  doubt(): void {
    this.#dirty = true;
  }

  /** Notes an announcement about a link, an address or a setting. True when it may concern us. */
  note(event: KernelEvent): boolean {
    if (event.type === 'link' && this.#concerns(event.link)) {
      const { name, index, up } = event.link;
      // It may be up again before anybody looks, and has lost its entries all the same.
      if (this.#bindings.get(name)?.index === index && (event.gone || !up)) this.#shaken.add(name);
      this.#notes.set(`link ${name}`, event);
      return true;
    }
    if (event.type === 'address' && this.#bindingOf(event.address.index) !== undefined) {
      this.#notes.set(`address ${event.address.index} ${addressText(event.address)}`, event);
      return true;
    }
    if (event.type === 'netconf' && this.#isGoverned(event.netconf.index)) {
      this.#sysctlsDoubted = true;
      return true;
    }
    return false;
  }

  /** Weighs the notes. The notification socket must have been read empty after the last acknowledgement. */
  believe(): void {
    const contradicted = [...this.#notes.values()].some(event => this.#contradicts(event));
    const sysctlsDiffer =
      this.#sysctlsDoubted && this.#bound().some(({ name }) => this.#sysctls.differ(name));
    if (contradicted || sysctlsDiffer || this.#shaken.size > 0) this.#dirty = true;
    this.#sysctlsDoubted = false;
    this.#notes.clear();
  }

  /** Whether `ensure` has something to do now. */
  isDue(): boolean {
    const retry = this.#retries.next;
    return this.#dirty || (retry !== undefined && retry <= this.#environment.clock.monotonic());
  }

  /** Reads and repairs. Returns the devices that are in place; the others are in `failures`. */
  async ensure(): Promise<BoundLink[]> {
    this.#dirty = false;
    const shaken = new Set(this.#shaken);
    this.#shaken.clear();
    for (const name of this.#retired) {
      await this.#attempt(`link ${name}`, async () => {
        await ignoringGone(this.#environment.rtnetlink.links.delete(name));
        this.#retired.delete(name);
        this.#bindings.delete(name);
      });
    }
    for (const link of this.#desired.links) {
      await this.#attempt(`link ${link.name}`, () => this.#ensureLink(link, shaken));
    }
    return this.#bound().map(({ name, index }) => ({ name, index, shaken: shaken.has(name) }));
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    this.#sysctls[Symbol.dispose]();
  }

  #bound(): { readonly name: string; readonly index: number }[] {
    return Array.from(this.#bindings).flatMap(([name, { index }]) =>
      index === undefined ? [] : [{ name, index }],
    );
  }

  async #ensureLink(desired: DesiredLink, shaken: Set<string>): Promise<void> {
    const { rtnetlink } = this.#environment;
    const { name } = desired;
    const before = this.#bindings.get(name);
    const flapped = shaken.has(name);
    const wish = this.#wishFor(desired);
    const cause = causeOf(before, wish);
    const found = await rtnetlink.links.get(name);
    // It is gone, whatever becomes of the attempt to make it anew.
    if (before !== undefined && before.index !== found?.index) {
      this.#bindings.set(name, { wish: before.wish, addresses: new Set() });
    }
    const device = await ensureVxlan(rtnetlink.links, desired, found);
    if (before?.index !== device.index || device.flushed) shaken.add(name);
    // A device that was not there at the start is new rather than lost.
    if (device.found !== undefined || (device.outcome === 'created' && before !== undefined)) {
      this.#repaired(cause, 'link', name, device.found, textOf(desired));
    }
    // What a new device lacks was lost with the old one, of which is told already.
    const causeWithin = device.outcome === 'created' ? undefined : cause;
    for (const sysctl of this.#sysctls.of(name)) {
      await this.#attempt(`sysctl ${sysctl.path}`, async () => {
        const repair = this.#sysctls.ensure(sysctl);
        if (repair !== undefined && causeWithin === 'drift') {
          this.#repaired(causeWithin, 'sysctl', name, repair.found, repair.wanted);
        }
      });
    }
    const present = await rtnetlink.addresses.list({ index: device.index });
    for (const wanted of this.#desired.addresses.filter(({ link }) => link === name)) {
      const text = `address ${addressText(wanted.address)} dev ${name}`;
      await this.#attempt(text, async () => {
        const repairs = await ensureAddress(rtnetlink.addresses, wanted, device.index, present);
        // The kernel may have dropped entries with it.
        if (repairs.isRestored) shaken.add(name);
        if (repairs.isRestored && causeWithin === 'drift') {
          this.#repaired(causeWithin, 'address', name, undefined, text);
        }
        for (const other of repairs.removed) {
          const found = `address ${addressText(other)} dev ${name}`;
          this.#repaired(causeWithin, 'address', name, found, undefined);
        }
      });
    }
    if (!device.up) {
      await rtnetlink.links.change(name, { up: true });
      shaken.add(name);
      this.#repaired(causeWithin, 'link', name, 'down', textOf(desired));
    } else if (flapped) {
      this.#repaired(causeWithin, 'link', name, 'down for a moment', textOf(desired));
    }
    const addresses = await rtnetlink.addresses.list({ index: device.index });
    // That a new device was down at first is heard now, before it counts as ours.
    await this.#environment.heard();
    // The end of one that was made anew for another wish is of our doing, and its tables are read in any case.
    if (device.outcome === 'created') this.#shaken.delete(name);
    this.#bindings.set(name, { index: device.index, wish, addresses: new Set(addresses.map(addressText)) });
  }

  #wishFor(wanted: DesiredLink): string {
    const { addresses, sysctls } = this.#desired;
    const isItsOwn = ({ link }: { readonly link: string }) => link === wanted.name;
    return JSON.stringify([wanted, addresses.filter(isItsOwn), sysctls.filter(isItsOwn)]);
  }

  /** Notes a refusal and goes on. */
  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#retries.succeeded(what);
    } catch (error) {
      this.#retries.failed(what, messageOf(error));
    }
  }

  #concerns(link: Link): boolean {
    return this.#desired.links.some(
      ({ name, underlayIndex }) =>
        name === link.name ||
        this.#bindings.get(name)?.index === link.index ||
        (underlayIndex === link.index && this.#retries.size > 0),
    );
  }

  #contradicts(event: KernelEvent): boolean {
    if (event.type === 'link') {
      const desired = this.#desired.links.find(({ name }) => name === event.link.name);
      // The underlay's news matter only to a device that could not be made.
      if (desired === undefined) return true;
      const binding = this.#bindings.get(desired.name);
      const isOurs = binding?.index === event.link.index;
      if (event.gone) return isOurs;
      return !isOurs || !event.link.up || compareVxlan(desired, event.link).outcome !== 'same';
    }
    if (event.type !== 'address') return false;
    const binding = this.#bindingOf(event.address.index);
    return binding !== undefined && binding.addresses.has(addressText(event.address)) === event.gone;
  }

  /** Whether settings of this link are those of one of ours; -1 stands for all links. */
  #isGoverned(index: number): boolean {
    return index === NETCONFA_IFINDEX_ALL || this.#bindingOf(index) !== undefined;
  }

  #bindingOf(index: number): Binding | undefined {
    for (const binding of this.#bindings.values()) if (binding.index === index) return binding;
    return undefined;
  }

  #repaired(
    cause: RepairCause | undefined,
    object: ObjectType,
    link: string,
    found: string | undefined,
    wanted: string | undefined,
  ): void {
    if (cause !== undefined) this.#environment.onRepair(repairOf({ cause, object, link, found, wanted }));
  }
}

/** undefined when the wish itself has changed: then a difference is of our making. */
function causeOf(before: Binding | undefined, wish: string): RepairCause | undefined {
  if (before === undefined) return 'start';
  return before.wish === wish ? 'drift' : undefined;
}

const textOf = ({ name, vni, mac, mtu }: DesiredLink): string =>
  `link ${name} vxlan id ${vni} address ${mac} mtu ${mtu}`;

async function ignoringGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, 'ENODEV', 'EADDRNOTAVAIL', 'ENOENT')) throw error;
  }
}
