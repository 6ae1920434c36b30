/**
 * Makes attachments, and removes them.
 *
 *     attach   record ─> veth pair ─> alias ─> port of the bridge ─> published ports
 *     remove   published ports ─> veth pair, which is deleted a little later (detached-links.ts)
 *
 * An agent that is killed in between has told no engine of it: what there is goes when the next one starts.
 */
import { isCode } from '../../base/errors.ts';
import { valuesOf } from '../../base/per-family.ts';
import { Undo } from '../../base/undo.ts';
import { attachmentLinks } from './attachment-links.ts';
import type { HostAttachmentsParts } from './attachment-parts.ts';
import type { AttachmentRecord, RecordedAttachment } from './attachment-record.ts';
import { AttachmentError, type AttachWish, type ContainerNetwork } from './attachments.ts';
import { arePublished, checkAttachWish, isAsWished } from './check-wish.ts';
import type { DetachedLinks } from './detached-links.ts';
import { driftOf } from './drift.ts';
import type { NetworkSource } from './network-source.ts';
import { aliasOf } from './take-over.ts';
import { isVethOf, makeInside, makePair, removeVeth } from './veth.ts';

export interface Attached {
  readonly attachment: RecordedAttachment;
  /** Not one that was there. */
  readonly isNew: boolean;
}

type Removable = Pick<RecordedAttachment, 'id' | 'ports' | 'sandbox'>;

export class AttachmentMaker {
  readonly #record: AttachmentRecord;
  readonly #detached: Pick<DetachedLinks, 'take'>;
  readonly #parts: Pick<HostAttachmentsParts, 'rtnetlink' | 'netns' | 'ports'>;

  constructor(
    record: AttachmentRecord,
    detached: Pick<DetachedLinks, 'take'>,
    parts: Pick<HostAttachmentsParts, 'rtnetlink' | 'netns' | 'ports'>,
  ) {
    this.#record = record;
    this.#detached = detached;
    this.#parts = parts;
  }

  /** One with this id that is as wished stays. @throws AttachmentError, NetlinkError, SandboxError; nothing remains */
  async attach(wish: AttachWish, source: NetworkSource, signal: AbortSignal): Promise<Attached> {
    const network = await source.ready(wish.network, signal);
    const present = this.#record.get(wish.id);
    if (present !== undefined) {
      const isHere = (await driftOf(present, network, this.#parts)).length === 0;
      if (isHere && isAsWished(present, wish))
        return { attachment: await this.#publish(present, wish, network), isNew: false };
      if (isHere) {
        throw new AttachmentError('INVALID_WISH', `${wish.id} is attached already, with other addresses`);
      }
    }
    await checkAttachWish(wish, { network, source, record: this.#record });
    if (present !== undefined) await this.remove(present);
    await using undo = new Undo();
    const made = await this.#make(wish, network, source, undo);
    const attachment = await this.#publish(made, wish, network);
    await this.#record.set(attachment);
    undo.commit();
    return { attachment, isNew: true };
  }

  async #make(
    wish: AttachWish,
    network: ContainerNetwork,
    source: NetworkSource,
    undo: Undo,
  ): Promise<RecordedAttachment> {
    const { rtnetlink, netns } = this.#parts;
    const { id, mac, container, addresses, sandbox } = wish;
    const networkId = source.idOf(wish.network);
    const made = { ...wish, names: [], ports: [], ...(networkId !== undefined && { networkId }) };
    const links = attachmentLinks(id);
    undo.push('forget it', () => this.#record.delete(id));
    const recorded = this.#record.set({ ...made, begun: true });
    const endpoints = valuesOf(addresses).map(ip => ({ ip, mac, container, isNamed: true }));
    const attaching = source.attaching(wish.network, links.host, endpoints);
    undo.push('forget the endpoint', () => attaching[Symbol.dispose]());
    undo.push('remove the link', () => this.#removeLink(id));
    const spec = { mac, addresses, network, links, alias: aliasOf(made) };
    const make = async () => {
      if (sandbox === undefined) return makePair(rtnetlink, spec, recorded);
      await recorded;
      return makeInside(rtnetlink, netns, sandbox, spec);
    };
    try {
      await make();
    } catch (error) {
      // What is left of a former one has its name.
      if (!isCode(error, 'EEXIST') || !(await this.#removeLink(id))) throw error;
      await make();
    }
    return made;
  }

  /** Publishes the ports that are wished, and no others. */
  async #publish(
    present: RecordedAttachment,
    { ports: wished }: AttachWish,
    network: ContainerNetwork,
  ): Promise<RecordedAttachment> {
    if (arePublished(present.ports, wished)) return present;
    const { ports: publisher } = this.#parts;
    const { id, container, addresses } = present;
    const { publishedOn: _, ...rest } = present;
    try {
      const ports = await publisher.publish({ id, container, addresses, network, mappings: wished });
      const { bridge, subnets, gateways } = network;
      const published = {
        ...rest,
        ports,
        ...(ports.length > 0 && { publishedOn: { bridge, subnets, gateways } }),
      };
      await this.#record.set(published);
      return published;
    } catch (error) {
      await publisher.withdraw(id);
      await this.#record.set({ ...rest, ports: [] });
      throw error;
    }
  }

  /** What there is of it; the record stays. @returns whether there was a link @throws NetlinkError */
  async remove({ id, ports, sandbox }: Removable): Promise<boolean> {
    if (ports.length > 0) await this.#parts.ports.withdraw(id);
    // A link of the same name may be made in the container at once.
    if (sandbox !== undefined) return this.#removeLink(id);
    const link = await this.#parts.rtnetlink.links.get(attachmentLinks(id).host);
    if (link === undefined || !isVethOf(link, id)) return false;
    await this.#detached.take(link.index, id);
    return true;
  }

  async #removeLink(id: string): Promise<boolean> {
    const { rtnetlink } = this.#parts;
    return removeVeth(rtnetlink, await rtnetlink.links.get(attachmentLinks(id).host), id);
  }
}
