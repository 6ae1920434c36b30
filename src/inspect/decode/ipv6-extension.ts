/** Extension headers of IPv6: RFC 8200, section 4. */
import type { Reader } from '../../base/bytes.ts';
import type { Ipv6ExtensionLayer } from './layers.ts';

const FRAGMENT = 44;
const AUTHENTICATION = 51;

/** Numbers of "next header". What ESP (50) has inside cannot be read. */
const KINDS: Readonly<Record<number, Ipv6ExtensionLayer['kind']>> = {
  0: 'hop-by-hop',
  43: 'routing',
  [FRAGMENT]: 'fragment',
  [AUTHENTICATION]: 'authentication',
  60: 'destination',
};

export const isExtension = (nextHeader: number): boolean => KINDS[nextHeader] !== undefined;

interface Extension {
  readonly layer: Ipv6ExtensionLayer;
  /** What follows is not the beginning of the next layer. */
  readonly isLaterFragment: boolean;
}

/** @param number for which `isExtension` is true. */
export function readExtension(reader: Reader, number: number): Extension {
  const kind = KINDS[number] ?? 'destination';
  const nextHeader = reader.u8();
  const length = reader.u8();
  if (number !== FRAGMENT) {
    // In units of 8 bytes, without the first; of 4 bytes, without the first two, for authentication (RFC 4302).
    reader.skip(number === AUTHENTICATION ? length * 4 + 6 : length * 8 + 6);
    return { layer: { layer: 'ipv6-extension', kind, nextHeader }, isLaterFragment: false };
  }
  const word = reader.u16be();
  const fragment = { id: reader.u32be(), offset: word & 0xfff8, more: (word & 1) === 1 };
  return {
    layer: { layer: 'ipv6-extension', kind, nextHeader, fragment },
    isLaterFragment: fragment.offset > 0,
  };
}
