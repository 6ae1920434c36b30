/**
 * What completion offers for the value of an option or argument that may have any: fixed words, or names that only the
 * machine knows at the moment and the program is asked for (`tulle completion --offer labs`).
 */
import type { Argument, Option } from 'commander';

export const OFFERS = [
  'labs',
  'lab-hosts',
  'lab-targets',
  'lab-breakable',
  'lab-broken',
  'hosts',
  'networks',
] as const;
/**
 * labs        names of the labs of this machine
 * lab-hosts   hosts of the labs: docker1
 * lab-targets  hosts and containers of the labs: docker1, docker1/c1
 * lab-breakable  hosts and containers of the labs, and the faults that can be planted there
 * lab-broken  hosts of the labs, and the faults that are planted there
 * hosts       names of the hosts that the agent of this host knows
 * networks    names of the L2 networks in the store
 */
export type Offer = (typeof OFFERS)[number];

const offers = new WeakMap<Option | Argument, Offer | readonly string[]>();

/** Has completion offer these for the value. */
export function offering<Of extends Option | Argument>(of: Of, offer: Offer | readonly string[]): Of {
  offers.set(of, offer);
  return of;
}

/** What is offered: the choices where there are some. */
export const offerOf = (of: Option | Argument): Offer | readonly string[] =>
  of.argChoices ?? offers.get(of) ?? [];
