/**
 * The devices of all networks on this host, their addresses and sysctls. They are few, so they are not kept in
 * tables: whenever something may be wrong with them they are read and repaired one by one, each on its own.
 */
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import { NETCONFA_IFINDEX_ALL } from '../../netlink/route/constants.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { SysctlFiles } from '../data-plane.ts';
import type { DesiredLink } from '../desired-link.ts';
import { Retries } from '../reconcile/retries.ts';
import type { LinkReport, Repair } from '../report.ts';
import { HostLink, type LinkEnvironment, type LinkSpec } from './host-link.ts';
import { kindOf } from './kinds.ts';
import { deleteLink } from './link.ts';
import { Sysctls } from './sysctls.ts';

export interface HostEnvironment {
  readonly rtnetlink: Rtnetlink;
  readonly sysctls: SysctlFiles;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onRepair: (repair: Repair) => void;
  /** Resolves when everything the kernel announced before the last acknowledgement has been recorded. */
  readonly caughtUp: () => Promise<void>;
  /** Something may have changed that no event reports. */
  readonly onPossibleChange: () => void;
}

/** A device that is in place. */
export interface BoundLink {
  readonly name: string;
  readonly index: number;
  readonly desired: DesiredLink;
  /** Something happened to it by which the kernel drops entries without saying which. */
  readonly entriesLost: boolean;
}

export class Host implements Disposable {
  readonly #environment: HostEnvironment;
  readonly #forLinks: LinkEnvironment;
  #desired: readonly LinkSpec[] = [];
  readonly #links = new Map<string, HostLink>();
  /** Links that are not wanted any more. One may be made just now, and has an index only afterwards. */
  readonly #retired = new Set<HostLink>();
  readonly #retries: Retries;
  /** The link that each refusal is about. */
  readonly #subjects = new Map<string, string>();
  readonly #sysctls: Sysctls;
  /** A sysctl may have been written. */
  #sysctlsStale = false;
  #dirty = false;

