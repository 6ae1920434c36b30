/**
 * Links that attach nothing any more, and are still to be deleted. Before a veth pair is gone the kernel waits for all its
 * processors (RCU): some 20 ms on a machine at rest, for one pair as for fifty. So a link that is detached is taken out of use at
 * once, and deleted a moment later with all that were meanwhile.
 *
 *     port of the bridge ──take──> down, an alias that says so, in the group ──round──> gone
 *
 * What is no attachment never gets into the group: its number is one that no link had when the agent started, and a link
 * gets it that is known by its alias. What a killed agent leaves is known by its alias, too.
 */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Pace } from '../../base/pace.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../netlink/unless-gone.ts';
import { attachmentLinks } from './attachment-links.ts';

export interface DetachedLinksParts {
  readonly rtnetlink: { readonly links: Pick<Rtnetlink['links'], 'change'> };
  readonly removing: { readonly links: Pick<Rtnetlink['links'], 'deleteGroup'> };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The first that is looked at: `tull`. Nobody who counts groups comes there. */
const FIRST_GROUP = 0x74756c6c;
/** Milliseconds in which further links are gathered, and the answer to the engine leaves. */
const SETTLE = 20;

/** Who detaches or attaches meanwhile waits for the kernel's lock (RTNL) as long as this takes: one in forty at most. */
const PACE = { times: 39, most: 5000 };

const PREFIX = 'tulle detached ';

export const detachedAlias = (id: string): string => `${PREFIX}${id}`;

/** Whether a link is one that was detached, and has not been deleted yet. */
export function isDetached({ name, alias, info }: Link): boolean {
  if (info?.kind !== 'veth' || alias?.startsWith(PREFIX) !== true) return false;
  return name === attachmentLinks(alias.slice(PREFIX.length)).host;
}

export class DetachedLinks {
  readonly #parts: DetachedLinksParts;
  #group = FIRST_GROUP;
  /** Grows with every link. */
  readonly #version = new Watchable(0);
  #isEmpty = true;

  constructor(parts: DetachedLinksParts) {
    this.#parts = parts;
  }

  /** Chooses the group, before anything is taken, and takes what a former run has left. @param links all of this host @throws NetlinkError */
  async open(links: readonly Link[]): Promise<void> {
    const groups = new Set(links.map(({ group }) => group));
    while (groups.has(this.#group)) this.#group++;
    for (const link of links) {
      if (isDetached(link)) await this.take(link.index, link.alias?.slice(PREFIX.length) ?? '');
    }
  }

  /** @param index of a link that is known to be that of the attachment `id` @throws NetlinkError */
  async take(index: number, id: string): Promise<void> {
    const change = { up: false, master: 0, alias: detachedAlias(id), group: this.#group };
    await unlessGone(this.#parts.rtnetlink.links.change(index, change));
    this.#isEmpty = false;
    increment(this.#version);
  }

  /** Deletes them, and what there is at the end. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const pace = new Pace(clock, PACE);
    for await (const _ of this.#version.changes(signal)) {
      if (this.#isEmpty) continue;
      await clock.sleep(SETTLE, signal).catch(() => undefined);
      pace.begin();
      await this.#delete();
      await pace.rest(signal);
    }
    await this.#delete();
  }

  /** What cannot be deleted is tried again with the next one. */
  async #delete(): Promise<void> {
    if (this.#isEmpty) return;
    this.#isEmpty = true;
    try {
      await unlessGone(this.#parts.removing.links.deleteGroup(this.#group));
    } catch (error) {
      this.#isEmpty = false;
      this.#parts.logger.warn({ error: messageOf(error) }, 'links that were detached could not be deleted');
    }
  }
}
