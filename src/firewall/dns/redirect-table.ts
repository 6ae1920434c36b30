/**
 * The table that leads questions of containers about names to the resolver of this host, in the words of nft(8):
 *
 *     to-resolver  @alive dport 53, not to an address of a network: dnat to the gateway of the bridge they came in by
 *     at-resolver  more from one asker than the resolver should ever be asked: dropped, and counted
 *
 * The elements of `alive` (TCP, UDP) end when no agent has renewed them for two minutes, and the redirection with them: it
 * outlasts an agent that is started again, and leaves containers their own servers when none is.
 *
 * A container that runs a DNS server on a network is reached as ever: what stays inside of networks is not touched.
 */
import { FAMILIES, type Family, type Ip } from '../../base/ip.ts';
import { type PerFamily, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';

export const REDIRECT_TABLE = 'tulle-dns';

export const REDIRECT_ALIVE = 'alive';
/** IPPROTO_TCP, IPPROTO_UDP. */
export const REDIRECT_PROTOCOLS = [Uint8Array.of(6), Uint8Array.of(17)];
const ALIVE_FOR = '2m';

/** Before Docker's `dstnat` (-100), and before what others have at `filter` (0). */
const PRIORITIES = { redirect: -110, limit: -10 } as const;
/** Datagrams per second of one asker. A container that does nothing else asks a few thousand. */
const MOST_PER_SECOND = 5000;

/** What is redirected, and whose questions are limited. */
export interface DnsRedirect {
  /** Bridges of networks, and where their questions go. */
  readonly redirected: readonly { readonly bridge: string; readonly gateways: PerFamily<Ip> }[];
  /** All bridges by which questions come in. */
  readonly bridges: readonly string[];
  /** Questions to these addresses stay as they are. */
  readonly own: readonly Prefix[];
}

const WORDS = {
  ipv4: { field: 'ip', type: 'ipv4_addr' },
  ipv6: { field: 'ip6', type: 'ipv6_addr' },
} as const satisfies Record<Family, object>;

/** One transaction that leaves exactly this in the table, whatever was there. */
export function redirectScript({ redirected, bridges, own }: DnsRedirect): string {
  const families = FAMILIES.filter(family =>
    redirected.some(({ gateways }) => gateways[family] !== undefined),
  );
  const names = bridges.map(name => JSON.stringify(name));
  return [
    `table inet ${REDIRECT_TABLE} {}`,
    `delete table inet ${REDIRECT_TABLE}`,
    `table inet ${REDIRECT_TABLE} {`,
    ...families.flatMap(family => {
      const { field, type } = WORDS[family];
      const gateways = redirected.flatMap(({ bridge, gateways: of }) =>
        of[family] === undefined ? [] : [`${JSON.stringify(bridge)} : ${of[family]}`],
      );
      const blocks = own.filter(block => block.family === family).map(String);
      return [
        `  map gateways-${field} { type ifname : ${type}; elements = { ${gateways.join(', ')} }; }`,
        `  set own-${field} { type ${type}; flags interval; auto-merge; ${elements(blocks)} }`,
      ];
    }),
    ...FAMILIES.map(family => {
      const { field, type } = WORDS[family];
      return `  set askers-${field} { type ${type}; size 4096; flags dynamic,timeout; timeout 10s; }`;
    }),
    `  set ${REDIRECT_ALIVE} { type inet_proto; flags timeout; timeout ${ALIVE_FOR}; elements = { tcp, udp }; }`,
    `  set bridges { type ifname; ${elements(names)} }`,
    '  counter refused { }',
    `  chain to-resolver { type nat hook prerouting priority ${PRIORITIES.redirect}; policy accept;`,
    ...families.map(family => {
      const { field } = WORDS[family];
      const toOthers = `meta l4proto @${REDIRECT_ALIVE} th dport 53 ${field} daddr != @own-${field}`;
      return `    ${toOthers} dnat ${field} to iifname map @gateways-${field}`;
    }),
    '  }',
    `  chain at-resolver { type filter hook input priority ${PRIORITIES.limit}; policy accept;`,
    ...FAMILIES.map(family => {
      const { field } = WORDS[family];
      const limit = `limit rate over ${MOST_PER_SECOND}/second burst ${MOST_PER_SECOND} packets`;
      const tooMany = `update @askers-${field} { ${field} saddr ${limit} }`;
      return `    iifname @bridges udp dport 53 ${tooMany} counter name refused drop`;
    }),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** The same for the same redirection. */
export const redirectText = ({ redirected, bridges, own }: DnsRedirect): string =>
  JSON.stringify([redirected.map(({ bridge, gateways }) => [bridge, valuesOf(gateways)]), bridges, own]);

const elements = (values: readonly string[]) =>
  values.length === 0 ? '' : `elements = { ${values.join(', ')} };`;
