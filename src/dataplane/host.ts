/**
 * This host's half of the wanted world: devices, their addresses, sysctls. They are few, so they are not kept in
 * tables: whenever something may be wrong with them they are read and repaired one by one, each on its own.
 *
 * The order makes a device useful only when it is complete: it is made, its sysctls are set, it gets its address,
 * then it is set up. An address is added before stale ones go, because the kernel flushes the neighbors of a device
 * that loses its last one.
 */
import type { Clock } from '../base/clock.ts';
import { isCode, messageOf } from '../base/errors.ts';
import type { InterfaceAddress } from '../base/prefix.ts';
import { IFA_F_NODAD } from '../netlink/constants.ts';
import type { Address, Link } from '../netlink/objects.ts';
import type { KernelEvent, Rtnetlink } from '../netlink/rtnetlink.ts';
import type { SysctlFiles } from './data-plane.ts';
import type { DesiredAddress, DesiredHost, DesiredLink, DesiredSysctl } from './desired.ts';
import { compareVxlan, ensureVxlan } from './links.ts';
import type { LinkReport, ObjectType, Repair, RepairCause } from './report.ts';
import { Retries } from './retries.ts';

export interface HostEnvironment {
  readonly rtnetlink: Rtnetlink;
  readonly sysctls: SysctlFiles;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onRepair: (repair: Repair) => void;
  /** Resolves when everything the kernel announced before the last acknowledgement has been noted. */
  readonly heard: () => Promise<void>;
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

export class Host {
  readonly #environment: HostEnvironment;
  #desired: DesiredHost = NOTHING;
  /** Names of devices that were wanted and are no more. */
  readonly #retired = new Set<string>();
  readonly #bindings = new Map<string, Binding>();
  readonly #retries: Retries;
  /** The kernel's last word about each device and address, to be weighed when its socket is read empty. */
  readonly #notes = new Map<string, KernelEvent>();
  readonly #shaken = new Set<string>();
  #dirty = false;

  constructor(environment: HostEnvironment) {
    this.#environment = environment;
    this.#retries = new Retries(environment.clock, environment.random);
  }

  /** True when it differs from what was stated before. */
  set(desired: DesiredHost): boolean {
    // The values print themselves as JSON; comparing the text compares everything.
    if (JSON.stringify(desired) === JSON.stringify(this.#desired)) return false;
    for (const { name } of this.#desired.links) this.#retired.add(name);
    for (const { name } of desired.links) this.#retired.delete(name);
    this.#desired = desired;
    this.#retries.clear();
    this.#dirty = true;
    return true;
  }

  get links(): readonly DesiredLink[] {
    return this.#desired.links;
  }

  get wanted(): number {
    const { links, addresses, sysctls } = this.#desired;
    return links.length + addresses.length + sysctls.length;
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

  /** Notes an announcement about a link or an address. True when it may concern us. */
  note(event: KernelEvent): boolean {
    if (event.type === 'link' && this.#concerns(event.link)) {
      const { name, index, up } = event.link;
      // It may be up again before anybody looks, and has lost its entries all the same.
      if (this.#bindings.get(name)?.index === index && (event.gone || !up)) this.#shaken.add(name);
      this.#notes.set(`link ${name}`, event);
      return true;
    }
    if (event.type === 'address' && this.#bindingOf(event.address.index) !== undefined) {
      this.#notes.set(`address ${event.address.index} ${show(event.address)}`, event);
      return true;
    }
    return false;
  }

  /** Weighs the notes. The notification socket must have been read empty after the last acknowledgement. */
  believe(): void {
    const contradicted = [...this.#notes.values()].some(event => this.#contradicts(event));
    if (contradicted || this.#shaken.size > 0) this.#dirty = true;
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
    return Array.from(this.#bindings).flatMap(([name, { index }]) =>
      index === undefined ? [] : [{ name, index, shaken: shaken.has(name) }],
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
    for (const sysctl of this.#desired.sysctls.filter(({ link }) => link === name)) {
      await this.#attempt(`sysctl ${sysctl.path}`, async () => this.#ensureSysctl(sysctl, causeWithin));
    }
    const present = await rtnetlink.addresses.list({ index: device.index });
    for (const wanted of this.#desired.addresses.filter(({ link }) => link === name)) {
      await this.#attempt(`address ${show(wanted.address)} dev ${name}`, async () => {
        if (await this.#ensureAddress(wanted, device.index, present, causeWithin)) shaken.add(name);
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
    this.#bindings.set(name, { index: device.index, wish, addresses: new Set(addresses.map(show)) });
  }

  #wishFor(wanted: DesiredLink): string {
    const { addresses, sysctls } = this.#desired;
    const isItsOwn = ({ link }: { readonly link: string }) => link === wanted.name;
    return JSON.stringify([wanted, addresses.filter(isItsOwn), sysctls.filter(isItsOwn)]);
  }

  /** True when it was missing: then the kernel may have dropped entries with it. */
  async #ensureAddress(
    { link, address, ownedWithin }: DesiredAddress,
    index: number,
    found: readonly Address[],
    cause: RepairCause | undefined,
  ): Promise<boolean> {
    const { addresses } = this.#environment.rtnetlink;
    const wanted = show(address);
    const isMissing = !found.some(other => show(other) === wanted);
    if (isMissing) {
      // Nobody else on this device could have the address, so there is nobody to ask.
      const flags = address.ip.family === 'ipv6' ? { flags: IFA_F_NODAD } : {};
      await addresses.replace({ index, ...address, ...flags });
      if (cause === 'drift')
        this.#repaired(cause, 'address', link, undefined, `address ${wanted} dev ${link}`);
    }
    for (const other of found) {
      if (show(other) === wanted || !ownedWithin.contains(other.ip)) continue;
      await ignoringGone(addresses.delete({ index, ip: other.ip, length: other.length }));
      this.#repaired(cause, 'address', link, `address ${show(other)} dev ${link}`, undefined);
    }
    return isMissing;
  }

  #ensureSysctl({ link, path, value }: DesiredSysctl, cause: RepairCause | undefined): void {
    const { sysctls } = this.#environment;
    const found = sysctls.read(path);
    // A kernel without the feature has no file, and needs no setting.
    if (found === undefined || found === value) return;
    sysctls.write(path, value);
    if (cause === 'drift') this.#repaired(cause, 'sysctl', link, `${path} = ${found}`, `${path} = ${value}`);
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
    return binding !== undefined && binding.addresses.has(show(event.address)) === event.gone;
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
    if (cause === undefined) return;
    this.#environment.onRepair({
      cause,
      object,
      action: wanted === undefined ? 'removed' : found === undefined ? 'restored' : 'replaced',
      link,
      ...(found === undefined ? {} : { found }),
      ...(wanted === undefined ? {} : { wanted }),
    });
  }
}

/** undefined when the wish itself has changed: then a difference is of our making. */
function causeOf(before: Binding | undefined, wish: string): RepairCause | undefined {
  if (before === undefined) return 'start';
  return before.wish === wish ? 'drift' : undefined;
}

const show = ({ ip, length }: InterfaceAddress): string => `${ip}/${length}`;

const textOf = ({ name, vni, mac, mtu }: DesiredLink): string =>
  `link ${name} vxlan id ${vni} address ${mac} mtu ${mtu}`;

async function ignoringGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, 'ENODEV', 'EADDRNOTAVAIL', 'ENOENT')) throw error;
  }
}
