/**
 * What the readers of all layers share. A reader takes one header, adds its layer to the list and says what comes next;
 * a loop goes from one to the next, so that no frame can nest deeper than it allows.
 */
import type { Reader } from '../../base/bytes.ts';
import { CodecError } from '../../base/errors.ts';
import type { Layer } from './layers.ts';

export type HeaderName =
  | 'ethernet'
  | 'arp'
  /** IPv4 or IPv6, as its first four bits say. */
  | 'ip'
  | 'ipv4'
  | 'ipv6'
  | 'icmp'
  | 'icmpv6'
  | 'tcp'
  | 'udp'
  | 'vxlan'
  | 'flannel-udp'
  | 'payload';

export interface Next {
  readonly name: HeaderName;
  readonly reader: Reader;
  /** It is inside a tunnel or a quotation. */
  readonly isInside?: true;
  /** The list that a quotation goes to. */
  readonly into?: Layer[];
}

export interface Decoding {
  /** Filled by the readers. */
  readonly layers: Layer[];
  readonly vxlanPorts: readonly number[];
  readonly flannelPorts: readonly number[];
}

/** Takes one header. @returns undefined at the end. @throws CodecError when the header is cut off or impossible */
export type ReadHeader = (reader: Reader, decoding: Decoding) => Next | undefined;

/** More than any frame has that is meant seriously. */
const MOST_LAYERS = 48;

/** @throws CodecError */
export function addLayer({ layers }: Decoding, layer: Layer): void {
  if (layers.length >= MOST_LAYERS) throw new CodecError('frame', 0, `at most ${MOST_LAYERS} layers`, 'more');
  layers.push(layer);
}

export const payloadIn = (reader: Reader): Next => ({ name: 'payload', reader });
