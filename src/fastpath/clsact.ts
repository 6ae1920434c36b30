/**
 * Programs at links by filters of clsact, in a namespace. Ours are told from those of others by priority and handle; the
 * handle's last bit says that the clsact is ours too: then it goes with the last filter, if nobody else has one by then.
 */
import { isCode } from '../base/errors.ts';
import type { LinkPoint } from '../bpf/attachment.ts';
import { programOf } from '../netlink/route/program-filter.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS } from '../netlink/route/traffic-constants.ts';
import type { TrafficFilter } from '../netlink/route/traffic-control.ts';
import { unlessGone } from '../netlink/unless-gone.ts';
import type { LinkPlace, Mechanism, NamedProgram } from './mechanism.ts';

/** Behind the filters of others: what nobody has named a priority for gets 49152 or less. */
const PRIORITY = 65_520;
/** `tu`, and a number of its own. */
const FIRST_HANDLE = 0x7475_0000;
const LAST_HANDLE = 0x7475_ffff;
const OWN_CLSACT = 1;

const PARENTS: Readonly<Record<LinkPoint, number>> = {
  ingress: TC_H_CLSACT_INGRESS,
  egress: TC_H_CLSACT_EGRESS,
};

export class Clsact implements Mechanism {
  readonly name = 'clsact';
  readonly #traffic: Rtnetlink['traffic'];

  /** @param rtnetlink of the namespace; stays the caller's */
  constructor({ traffic }: Pick<Rtnetlink, 'traffic'>) {
    this.#traffic = traffic;
  }

  async occupied(indexes: readonly number[]): Promise<readonly number[]> {
    const held = new Set(
      (await this.#traffic.qdiscs()).filter(({ kind }) => kind === 'clsact').map(({ index }) => index),
    );
    return indexes.filter(index => held.has(index));
  }

  async programs(place: LinkPlace): Promise<readonly number[]> {
    const filters = (await this.#filters(place)).toSorted((one, other) => one.priority - other.priority);
    return filters.flatMap(filter => programOf(filter)?.id ?? []);
  }

  async attach(place: LinkPlace, { program, name }: NamedProgram, replaced?: number): Promise<void> {
    const bit = await this.#ensureClsact(place.index);
    const filters = await this.#filters(place);
    const former = filters.find(filter => isOurs(filter) && (programOf(filter)?.id ?? -1) === replaced);
    const handle = former?.handle ?? freeHandle(filters, bit);
    await this.#traffic.setProgram({ ...keyAt(place, handle), program: program.fd, name });
  }

  async detach(place: LinkPlace, id: number): Promise<void> {
    const found = (await this.#filters(place)).filter(
      filter => isOurs(filter) && programOf(filter)?.id === id,
    );
    for (const { handle } of found) await unlessGone(this.#traffic.deleteFilter(keyAt(place, handle)));
    if (!found.some(ownsClsact) || (await this.#filtersOfLink(place.index)).length > 0) return;
    try {
      await this.#traffic.deleteClsact(place.index);
    } catch (error) {
      // EINVAL: somebody else has removed it.
      if (!isCode(error, 'ENODEV', 'ENOENT', 'EINVAL')) throw error;
    }
  }

  /** @returns the bit of handles that says whose it is. @throws NetlinkError, Error when there is `ingress` */
  async #ensureClsact(index: number): Promise<number> {
    const ours = (await this.#filtersOfLink(index)).filter(isOurs);
    if (ours.length > 0) return ours.some(ownsClsact) ? OWN_CLSACT : 0;
    try {
      await this.#traffic.addClsact(index);
      return OWN_CLSACT;
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
    }
    const queues = (await this.#traffic.qdiscs()).filter(queue => queue.index === index);
    // It takes filters of the other way, too, and runs them for packets of this way.
    if (queues.some(({ kind }) => kind === 'ingress'))
      throw new Error(`link ${index} has a queue ingress of somebody else`);
    return 0;
  }

  #filters({ index, point }: LinkPlace): Promise<readonly TrafficFilter[]> {
    return this.#traffic.filters(index, PARENTS[point]);
  }

  async #filtersOfLink(index: number): Promise<readonly TrafficFilter[]> {
    return [
      ...(await this.#filters({ index, point: 'ingress' })),
      ...(await this.#filters({ index, point: 'egress' })),
    ];
  }
}

const keyAt = ({ index, point }: LinkPlace, handle: number) => ({
  index,
  parent: PARENTS[point],
  priority: PRIORITY,
  handle,
});

function isOurs({ kind, priority, handle }: TrafficFilter): boolean {
  return kind === 'bpf' && priority === PRIORITY && handle >= FIRST_HANDLE && handle <= LAST_HANDLE;
}

const ownsClsact = (filter: TrafficFilter) => isOurs(filter) && (filter.handle & OWN_CLSACT) !== 0;

function freeHandle(filters: readonly TrafficFilter[], bit: number): number {
  const taken = new Set(filters.map(({ handle }) => handle));
  let handle = FIRST_HANDLE | bit;
  while (taken.has(handle)) handle += 2;
  return handle;
}
