/**
 * The attachments of this host: what `Attachments` promises, made of networks that give addresses, veth pairs in the kernel,
 * and a record on the disk.
 */
import { together } from '../../base/abort.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { KeyedLock } from '../../base/keyed-lock.ts';
import { followAtPace } from '../../base/pace.ts';
import { valuesOf } from '../../base/per-family.ts';
import { remembered } from '../../base/remembered.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import { unlessGone } from '../../netlink/unless-gone.ts';
import type { OwnNamedAddress } from '../../subnet/names/names.ts';
import { attachmentLinks } from './attachment-links.ts';
import { AttachmentMaker } from './attachment-maker.ts';
import type { HostAttachmentsParts } from './attachment-parts.ts';
import { AttachmentRecord, type RecordedAttachment } from './attachment-record.ts';
import {
  type AddressWish,
  AttachmentError,
  type Attachments,
  type AttachWish,
  type ContainerAttachment,
  type ContainerEngine,
  type ContainerNetwork,
  type NetworkWish,
  OVERLAY_NETWORK,
} from './attachments.ts';
import { checkAddressWish } from './check-wish.ts';
import { within } from './deadline.ts';
import { DetachedLinks } from './detached-links.ts';
import { driftOf } from './drift.ts';
import type { NetworkSource } from './network-source.ts';
import { aliasOf, publicationOf, takeOverAttachments } from './take-over.ts';

export class HostAttachments implements Attachments {
  readonly #parts: HostAttachmentsParts;
  readonly #record: AttachmentRecord;
  readonly #detached: DetachedLinks;
  readonly #maker: AttachmentMaker;
  readonly #lock = new KeyedLock();
  /** Nothing is done before it is known what the last run has left. */
  readonly #isOpen = new Watchable(false);
  /** Grows when something is attached, detached or called otherwise. */
  readonly version = new Watchable(0);
  /** When what was made in this run was made, by id, and by network and address; `performance.now()`. */
  readonly #made = new Map<string, number>();
  /** Addresses that were released while something is attached with them, by network and address. */
  readonly #released = new Set<string>();

  constructor(parts: HostAttachmentsParts) {
    this.#parts = parts;
    this.#record = new AttachmentRecord(parts.stateDirectory, parts.logger);
    this.#detached = new DetachedLinks(parts);
    this.#maker = new AttachmentMaker(this.#record, this.#detached, parts);
  }

