/**
 * Foreign nftables chains that stop the overlay. At a hook every base chain must let a packet pass, so an accept
 * of ours does not help against a drop in a table of somebody else, of firewalld for example. Such tables are
 * not ours to change, so they are named to the person who can.
 *
 * Whether a chain lets our packets pass before it drops the rest cannot be told without running it. A table
 * that mentions the network is taken to know about it.
 */
import * as v from 'valibot';
import { Ip } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';

/** A chain that the kernel itself calls. */
export interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string;
  readonly policy: string;
}

/** Tables of iptables-nft: getting past their drops is the business of the iptables engine. */
const IPTABLES_TABLES = ['filter', 'nat', 'mangle', 'raw', 'security'];

/** The chains that see forwarded packets, except those of iptables and our own. */
export function foreignForwardChains(chains: readonly BaseChain[]): readonly BaseChain[] {
  return chains.filter(
    ({ family, table, hook }) =>
      hook === 'forward' &&
      !(['ip', 'ip6'].includes(family) && (IPTABLES_TABLES.includes(table) || table.startsWith('flannel-'))),
  );
}

const Listing = v.object({
  nftables: v.array(
    v.looseObject({
      rule: v.optional(
        v.looseObject({ chain: v.string(), expr: v.array(v.record(v.string(), v.unknown())) }),
      ),
    }),
  ),
});

/**
 * Why packets of `networks` do not pass the chain, one sentence, or undefined when nothing says so.
 * @param listing of the chain's table, from `nft -j list table`. @throws SyntaxError, ValiError
 */
export function obstacleIn(
  chain: BaseChain,
  listing: string,
  networks: readonly Prefix[],
): string | undefined {
  const { nftables } = v.parse(Listing, JSON.parse(listing));
  const rules = nftables.flatMap(({ rule }) => (rule?.chain === chain.name ? [rule.expr] : []));
  const concerned = networks.filter(({ family }) => chain.family !== (family === 'ipv4' ? 'ip6' : 'ip'));
  const unknown = concerned.filter(network => !mentions(listing, network));
  if (unknown.length === 0 || !(chain.policy === 'drop' || endsInDrop(rules.at(-1)))) return undefined;
  const place = `chain ${chain.name} of nftables table ${chain.family} ${chain.table}`;
  return `${place} drops what it does not accept itself, and does not mention ${unknown.join(' and ')}`;
}

/** A rule without a condition that drops or rejects; counting and logging on the way are no conditions. */
function endsInDrop(rule: readonly Readonly<Record<string, unknown>>[] | undefined): boolean {
  const effects = rule?.filter(expression => !('counter' in expression || 'log' in expression)) ?? [];
  const [effect] = effects;
  return effects.length === 1 && effect !== undefined && ('drop' in effect || 'reject' in effect);
}

/** Of dockerd's nftables backend (version 29): the chain that drops what comes to a container past its bridge. */
export const isDockersRaw = ({ table, name }: BaseChain): boolean =>
  table === 'docker-bridges' && name === 'raw-PREROUTING';

/**
 * Why packets of `networks` do not reach containers, one sentence, or undefined when nothing says so. There is one such
 * rule per container; what they have in common with those of the iptables backend is said in docker-rules.ts, but in
 * nftables nothing can be accepted before them.
 * @param listing of the chain's table, from `nft -j list table`. @throws SyntaxError, ValiError
 */
export function dockerObstacle(listing: string, networks: readonly Prefix[]): string | undefined {
  const { nftables } = v.parse(Listing, JSON.parse(listing));
  const container = nftables
    .flatMap(({ rule }) => (rule?.expr.some(expression => 'drop' in expression) ? rule.expr : []))
    .map(destinationOf)
    .find(ip => ip !== undefined && networks.some(network => network.contains(ip)));
  if (container === undefined) return undefined;
  return (
    `nftables rules of dockerd drop what comes to ${container} and other containers from other hosts; ` +
    'run dockerd with --firewall-backend=iptables'
  );
}

const DestinationMatch = v.object({
  match: v.object({
    left: v.object({ payload: v.object({ field: v.literal('daddr') }) }),
    right: v.string(),
  }),
});

function destinationOf(expression: Readonly<Record<string, unknown>>): Ip | undefined {
  const { success, output } = v.safeParse(DestinationMatch, expression);
  return success ? Ip.tryParse(output.match.right) : undefined;
}

const mentions = (listing: string, { ip, length }: Prefix) =>
  listing.includes(`"addr": "${ip}", "len": ${length}`) || listing.includes(`"addr":"${ip}","len":${length}`);
