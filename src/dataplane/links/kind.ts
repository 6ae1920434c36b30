/** What distinguishes the kinds of links: how one is made, compared and described. `kinds.ts` has the table of them. */
import type { LinkInfo } from '../../netlink/route/link-info.ts';
import type { Link, NewLink } from '../../netlink/route/objects.ts';
import type { OwnLink } from '../desired-link.ts';

/** What the kernel says of a link of this kind. */
type InfoOf<Desired extends OwnLink> = Extract<LinkInfo, { readonly kind: Desired['kind'] }>;

/** How a living link of the right kind differs from the desired one, in what only its kind has. */
export type KindComparison =
  /** No change of the living link can repair it. */
  | { readonly immutable: string }
  /** In words; none when nothing differs. `info` repairs all of them on the living link. */
  | { readonly differences: readonly string[]; readonly info: LinkInfo };

export interface LinkKind<Desired extends OwnLink> {
  /** What a new one is made with; undefined for a kind that the kernel does not make on request. */
  create(desired: Desired): Pick<NewLink, 'info'> | undefined;

  compare(desired: Desired, info: InfoOf<Desired>): KindComparison;

  /** In the words of iproute2, as far as it matters to a reader. */
  text(desired: Desired): string;

  /** Indexes of the links that it stands on. */
  lower(desired: Desired): readonly number[];

  /** What a person can do who wants to keep a link that is in the way. */
  readonly alternative: string;

  /** Set for a kind that has something of which there is but one on a host. */
  readonly unique?: {
    /** Whether this link has it. */
    has(desired: Desired, link: Link): boolean;
    /** In words: `VNI 88 on UDP port 4789`. */
    text(desired: Desired): string;
  };
}

/** Collects differences, as `mtu 1500 instead of 1450`. What is not desired is not compared. */
export class Differences {
  readonly texts: string[] = [];

  /** Whether they differ. */
  compare(what: string, desired: Comparable, actual: Comparable): boolean {
    if (desired === undefined) return false;
    const [wanted, found] = [desired.toString(), actual?.toString()];
    if (wanted === found) return false;
    this.texts.push(`${what} ${found ?? 'none'} instead of ${wanted}`);
    return true;
  }
}

/** Values that are equal when their texts are. */
type Comparable = { toString(): string } | undefined;
