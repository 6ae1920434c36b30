/**
 * The table of published ports, in the words of nft(8). Its rules are always these; what is published is in its maps and
 * sets (port-elements.ts), one element per port, so that a packet costs the same whatever their number is:
 *
 *     prerouting, output   to an address of this host: look its port up, and go to the container instead
 *     postrouting          from a station of the same bridge, or from 127.0.0.1: the answer must come back here
 *     guard                nothing comes in from a bridge for 127.0.0.1, although the bridge routes it (route_localnet)
 *
 * Everything else keeps its source. Only the first packet of a connection is looked up; connection tracking does the rest.
 */
import { createHash } from 'node:crypto';
import { FAMILIES } from '../../base/ip.ts';
import { NFT_FAMILY } from '../nftables/table.ts';
import { BRIDGES, masqueradeSet, portMapAny, portMapAt } from './port-elements.ts';

export const PORT_TABLE = 'tulle-ports';
/** Root of the keys of flannel's own network. */
const PLAIN_PREFIX = '/coreos.com/network';

/** Of the network with this prefix of its keys: a host may have several, and a table each. */
export function portTableName(prefix: string): string {
  if (prefix === PLAIN_PREFIX) return PORT_TABLE;
  return `${PORT_TABLE}-${createHash('sha256').update(prefix).digest('hex').slice(0, 8)}`;
}

/** Whether a table of nftables, by its name, is one of published ports. */
export const isPortTable = (name: string): boolean => /^tulle-ports(-[0-9a-f]{8})?$/.test(name);

/** In front of dstnat (-100), where others redirect: a port that we hold is nobody else's. */
const REDIRECT_PRIORITY = -101;
/** In front of srcnat (100), and of what keeps sources of the overlay (99). */
const MASQUERADE_PRIORITY = 98;
/** Raw: before anything else sees such a packet. */
const GUARD_PRIORITY = -300;

const ADDRESS_TYPE = { ipv4: 'ipv4_addr', ipv6: 'ipv6_addr' } as const;

/** Names of its maps and sets. */
export const PORT_SETS: readonly string[] = [
  ...FAMILIES.flatMap(family => [portMapAt(family), portMapAny(family), masqueradeSet(family)]),
  BRIDGES,
];

/**
 * One transaction that leaves exactly this in the table, whatever was there.
 * @param elements as nft reads them, by name of the map or set
 */
export function portScript(name: string, elements: ReadonlyMap<string, readonly string[]>): string {
  return [
    `table inet ${name} {}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    ...contents(elements).map(line => `  ${line}`),
    '}',
    '',
  ].join('\n');
}

function contents(elements: ReadonlyMap<string, readonly string[]>): string[] {
  const filled = (name: string) => {
    const known = elements.get(name) ?? [];
    return known.length === 0 ? '' : ` elements = { ${known.join(', ')} }`;
  };
  return [
    ...FAMILIES.flatMap(family => {
      const address = ADDRESS_TYPE[family];
      const [one, any, masquerade] = [portMapAt(family), portMapAny(family), masqueradeSet(family)];
      const port = 'inet_proto . inet_service';
      return [
        `map ${one} { type ${address} . ${port} : ${address} . inet_service;${filled(one)} }`,
        `map ${any} { type ${port} : ${address} . inet_service;${filled(any)} }`,
        `set ${masquerade} { type ifname . ${address}; flags interval;${filled(masquerade)} }`,
      ];
    }),
    `set ${BRIDGES} { type ifname;${filled(BRIDGES)} }`,
    ...FAMILIES.flatMap(family => {
      const protocol = NFT_FAMILY[family];
      const port = 'meta l4proto . th dport';
      return chain(
        `published-${protocol}`,
        `dnat ${protocol} to ${protocol} daddr . ${port} map @${portMapAt(family)}`,
        `dnat ${protocol} to ${port} map @${portMapAny(family)}`,
      );
    }),
    ...chain(
      'prerouting',
      `type nat hook prerouting priority ${REDIRECT_PRIORITY}; policy accept;`,
      // What this host sends to itself was looked up at output; nobody else may send to these.
      'ip daddr 127.0.0.0/8 return',
      'fib daddr type local meta nfproto vmap { ipv4 : goto published-ip, ipv6 : goto published-ip6 }',
    ),
    ...chain(
      'output',
      `type nat hook output priority ${REDIRECT_PRIORITY}; policy accept;`,
      // An answer to it would be dropped. So it is refused at once, and who asks for `localhost` goes on to 127.0.0.1.
      'ip6 daddr ::1 return',
      'fib daddr type local meta nfproto vmap { ipv4 : goto published-ip, ipv6 : goto published-ip6 }',
    ),
    ...chain(
      'postrouting',
      `type nat hook postrouting priority ${MASQUERADE_PRIORITY}; policy accept;`,
      ...FAMILIES.map(
        family =>
          `ct status dnat oifname . ${NFT_FAMILY[family]} saddr @${masqueradeSet(family)} counter masquerade`,
      ),
    ),
    ...chain(
      'guard',
      `type filter hook prerouting priority ${GUARD_PRIORITY}; policy accept;`,
      ...['saddr', 'daddr'].map(field => `iifname @${BRIDGES} ip ${field} 127.0.0.0/8 counter drop`),
    ),
  ];
}

/**
 * Whether a listing of nft has as many rules as we write: another program may have removed some before it was made, and
 * then it says nothing of how nft spells them.
 */
export const hasAllRules = (listing: string): boolean =>
  rulesIn(listing) === rulesIn(portScript('t', new Map()));

/** Lines inside of chains, but for the first of each, which says where it is called. */
function rulesIn(text: string): number {
  let isInside = false;
  let count = 0;
  for (const line of text.split('\n').map(words => words.trim())) {
    if (line.startsWith('chain ')) isInside = true;
    else if (line === '}') isInside = false;
    else if (isInside && line !== '' && !/^type \w+ hook /.test(line)) count++;
  }
  return count;
}

const chain = (name: string, ...lines: readonly string[]) => [
  `chain ${name} {`,
  ...lines.map(line => `  ${line}`),
  '}',
];
