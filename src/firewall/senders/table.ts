/**
 * The table that refuses tunnel packets of strangers, in the words of nft(8). It is called at INPUT, where fragments have been
 * put together, before anything else there:
 *
 *     input        udp dport 4789 @th,96,24 { 88 } meta l4proto @alive goto tunnel
 *     tunnel       ip saddr != @senders-ip goto refuse-ip
 *                  VNI 88, a VLAN tag inside: counter name refused-sources drop
 *                  VNI 88, IPv4 inside, source inside of 10.77.0.0/16: goto source-ip
 *     source-ip    ip saddr . @th,336,24 @blocks-ip-ip-24 return
 *                  counter name refused-sources drop
 *     refuse-ip    update @refused-ip { ip saddr }
 *                  counter name refused-senders drop
 *
 * Bits are counted from the UDP header: VNI at 96, the inner frame at 128, its type at 224, the source of an inner IPv4
 * packet at 336, of an IPv6 packet at 304 (RFC 768, 7348, 791, 8200).
 *
 * The element of `alive` ends when no agent has renewed it for ten minutes, and all of it with that: where flanneld takes
 * over from an agent that was stopped, no host that joins later is locked out.
 */
import { ADDRESS_BITS, FAMILIES, type Family } from '../../base/ip.ts';
import { type PerFamily, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import { NFT_FAMILY } from '../nftables/table.ts';
import { type BlockSet, refusedOf, sendersOf } from './elements.ts';
import type { GuardedTunnel, SenderPolicy } from './policy.ts';

export const COUNTERS = { strangers: 'refused-senders', sources: 'refused-sources' } as const;
export const ALIVE = 'alive';
/** IPPROTO_UDP, the one element of `alive`. */
export const ALIVE_KEY = Uint8Array.of(17);

export const SENDER_TABLES = 'tulle-senders-';
/** In front of what others have at `filter` (0). */
const PRIORITY = -10;
const ALIVE_FOR = '10m';
/** What is remembered of strangers. */
const RECENT = 'size 64; flags dynamic,timeout; timeout 1h;';

const ETHERTYPE = { ipv4: '0x0800', ipv6: '0x86dd' } as const satisfies Record<Family, string>;
/** ETH_P_8021Q, ETH_P_8021AD: include/uapi/linux/if_ether.h. */
const VLAN_TAGS = ['0x8100', '0x88a8'] as const;
const INNER_SOURCE = { ipv4: 336, ipv6: 304 } as const satisfies Record<Family, number>;
const KEY_TYPE = { ipv4: 'ipv4_addr', ipv6: 'ipv6_addr' } as const satisfies Record<Family, string>;

/** Of a network: `tulle-senders-10.77.0.0-16`. One host may have several networks. */
export function senderTableName(networks: PerFamily<Prefix>): string {
  const [first] = valuesOf(networks);
  return `${SENDER_TABLES}${nameOf(first)}`;
}

/** @param name without its family */
export const isSenderTable = (name: string): boolean => name.startsWith(SENDER_TABLES);

/** Those that belong to one of these networks, of the tables that there are; both with their family: `inet NAME`. */
export function senderTablesOf(tables: readonly string[], networks: readonly Prefix[]): string[] {
  const ours = new Set(networks.map(network => `inet ${SENDER_TABLES}${nameOf(network)}`));
  return tables.filter(table => ours.has(table));
}

/** A colon may not be in a name. */
const nameOf = (network: Prefix | undefined) => String(network ?? 'none').replaceAll(/[/:]/g, '-');

export interface SenderTable {
  readonly name: string;
  readonly policy: SenderPolicy;
  readonly blockSets: readonly BlockSet[];
  /** As nft reads them, by name of the set. */
  readonly elements: ReadonlyMap<string, readonly string[]>;
  /** What the counters begin with. */
  readonly counted: ReadonlyMap<string, bigint>;
}

/** One transaction that leaves exactly this in the table, whatever was there. */
export function senderScript(table: SenderTable): string {
  const { name } = table;
  return [
    `table inet ${name} {}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    ...contents(table).map(line => `  ${line}`),
    '}',
    '',
  ].join('\n');
}

function contents({ policy, blockSets, elements, counted }: SenderTable): string[] {
  const filled = (set: string) => {
    const known = elements.get(set) ?? [];
    return known.length === 0 ? '' : ` elements = { ${known.join(', ')} }`;
  };
  const inner = FAMILIES.filter(family => policy.networks[family] !== undefined);
  return [
    ...Object.values(COUNTERS).map(
      counter => `counter ${counter} { packets ${counted.get(counter) ?? 0} bytes 0 }`,
    ),
    `set ${ALIVE} { type inet_proto; flags timeout; timeout ${ALIVE_FOR}; elements = { udp } }`,
    ...FAMILIES.flatMap(family => [
      `set ${sendersOf(family)} { type ${KEY_TYPE[family]};${filled(sendersOf(family))} }`,
      `set ${refusedOf(family)} { type ${KEY_TYPE[family]}; ${RECENT} }`,
    ]),
    ...blockSets.map(set => `set ${set.name} { typeof ${pairOf(set)};${filled(set.name)} }`),
    ...chain(
      'input',
      `type filter hook input priority ${PRIORITY}; policy accept;`,
      ...policy.tunnels.map(tunnel => `${matchOf(tunnel)} meta l4proto @${ALIVE} goto tunnel`),
    ),
    ...chain(
      'tunnel',
      ...FAMILIES.map(
        family => `${saddr(family)} != @${sendersOf(family)} goto refuse-${NFT_FAMILY[family]}`,
      ),
      ...policy.tunnels
        .filter(({ checksSources }) => checksSources)
        .flatMap(tunnel => [
          // The kernel takes off a tag of VLAN 0, behind which no source is compared. No device of ours sends any tag.
          `${matchOf(tunnel)} @th,224,16 { ${VLAN_TAGS.join(', ')} } counter name "${COUNTERS.sources}" drop`,
          ...inner.map(
            family => `${matchOf(tunnel)} ${insideOf(policy, family)} goto source-${NFT_FAMILY[family]}`,
          ),
        ]),
    ),
    ...inner.flatMap(family => sourceChain(family, blockSets)),
    ...FAMILIES.flatMap(refuseChain),
  ];
}

const chain = (name: string, ...lines: readonly string[]) => [
  `chain ${name} {`,
  ...lines.map(line => `  ${line}`),
  '}',
];

const saddr = (family: Family) => `${NFT_FAMILY[family]} saddr`;

const pairOf = ({ outer, inner, bits }: BlockSet) => `${saddr(outer)} . @th,${INNER_SOURCE[inner]},${bits}`;

const matchOf = ({ port, vnis }: GuardedTunnel) =>
  `udp dport ${port}${vnis === undefined ? '' : ` @th,96,24 { ${vnis.join(', ')} }`}`;

/** An IP packet with a source inside of the network. */
function insideOf({ networks }: SenderPolicy, family: Family): string {
  const network = networks[family];
  const type = `@th,224,16 ${ETHERTYPE[family]}`;
  if (network === undefined || network.length === 0) return type;
  const high = network.ip.toBigInt() >> BigInt(ADDRESS_BITS[family] - network.length);
  return `${type} @th,${INNER_SOURCE[family]},${network.length} 0x${high.toString(16)}`;
}

function sourceChain(family: Family, blockSets: readonly BlockSet[]): string[] {
  const sets = blockSets.filter(({ inner }) => inner === family);
  return chain(
    `source-${NFT_FAMILY[family]}`,
    ...sets.map(set => `${pairOf(set)} @${set.name} return`),
    `counter name "${COUNTERS.sources}" drop`,
  );
}

function refuseChain(family: Family): string[] {
  return chain(
    `refuse-${NFT_FAMILY[family]}`,
    `update @${refusedOf(family)} { ${saddr(family)} }`,
    `counter name "${COUNTERS.strangers}" drop`,
  );
}

/** A listing without what changes by itself: counts and times. */
export const comparable = (listing: string): string =>
  listing.replaceAll(/\bpackets \d+ bytes \d+/g, 'counted').replaceAll(/ expires \S+/g, '');
