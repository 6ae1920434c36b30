/** A trace for a person: what came, then hook by hook each decision, then the end. */

import type { PacketTrace, TraceEnd, TraceHop } from './hops.ts';
import { destinationOf, formatTracedPacket, sourceOf, type TracedPacket } from './packet.ts';

/**
 *     tcp 192.168.65.4:40112 -> 192.168.65.3:10080, in eth0
 *     prerouting
 *       nat PREROUTING: -m addrtype --dst-type LOCAL -j DOCKER => jump DOCKER
 *       nat DOCKER: ! -i docker0 -p tcp ... -j DNAT ... => accept
 *         destination becomes 172.17.0.2:80
 *     forward, out docker0
 *       ...
 *     sent, out docker0: tcp 192.168.65.4:40112 -> 172.17.0.2:80
 */
export function traceLines({ packet, input, hops, end }: PacketTrace): string[] {
  const lines = [`${formatTracedPacket(packet)}${input === undefined ? '' : `, in ${input}`}`];
  let hook: string | undefined;
  let known = packet;
  const follow = (now: TracedPacket, by = '') => {
    lines.push(...translationLines(known, now).map(line => `    ${line}${by}`));
    known = now;
  };
  for (const hop of hops) {
    follow(hop.packet, BY_CONNTRACK);
    if (hop.hook !== hook) lines.push(hookLine(hop));
    ({ hook } = hop);
    lines.push(`  ${hopLine(hop)}`);
    if (hop.translated !== undefined) follow(hop.translated);
  }
  follow(end.packet, BY_CONNTRACK);
  return [...lines, endLine(end)];
}

/** The first packet of a connection has decided it; the others meet no chain of type nat. */
const BY_CONNTRACK = ' (conntrack: a known connection)';

const hookLine = ({ hook, input, output }: TraceHop) =>
  [hook, input && `in ${input}`, output && `out ${output}`].filter(Boolean).join(', ');

/** What of a hop is said. */
type HopInWords = Pick<TraceHop, 'family' | 'table' | 'chain' | 'kind' | 'verdict' | 'target'> & {
  readonly rule?: Partial<NonNullable<TraceHop['rule']>>;
};

/** `filter FORWARD: -j DOCKER-USER => jump DOCKER-USER`, without the handle of a rule that has a text. */
export function hopLine({ family, table, chain, kind, rule, verdict, target }: HopInWords): string {
  // Of the two families of IP, the packet's own is the one that is meant.
  const words = family.split(' ').filter(word => word !== 'ip' && word !== 'ip6');
  const place = [...words, table, chain].join(' ');
  if (kind === 'policy') return `${place}: policy ${verdict}`;
  if (kind === 'end') return `${place}: end of the chain`;
  const what = rule?.iptables ?? rule?.text ?? `rule with handle ${rule?.handle}`;
  const to = target === undefined ? verdict : `${verdict} ${target}`;
  return verdict === 'continue' ? `${place}: ${what}` : `${place}: ${what} => ${to}`;
}

function translationLines(before: TracedPacket, after: TracedPacket): string[] {
  const [source, destination] = [sourceOf(after), destinationOf(after)];
  return [
    ...(source === sourceOf(before) ? [] : [`source becomes ${source}`]),
    ...(destination === destinationOf(before) ? [] : [`destination becomes ${destination}`]),
  ];
}

function endLine(end: TraceEnd): string {
  const packet = formatTracedPacket(end.packet);
  switch (end.kind) {
    case 'delivered':
      return `delivered to this host: ${packet}`;
    case 'sent':
      return `sent${end.output === undefined ? '' : `, out ${end.output}`}: ${packet}`;
    case 'dropped':
      return `dropped: ${packet}`;
    case 'lost':
      return `not seen again after ${end.after}: ${packet}`;
    case 'cut':
      return `and more: ${packet}`;
  }
}
