/**
 * One question of the ladder, and its answer. A rung stands on those below it: the underlay carries the tunnel, the tunnel
 * what goes between containers.
 */
import type { Ip } from '../../base/ip.ts';

/**
 * gateway    a container of this host, to the bridge it is attached to
 * neighbor   a container of this host, to another one beside it
 * underlay   the peer's host, without the overlay
 * tunnel     the base address of the peer's subnet, which the kernel of its host answers for, flannel's too
 * bridge     the address of the peer's bridge
 * host       this host, to a container of the peer
 * container  a container of this host, to one of the peer
 * tcp        the same, with a request for a connection in place of a ping
 */
const RUNG_KINDS = [
  'gateway',
  'neighbor',
  'underlay',
  'tunnel',
  'bridge',
  'host',
  'container',
  'tcp',
] as const;
export type RungKind = (typeof RUNG_KINDS)[number];

export interface Rung {
  readonly kind: RungKind;
  /** full: the largest that the path is made for. */
  readonly size: 'small' | 'full';
  /** Of the IP packet. */
  readonly bytes: number;
  /** Name of the container of this host whose namespace it leaves from; absent for the host itself. */
  readonly container?: string;
  readonly source?: Ip;
  readonly to: Ip;
  /** Of TCP, asked one after the other until one answers. */
  readonly ports?: readonly number[];
  /** Name of the peer; absent for what stays on this host. */
  readonly peer?: string;
  /** Whom it asks, for people: `c1 of docker2`. */
  readonly target: string;
}

/** What became of the probes of a rung. */
export interface RungResult extends Rung {
  readonly sent: number;
  readonly answered: number;
  /** Milliseconds, of the quickest answer. */
  readonly ms?: number;
  /** What was said instead of an answer, and by which address; absent for silence. */
  readonly refusal?: {
    readonly kind: 'unreachable' | 'too big';
    readonly text: string;
    readonly from?: string;
  };
  /** Bytes of the largest packet that passes, for a full one that does not. */
  readonly largest?: number;
}

/** Share of probes lost that is no accident: at least two, and one in two hundred. */
const LEAST_LOST = 2;
const LEAST_SHARE = 0.005;

export type RungState = 'ok' | 'lossy' | 'broken';

export function rungState({ sent, answered }: Pick<RungResult, 'sent' | 'answered'>): RungState {
  if (answered === 0) return 'broken';
  const lost = sent - answered;
  return lost >= LEAST_LOST && lost / sent >= LEAST_SHARE ? 'lossy' : 'ok';
}

export const isOk = (result: RungResult): boolean => rungState(result) === 'ok';

/** Share of the probes that got no answer, 0 to 1. */
export const lostShare = ({ sent, answered }: Pick<RungResult, 'sent' | 'answered'>): number =>
  sent === 0 ? 0 : (sent - answered) / sent;

/** Percent of the probes that got no answer. */
export const lossOf = (result: RungResult): number => Math.round(1000 * lostShare(result)) / 10;
