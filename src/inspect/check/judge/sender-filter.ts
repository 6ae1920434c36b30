/**
 * What Tulle's own filter of senders has refused: a tunnel packet from an address that is no peer's, or with a source inside that
 * is not its sender's. The filter is right as long as the agent keeps it; what is wrong has sent the packet so. Pure.
 */
import type { FilterVerdict } from '../../../api/inspection.ts';
import { COUNTERS, isSenderTable } from '../../../firewall/senders/table.ts';
import type { Around, Said } from './by-way.ts';
import type { Place } from './place.ts';
import type { Root } from './roots.ts';

/** `inet tulle-senders-10.77.0.0-16 source-ip`: family, table and chain. */
export function isSenderFilter({ chain }: FilterVerdict): boolean {
  const [, table = ''] = chain.split(' ');
  return isSenderTable(table);
}

export function bySenderFilter(
  { peer }: Root,
  { verdicts }: Place,
  { site, others }: Around,
): Said | undefined {
  const verdict = verdicts.find(isSenderFilter);
  if (verdict === undefined || peer === undefined) return undefined;
  const receiver = verdict.host;
  const sender = receiver === site.host ? peer.peer.name : site.host;
  const isInner = verdict.rule.includes(COUNTERS.sources);
  // Whoever is alone with it is at fault; of two hosts it is the one that sends.
  const host = others === 'all' ? peer.peer.name : others === 'none' ? site.host : sender;
  return {
    code: 'SENDER_REFUSED',
    layer: 'tunnel',
    host,
    reason: isInner
      ? `${receiver} takes no tunnel packets of ${sender} with a source inside that is not in the subnet of ${sender}: a route or a rule there has led or changed them`
      : `${receiver} takes no tunnel packets from the address that those of ${sender} come from: it is not in the lease of ${sender}, or the filter of ${receiver} is not kept`,
    remedy: isInner
      ? `a trace between the two shows the way, and \`tulle capture\` on ${sender} the packets`
      : `\`tulle lease list\` has the addresses of hosts, and \`tulle capture\` on ${receiver} the one that they come from; a running agent on ${receiver} keeps its filter`,
  };
}