  /** Until `signal` aborts; the kernel and the disk stay as they are. */
  async run(signal: AbortSignal): Promise<void> {
    const { rtnetlink, logger, ports } = this.#parts;
    await takeOverAttachments(this.#record, this.#detached, { rtnetlink, logger });
    try {
      await ports.restore([...this.#record.values()].flatMap(publicationOf));
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'ports that were published could not be taken over');
    }
    this.#isOpen.set(true);
    await together(
      signal,
      until => followAtPace(this.version, this.#parts.clock, () => this.#stateNames(), until),
      until => this.#parts.overlay.run(until),
      until => this.#detached.run(until),
    );
    await this.#record[Symbol.asyncDispose]();
  }

  /** Until it is known what a former run has left. */
  async opened(signal: AbortSignal): Promise<void> {
    if (!this.#isOpen.value) await this.#isOpen.until(Boolean, signal);
  }

  find(name: string): ContainerNetwork | undefined {
    return this.#sourceOf(name).find(name);
  }

  networks(): readonly ContainerNetwork[] {
    const { segments, overlay } = this.#parts;
    return [...segments.networks(), ...overlay.networks()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async ensure(wish: NetworkWish): Promise<ContainerNetwork> {
    return within(`the network ${wish.name}`, deadline => this.#sourceOf(wish.name).ensure(wish, deadline));
  }

  async reserve(network: string, wish: AddressWish): Promise<Ip> {
    checkAddressWish(wish);
    const give = async (signal: AbortSignal) => {
      const ip = await this.#sourceOf(network).reserve(network, wish, signal);
      const key = `${network} ${ip}`;
      this.#made.set(key, performance.now());
      this.#released.delete(key);
      return ip;
    };
    let giving: Promise<Ip> | undefined;
    try {
      return await within(`an address of ${network}`, ({ late }) => (giving = give(late)));
    } catch (error) {
      // What comes too late for the engine is nobody's; what was asked for by its address will be asked for again.
      if (wish.ip === undefined) giving?.then(ip => this.#release(network, ip)).catch(() => undefined);
      throw error;
    }
  }

  async release(network: string, ip: Ip): Promise<void> {
    await within(`the release of ${ip}`, async ({ late: signal }) => {
      await this.opened(signal);
      await this.#release(network, ip);
    });
  }

  async attach(wish: AttachWish): Promise<ContainerAttachment> {
    return within(`the attachment of ${wish.container}`, async ({ late: signal }) => {
      await this.opened(signal);
      return this.#lock.run(wish.id, async () => {
        // What an engine has no answer of yet is not among what it says it has.
        this.#made.set(wish.id, performance.now());
        const { attachment, isNew } = await this.#maker.attach(wish, this.#sourceOf(wish.network), signal);
        if (isNew) increment(this.version);
        return attachmentOf(attachment);
      });
    });
  }

  async detach(id: string): Promise<boolean> {
    return within(`the detachment of ${id}`, async ({ late: signal }) => {
      await this.opened(signal);
      return this.#lock.run(id, () => this.#detach(id));
    });
  }

  get(id: string): ContainerAttachment | undefined {
    const found = this.#record.get(id);
    return found?.begun === undefined ? found && attachmentOf(found) : undefined;
  }

  list(): readonly ContainerAttachment[] {
    return [...this.#record.values()].flatMap(one => (one.begun ? [] : [attachmentOf(one)]));
  }

  async check(id: string): Promise<readonly string[]> {
    return within(`the check of ${id}`, async ({ late: signal }) => {
      await this.opened(signal);
      const found = this.#record.get(id);
      if (found === undefined) {
        throw new AttachmentError('NOT_FOUND', `nothing is attached as ${id} on this host`);
      }
      return driftOf(found, this.find(found.network), this.#parts);
    });
  }

  async describe(
    id: string,
    { container, names }: { readonly container: string; readonly names: readonly string[] },
  ): Promise<void> {
    await within(`the description of ${id}`, async ({ late: signal }) => {
      await this.opened(signal);
      await this.#lock.run(id, async () => {
        const found = this.#record.get(id);
        if (found === undefined) return;
        const described = { ...found, container, names };
        if (JSON.stringify(described) === JSON.stringify(found)) return;
        await this.#record.set(described);
        const { host } = attachmentLinks(id);
        await unlessGone(this.#parts.rtnetlink.links.change(host, { alias: aliasOf(described) }));
        increment(this.version);
      });
    });
  }

  async reconcile(
    engine: ContainerEngine,
    { ids, ips }: { readonly ids: ReadonlySet<string>; readonly ips: readonly { network: string; ip: Ip }[] },
    since: number,
  ): Promise<void> {
    await within('the comparison', ({ late }) => this.opened(late));
    const isOld = (key: string) => (this.#made.get(key) ?? Number.NEGATIVE_INFINITY) <= since;
    for (const { id, engine: of } of this.#record.values()) {
      if (of === engine && !ids.has(id) && isOld(id)) await this.#lock.run(id, () => this.#detach(id));
    }
    const present = new Set(ips.map(({ network, ip }) => `${network} ${ip}`));
    for (const { name } of this.networks()) {
      for (const { ip, engine: of } of await this.#sourceOf(name).held(name)) {
        const key = `${name} ${ip}`;
        if (of === engine && !present.has(key) && isOld(key)) await this.#release(name, ip);
      }
    }
  }

  async #detach(id: string): Promise<boolean> {
    const found = this.#record.get(id);
    // One that the record has lost is known by its alias.
    if (found === undefined) return this.#maker.remove({ id, ports: [] });
    await this.#maker.remove(found);
    await this.#record.delete(id);
    this.#made.delete(id);
    for (const ip of valuesOf(found.addresses)) {
      if (this.#released.has(`${found.network} ${ip}`)) await this.#release(found.network, ip);
    }
    increment(this.version);
    return true;
  }

  /** Nobody may get an address that is in use: it is free when its user is gone. */
  async #release(network: string, ip: Ip): Promise<void> {
    const key = `${network} ${ip}`;
    if (this.#record.userOf(network, ip) !== undefined) {
      this.#released.add(key);
      return;
    }
    await this.#sourceOf(network).release(network, ip);
    this.#made.delete(key);
    this.#released.delete(key);
  }

  #stateNames(): void {
    this.#parts.names.set([...this.#record.values()].flatMap(namesOf));
  }

  #sourceOf(name: string): NetworkSource {
    return name === OVERLAY_NETWORK ? this.#parts.overlay : this.#parts.segments;
  }
}

/** Of what is recorded and never changes; those who are told of all of them each time know one again that they know. */
const namesOf = remembered(({ network, addresses, container, names }: RecordedAttachment) =>
  valuesOf(addresses).map((ip): OwnNamedAddress => ({ network, ip, names: [container, ...names] })),
);

function attachmentOf(recorded: RecordedAttachment): ContainerAttachment {
  const { id, engine, network, addresses, mac, container, names, ports, sandbox } = recorded;
  const links = attachmentLinks(id);
  const [hostLink, containerLink] = [links.host, sandbox?.link ?? links.container];
  return { id, engine, network, addresses, mac, container, names, ports, hostLink, containerLink };
}
