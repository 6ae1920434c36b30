/**
 * What this host answers to a question itself, as a pure function; all else is another server's.
 *
 *     web                        on the network of the asker, then on the others that its container is on
 *     web.blue                   on that network, if the asker is on it
 *     web.blue.tulle             on any network; nobody else is asked about what ends in `tulle`
 *     2.1.9.10.in-addr.arpa      the name of the container, for addresses of networks
 *
 * A name that has addresses of one family only has no data for the other, and none of any other type: whoever asks would
 * otherwise be told by another server that there is no such name (RFC 4074).
 */
import type { Family, Ip } from '../base/ip.ts';
import { type PerFamily, valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import type { DnsAnswer, DnsRecord } from './answer.ts';
import { CLASS, RCODE, TYPE } from './constants.ts';
import { addressOfReverse, ZONE } from './domain-name.ts';
import type { DnsQuestion } from './query.ts';

/** What is known of names of containers (src/subnet/names). */
export interface AnswerableNames {
  lookup(network: string, name: string): readonly Ip[];
  reverse(ip: Ip): readonly { readonly network: string; readonly name: string }[];
  hasNetwork(network: string): boolean;
}

/** A network as far as questions are about it. */
export interface AskedNetwork {
  readonly name: string;
  /** What containers have addresses of, over all hosts. */
  readonly networks: PerFamily<Prefix>;
}

export interface ResolverContext {
  readonly names: AnswerableNames;
  /** Those that this host has. */
  readonly networks: readonly AskedNetwork[];
  /** Of them those on which the asker is, its own first; none for this host itself. */
  readonly askersNetworks: readonly string[];
  /** Grows with every question, so that addresses of one name come in turns. */
  readonly turn: number;
}

/** Of one answer; nobody goes through more. */
const MOST_ADDRESSES = 256;

export function resolve(question: DnsQuestion, context: ResolverContext): DnsAnswer | 'forward' {
  const { name, type } = question;
  if (question.class !== CLASS.IN && question.class !== CLASS.ANY) return refused;
  if (type === TYPE.AXFR || type === TYPE.IXFR) return refused;
  if (name === ZONE || name.endsWith(`.${ZONE}`)) return inZone(question, context);
  const ip = addressOfReverse(name);
  if (ip !== undefined) return backwards(ip, question, context);
  for (const network of context.askersNetworks) {
    const short = name.endsWith(`.${network}`) ? name.slice(0, -network.length - 1) : undefined;
    const found = [name, ...(short === undefined ? [] : [short])]
      .map(one => context.names.lookup(network, one))
      .find(ips => ips.length > 0);
    if (found !== undefined) return addresses(found, question, context.turn, name);
  }
  return 'forward';
}

const refused: DnsAnswer = { rcode: RCODE.REFUSED, records: [] };

/** Both networks and names may have dots. */
function inZone(question: DnsQuestion, { names, networks, turn }: ResolverContext): DnsAnswer {
  const { name } = question;
  const labels = name.split('.').slice(0, -1);
  for (let at = 1; at < labels.length; at++) {
    const found = names.lookup(labels.slice(at).join('.'), labels.slice(0, at).join('.'));
    if (found.length > 0) return addresses(found, question, turn, ZONE);
  }
  const network = labels.join('.');
  const isThere = network === '' || networks.some(one => one.name === network) || names.hasNetwork(network);
  if (name === ZONE && (question.type === TYPE.SOA || question.type === TYPE.ANY)) {
    return { rcode: RCODE.NOERROR, records: [{ type: 'soa' }] };
  }
  return { rcode: isThere ? RCODE.NOERROR : RCODE.NXDOMAIN, records: [], zone: ZONE };
}

function backwards(ip: Ip, { name, type }: DnsQuestion, context: ResolverContext): DnsAnswer | 'forward' {
  const known = context.names.reverse(ip);
  const isOurs = context.networks.some(({ networks }) =>
    valuesOf(networks).some(block => block.contains(ip)),
  );
  if (known.length === 0) return isOurs ? { rcode: RCODE.NXDOMAIN, records: [], zone: name } : 'forward';
  if (type !== TYPE.PTR && type !== TYPE.ANY) return { rcode: RCODE.NOERROR, records: [], zone: name };
  // The name of the container comes first; its aliases are more than who looks back wants.
  const firsts = new Map(known.toReversed().map(one => [one.network, one.name]));
  const records = Array.from(
    firsts,
    ([network, first]): DnsRecord => ({ type: 'pointer', name: `${first}.${network}.${ZONE}` }),
  );
  return { rcode: RCODE.NOERROR, records };
}

const FAMILY_OF: Readonly<Record<number, Family>> = { [TYPE.A]: 'ipv4', [TYPE.AAAA]: 'ipv6' };

function addresses(ips: readonly Ip[], { type }: DnsQuestion, turn: number, zone: string): DnsAnswer {
  const family = FAMILY_OF[type];
  const wanted = type === TYPE.ANY ? ips : ips.filter(ip => ip.family === family);
  const first = wanted.length === 0 ? 0 : turn % wanted.length;
  const inTurn = [...wanted.slice(first, first + MOST_ADDRESSES), ...wanted.slice(0, first)];
  const records = inTurn.slice(0, MOST_ADDRESSES).map((ip): DnsRecord => ({ type: 'address', ip }));
  return { rcode: RCODE.NOERROR, records, ...(records.length === 0 && { zone }) };
}