  constructor(environment: HostEnvironment) {
    const { rtnetlink, clock, random, onRepair, caughtUp, onPossibleChange } = environment;
    this.#environment = environment;
    this.#retries = new Retries(clock, random);
    this.#sysctls = new Sysctls(environment.sysctls, () => {
      this.#sysctlsStale = true;
      onPossibleChange();
    });
    const attempt: LinkEnvironment['attempt'] = (link, what, work) => this.#attempt(link, what, work);
    const ownLink: LinkEnvironment['ownLink'] = name => this.#links.get(name);
    this.#forLinks = { rtnetlink, sysctls: this.#sysctls, onRepair, caughtUp, attempt, ownLink };
  }

  /** True when it differs from what was stated before. @param desired each with another name */
  set(desired: readonly LinkSpec[]): boolean {
    // The values print themselves as JSON; comparing the text compares everything.
    if (JSON.stringify(desired) === JSON.stringify(this.#desired)) return false;
    for (const link of this.#links.values()) this.#retired.add(link);
    this.#links.clear();
    this.#sysctls.set(desired.flatMap(({ sysctls }) => sysctls));
    for (const spec of desired) {
      const { name } = spec.link;
      // One of our own of another kind is deleted before the new one is made.
      const formers = Array.from(this.#retired).filter(link => link.name === name);
      const known = formers.find(({ desired: { kind } }) => kind === spec.link.kind);
      for (const former of formers) {
        if (former === known || spec.link.kind === 'existing') this.#retired.delete(former);
      }
      known?.set(spec);
      this.#links.set(name, known ?? new HostLink(spec, this.#forLinks));
    }
    this.#desired = desired;
    this.#retries.clear();
    this.#subjects.clear();
    this.#dirty = true;
    return true;
  }

  get wanted(): number {
    return this.#desired.reduce((sum, spec) => sum + wantedBy(spec), 0);
  }

  /** What a network wants of the links that it has or has first asked for. */
  wantedBy(network: string): number {
    const own = this.#desired.filter(spec => spec.network === network);
    return own.reduce((sum, spec) => sum + wantedBy(spec), 0);
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

  /** What could not be done, and the link that it is about. */
  *failures(): Generator<{ readonly text: string; readonly link: string }> {
    for (const [what, reason] of this.#retries.reasons()) {
      yield { text: `${what}: ${reason}`, link: this.#subjects.get(String(what)) ?? '' };
    }
  }

  report(): LinkReport[] {
    return this.#desired.map(({ network, link: { name, kind } }) => {
      const { index, refusal, actual } = this.#links.get(name) ?? {};
      const reason = this.#retries.reason(`link ${name}`);
      return {
        name,
        kind,
        inSync: index !== undefined && reason === undefined,
        ...(index === undefined ? {} : { index }),
        ...defined({ network, actual, reason, code: refusal?.code, hint: refusal?.hint }),
      };
    });
  }

  /** Whether links are to be read again. */
  get isStale(): boolean {
    return this.#dirty;
  }

  /** Everything is to be read again. */
  markStale(): void {
    this.#dirty = true;
  }

  /** Takes an event about a link, an address or a setting. True when it may concern us. */
  observe(event: KernelEvent): boolean {
    if (event.type === 'netconf' && this.#isGoverned(event.netconf.index)) {
      this.#sysctlsStale = true;
      return true;
    }
    let concerns = false;
    for (const link of this.#links.values()) if (link.observe(event)) concerns = true;
    if (event.type !== 'link' || this.#retries.size === 0) return concerns;
    // A device that could not be created is tried again after a change of the underlay, or when a link is removed that conflicted.
    const matters = event.gone || this.#desired.some(({ link }) => standsOn(link, event.link));
    if (matters) this.#dirty = true;
    return concerns || matters;
  }

  /** Compares the pending events with what is known. The notification socket must have been read empty after the last acknowledgement. */
  processPending(): void {
    for (const link of this.#links.values()) if (link.processPending()) this.#dirty = true;
    if (this.#sysctlsStale && this.#bound().some(({ name }) => this.#sysctls.differ(name))) {
      this.#dirty = true;
    }
    this.#sysctlsStale = false;
  }

  /** Whether `ensure` has something to do now. */
  isDue(): boolean {
    const retry = this.#retries.next;
    return this.#dirty || (retry !== undefined && retry <= this.#environment.clock.monotonic());
  }

  /** Reads and repairs. Returns the devices that are in place; the others are in `failures`. */
  async ensure(): Promise<BoundLink[]> {
    this.#dirty = false;
    for (const former of this.#retired) {
      const { name, seen, desired } = former;
      await this.#attempt(name, `link ${name}`, async () => {
        const { rtnetlink } = this.#environment;
        // Without an index it was never ours.
        const isOurs = seen !== undefined && desired.kind !== 'existing';
        const link = isOurs ? await rtnetlink.links.get(seen) : undefined;
        if (link !== undefined) await ignoringGone(deleteLink(rtnetlink, link.index));
        this.#retired.delete(former);
      });
    }
    for (const link of this.#inOrder()) {
      await this.#attempt(link.name, `link ${link.name}`, () => link.ensure());
    }
    return this.#bound();
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    this.#sysctls[Symbol.dispose]();
  }

  /** Bridges before their ports. */
  #inOrder(): HostLink[] {
    const links = [...this.#links.values()];
    const isPort = ({ desired }: HostLink) => desired.kind !== 'existing' && desired.master !== undefined;
    return [...links.filter(link => !isPort(link)), ...links.filter(isPort)];
  }

  #bound(): BoundLink[] {
    return Array.from(this.#links.values()).flatMap(({ name, index, desired, entriesLost }) =>
      index === undefined ? [] : [{ name, index, desired, entriesLost }],
    );
  }

  /** Whether settings of this link are those of one of ours. */
  #isGoverned(index: number): boolean {
    return index === NETCONFA_IFINDEX_ALL || this.#bound().some(link => link.index === index);
  }

  /** Records a refusal and goes on. */
  async #attempt(link: string, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#retries.succeeded(what);
      this.#subjects.delete(what);
    } catch (error) {
      this.#retries.failed(what, messageOf(error));
      this.#subjects.set(what, link);
    }
  }
}

const wantedBy = ({ addresses, sysctls }: LinkSpec) => 1 + addresses.length + sysctls.length;

/** Whether the link needs this other one. */
function standsOn(desired: DesiredLink, { index, name }: Link): boolean {
  if (desired.kind === 'existing') return false;
  return desired.master === name || kindOf(desired).lower(desired).includes(index);
}

async function ignoringGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, 'ENODEV')) throw error;
  }
}
