/**
 * The elements of the maps and sets of port-table.ts. Per family F (ip, ip6):
 *
 *     F-any         tcp . 8080                -> 10.9.0.5 . 80    at every address of this host
 *     F-one         192.168.65.3 . tcp . 8080 -> 10.9.0.5 . 80    at this one
 *     masquerade-F  tb-blue . 10.9.0.0/24     who gets the answer only if it passes this host
 *     bridges       tb-blue                   behind which containers are
 */
import { formatHex, Reader, written } from '../../base/bytes.ts';
import { ADDRESS_BITS, FAMILIES, type Family, Ip } from '../../base/ip.ts';
import { mapFamilies, type PerFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { SetElement } from '../../netlink/netfilter/set.ts';
import { NFT_FAMILY } from '../nftables/table.ts';

export type PortProtocol = 'tcp' | 'udp' | 'sctp';

/** include/uapi/linux/in.h. */
export const PROTOCOL_NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const satisfies Record<
  PortProtocol,
  number
>;

/** One port of this host, in one family. */
export interface PortForward {
  readonly protocol: PortProtocol;
  /** Absent: every address of this host. */
  readonly hostIp?: Ip;
  readonly hostPort: number;
  readonly target: Ip;
  readonly targetPort: number;
  /** For people who list the table. */
  readonly comment: string;
}

/** An element, and the map or set that it is in. */
export interface PortElement {
  readonly set: string;
  readonly element: SetElement;
  /** As nft reads it. */
  readonly text: string;
}

export const BRIDGES = 'bridges';
export const portMapAny = (family: Family): string => `${NFT_FAMILY[family]}-any`;
export const portMapAt = (family: Family): string => `${NFT_FAMILY[family]}-one`;
export const masqueradeSet = (family: Family): string => `masquerade-${NFT_FAMILY[family]}`;

/** IFNAMSIZ, include/uapi/linux/if.h. */
const NAME_SIZE = 16;
/** In bytes, with the one that ends it (NFT_USERDATA_MAXLEN is 256, and nft reads no longer comment than this). */
const COMMENT_SIZE = 128;

export function forwardElement(forward: PortForward): PortElement {
  const { protocol, hostIp, hostPort, target, targetPort } = forward;
  const key = written(writer => {
    if (hostIp !== undefined) writer.bytes(hostIp.bytes);
    writer.u8(PROTOCOL_NUMBERS[protocol]).align(4).u16be(hostPort).align(4);
  });
  const data = written(writer => writer.bytes(target.bytes).u16be(targetPort).align(4));
  const comment = printable(forward.comment);
  const from = [...(hostIp === undefined ? [] : [hostIp]), protocol, hostPort].join(' . ');
  return {
    set: hostIp === undefined ? portMapAny(target.family) : portMapAt(target.family),
    element: { key, data, comment },
    text: `${from} comment ${JSON.stringify(comment)} : ${target} . ${targetPort}`,
  };
}

/** The kernel has no such thing for IPv6. */
const LOOPBACK: PerFamily<Prefix> = { ipv4: Prefix.parse('127.0.0.0/8') };

/** What an element of a map says, without what is for people; undefined for one of another set. @throws CodecError */
export function readForward(
  set: string,
  { key, data }: SetElement,
): Omit<PortForward, 'comment'> | undefined {
  const family = FAMILIES.find(known => set === portMapAt(known) || set === portMapAny(known));
  if (family === undefined || data === undefined) return undefined;
  const from = new Reader(key, `key of ${set}`);
  const to = new Reader(data, `data of ${set}`);
  const size = ADDRESS_BITS[family] / 8;
  const hostIp = set === portMapAt(family) ? Ip.fromBytes(from.bytes(size)) : undefined;
  const number = from.u8();
  from.skip(3);
  const protocol = (['tcp', 'udp', 'sctp'] as const).find(name => PROTOCOL_NUMBERS[name] === number);
  if (protocol === undefined) return undefined;
  return {
    protocol,
    ...(hostIp && { hostIp }),
    hostPort: from.u16be(),
    target: Ip.fromBytes(to.bytes(size)),
    targetPort: to.u16be(),
  };
}

/** @param subnets on the bridge */
export function bridgeElements(bridge: string, subnets: PerFamily<Prefix>): PortElement[] {
  const name = written(writer => writer.bytes(new TextEncoder().encode(bridge)).align(NAME_SIZE));
  const source = (prefix: Prefix): PortElement => ({
    set: masqueradeSet(prefix.ip.family),
    element: {
      key: written(writer => writer.bytes(name).bytes(prefix.ip.bytes)),
      keyEnd: written(writer => writer.bytes(name).bytes(prefix.last.bytes)),
    },
    text: `"${bridge}" . ${prefix}`,
  });
  return [
    { set: BRIDGES, element: { key: name }, text: `"${bridge}"` },
    ...valuesOf(subnets).map(source),
    ...valuesOf(mapFamilies(subnets, (_, family) => LOOPBACK[family])).map(source),
  ];
}

/** What tells one element from another in its set. */
export const elementKey = ({ key, keyEnd }: SetElement): string =>
  keyEnd === undefined ? formatHex(key) : `${formatHex(key)}-${formatHex(keyEnd)}`;

/** The same id, the same place in the table. */
export const elementId = ({ set, element }: Pick<PortElement, 'set' | 'element'>): string =>
  `${set} ${elementKey(element)}`;

/** Whether a key leads to the same place; a comment is for people. */
export const leadsAlike = (a: SetElement, b: SetElement): boolean =>
  formatHex(a.data ?? new Uint8Array()) === formatHex(b.data ?? new Uint8Array());

/** Without what ends a string of nft, and no longer than a comment may be. */
const printable = (comment: string) =>
  comment.replaceAll(/[^\x20-\x7e]|["\\]/g, '?').slice(0, COMMENT_SIZE - 1);
