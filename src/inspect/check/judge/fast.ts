/** Findings about flows of our own that should have taken the fast path: packets lost there, or none that went it. Pure. */
import type { Drop, Finding } from '../../../api/inspection.ts';
import { removing } from '../../checks/check.ts';
import type { FastHost } from '../../path/journey.ts';
import { type FastPair, type FastProbe, isCarried } from '../fast-probe.ts';

/** Of those that were sent: less is an accident of a busy machine. */
const LEAST_LOST = 0.2;

export function fastFindings(probes: readonly FastProbe[], here: string): Finding[] {
  return probes.flatMap(probe => {
    const { fast, hosts } = probe;
    if (fast.sent - fast.answered > LEAST_LOST * fast.sent) return [lossFinding(probe, here)];
    return hosts.filter(host => !isCarried(host)).map(host => unusedFinding(host, probe));
  });
}

const pairText = ({ container, target }: FastPair) => `${container} and ${target}`;

function lossFinding({ pair, normal, fast, hosts, views }: FastProbe, here: string): Finding {
  const drops = views.flatMap(({ host, drops: all }) =>
    all.filter(({ packet }) => packet === 'request' || packet === 'reply').map(drop => ({ host, drop })),
  );
  const [found] = drops;
  const host = found?.host ?? here;
  const lost = fast.sent - fast.answered;
  const by = found === undefined ? '' : `; ${found.host} drops them${dropText(found.drop)}`;
  return {
    code: 'FAST_PATH_LOSS',
    severity: 'error',
    host,
    layer: 'limits',
    reason: `packets between ${pairText(pair)} are lost as soon as their flow takes the fast path, ${lost} of ${fast.sent}, and pass on the normal path${by}`,
    evidence: [
      `UDP from ${pair.source} to ${pair.to}: ${normal.answered} of the first ${normal.sent} answered, ${fast.answered} of ${fast.sent} after them`,
      ...hosts.map(hostText),
      ...drops.map(
        ({ host: at, drop }) =>
          `${at}: the kernel dropped ${drop.count}: ${drop.reason}${drop.link === undefined ? '' : ` on ${drop.link}`}`,
      ),
    ].slice(0, 50),
    remedy:
      foreignRemedy(found?.drop) ??
      `start the agent of ${host} with --fast-path=off until the cause is known; tulle report has what helps to find it`,
    fixable: false,
  };
}

const dropText = ({ reason, link, programs = [] }: Drop): string =>
  `${link === undefined ? '' : ` on ${link}`} (${reason})${programs.length === 0 ? '' : `, where there is ${programs.join(', ')}`}`;

/** A program of ours drops nothing, but for a packet whose flow has become another one meanwhile. */
function foreignRemedy(drop: Drop | undefined): string | undefined {
  const isForeign = drop?.programs?.some(text => !text.startsWith('tulle_')) === true;
  return isForeign && drop.link !== undefined ? removing(`bpftool net show dev ${drop.link}`) : undefined;
}

function unusedFinding(host: FastHost, { pair }: FastProbe): Finding {
  const [flow] = host.flows;
  const why =
    flow?.reason ?? (flow === undefined ? 'its programs do not know the flow' : 'only one direction does');
  return {
    code: 'FAST_PATH_UNUSED',
    severity: 'warning',
    host: host.host,
    layer: 'limits',
    reason: `a flow between ${pairText(pair)} takes the normal path over ${host.host}, which is slower, although the programs of the fast path are there: ${why}`,
    evidence: [hostText(host)],
    remedy: `\`tulle status\` on ${host.host} says what keeps packets from it, and how often`,
    fixable: false,
  };
}

function hostText({ host, flows: [flow], text }: FastHost): string {
  if (flow === undefined) return `${host}: ${text}`;
  const { sentPackets, deliveredPackets, localPort, remotePort } = flow;
  return `${host}: flow ${flow.local}:${localPort} ${flow.remote}:${remotePort}, ${sentPackets} packets sent and ${deliveredPackets} delivered on the fast path`;
}
