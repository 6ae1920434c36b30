/** A journey for a person: host by host, each hop with the entries that decide it, and what breaks it. */
import type { FastFlowReport } from '../../api/walk.ts';
import type { Ip } from '../../base/ip.ts';
import { formatBytes, formatCount, formatDuration, formatNumber } from '../../console/format.ts';
import { paint } from '../../console/output.ts';
import { wrap } from '../../console/table.ts';
import type { BrokenHop, SeenHop } from './broken-hop.ts';
import type { TraceResult } from './trace-journey.ts';

/** @param nameOf who has an address of an end, as far as it is known */
export function journeyScreen(result: TraceResult, nameOf: (ip: Ip) => string | undefined): string {
  const { hops, broken } = result;
  // What comes behind the broken hop, no packet has come to.
  const shown = broken === undefined ? hops : hops.filter(({ number }) => number <= broken.number);
  const width = Math.max(0, ...shown.map(({ place }) => place.length));
  const blocks = result.legs.flatMap(({ packet, from, to }) => {
    const own = shown.filter(hop => hop.packet === packet);
    if (own.length === 0) return [];
    const [sender, receiver] = [from, to].map(ip => [nameOf(ip), ip].filter(Boolean).join(' '));
    const title = `${packet === 'request' ? '' : 'The answer, '}${sender} > ${receiver}`;
    return [[wrap(paint('bold', title), 2), ...hostLines(own, width, broken?.number)].join('\n')];
  });
  return [...blocks, ...fastBlock(result), endLines(result).join('\n')].join('\n\n');
}

function hostLines(hops: readonly SeenHop[], width: number, broken: number | undefined): string[] {
  let host: string | undefined;
  return hops.flatMap(hop => {
    const head = hop.host === host ? [] : [`${hop.host}:`];
    ({ host } = hop);
    return [...head, ...hopLines(hop, width, hop.number === broken)];
  });
}

function hopLines(
  { number, place, story, entries, seen, rules }: SeenHop,
  width: number,
  isBroken: boolean,
): string[] {
  const mark = isBroken ? paint('red', '✗') : seen === true ? paint('green', '✓') : ' ';
  const indent = width + 9;
  const line = (text: string) => wrap(`${' '.repeat(indent)}${text}`, indent + 2);
  return [
    wrap(`${mark} ${String(number).padStart(3)}  ${paint('bold', place.padEnd(width))}  ${story}`, indent),
    ...entries.map(entry => line(paint('cyan', entry))),
    ...rules.map(({ verdict, chain, rule, hook }) =>
      line(`${hook === undefined ? '' : `${hook}: `}${verdict} by ${chain}: ${paint('cyan', rule)}`),
    ),
  ];
}

/** What comes after: the packet itself takes the normal path. */
function fastBlock({ fastPath, broken }: TraceResult): string[] {
  if (fastPath.length === 0 || broken !== undefined) return [];
  const hosts = fastPath.flatMap(({ host, text, flows }) => [
    wrap(`${host}: ${text}`, 2),
    ...flows.map(flow => wrap(`  ${paint('cyan', flowLine(flow))}`, 4)),
  ]);
  const isUsed = fastPath.some(({ state }) => state !== 'normal');
  const note =
    'The steps above are the normal path: the first packets of a flow take it, and what they meet decides.';
  return [[paint('bold', 'The fast path'), ...hosts, ...(isUsed ? [wrap(note, 2)] : [])].join('\n')];
}

/** `tcp 10.5.1.2:40000 10.5.2.2:80: fast, 12 packets out (1.2 kB), 9 in (1 kB)`. */
function flowLine(flow: FastFlowReport): string {
  const { protocol, local, localPort, remote, remotePort, sent, delivered, reason } = flow;
  const state = sent && delivered ? 'fast' : sent ? 'fast out' : delivered ? 'fast in' : 'normal path';
  const out = `${formatCount(flow.sentPackets, 'packet')} out (${formatBytes(flow.sentBytes)})`;
  const back = `${formatNumber(flow.deliveredPackets)} in (${formatBytes(flow.deliveredBytes)})`;
  const why = reason === undefined ? '' : `; ${reason}`;
  return `${protocol} ${local}:${localPort} ${remote}:${remotePort}: ${state}, ${out}, ${back} so far${why}`;
}

function endLines(result: TraceResult): string[] {
  const { broken, sent, unasked, blind } = result;
  const notes = [
    ...unasked.map(({ host, reason }) => `Not from ${host}: ${reason}.`),
    ...blind.map(sentence => `Not seen: ${sentence}.`),
  ].map(line => wrap(line, 2));
  if (broken === undefined) return [...notes, wrap(goodEnd(result), 2)];
  return [
    ...notes,
    wrap(`${paint('red', '✗')} Broken at ${broken.number}, ${placeOf(broken)}: ${broken.reason}`, 2),
    wrap(`  → ${broken.remedy}`, 4),
    ...(sent === undefined ? ['  No packet was sent: this is what the entries say.'] : []),
  ];
}

const placeOf = ({ place, host }: BrokenHop): string => (place === host ? host : `${place} of ${host}`);

function goodEnd({ sent, unmeasured, unasked, isHidden }: TraceResult): string {
  if (isHidden)
    return 'Nothing came back, which a program need not answer. Behind the translation the packet is not known again: whether it arrived was not seen.';
  switch (sent?.outcome) {
    case 'answered':
      return `${paint('green', '✓')} The answer came after ${formatDuration(sent.ms ?? 0)}.`;
    case 'closed':
      return `${paint('green', '✓')} It arrived after ${formatDuration(sent.ms ?? 0)}: no program has the port, and the kernel there says so.`;
    case 'silent':
    case 'unreachable':
      return `${paint('green', '✓')} It arrived. Nothing came back: a program need not answer a datagram.`;
    case undefined:
      return unasked.length === 0
        ? `The entries lead from end to end. No packet was sent: ${unmeasured}.`
        : `The entries of this half lead on. No packet was sent: ${unmeasured}.`;
  }
}
