/**
 * Whether packets of a flow take the fast path of a host, and why not: pure. The order of the reasons is that in which a person
 * can do something about them.
 */
import type { FastFlowReport, FastWay } from '../../api/walk.ts';
import { type FastFlow, isFast, WANTED_SEEN } from '../../fastpath/programs/layout.ts';
import { ROLES, type Role } from '../../fastpath/roles.ts';
import type { LinkProgram } from './link-programs.ts';

/** The two ends of the fast path over one host. */
export interface FastEnds {
  /** Name of the host's end of the container's link, and of the underlay's link. */
  readonly hostEnd: string;
  readonly uplink: string;
}

export interface FastQuestion extends FastEnds {
  readonly host: string;
  readonly protocol: 'icmp' | 'tcp' | 'udp';
  readonly isIpv6: boolean;
  /** What is left out between the two: `docker0`, `flannel.88`. */
  readonly between: readonly string[];
}

export interface FastFacts {
  /** At both links. */
  readonly programs: readonly LinkProgram[];
  /** What the agent says of it; absent where none does. */
  readonly obstacle?: string | undefined;
  readonly hasAgent: boolean;
  /** Between the two ends of the question. */
  readonly flows: readonly FlowNow[];
}

/** A flow with what its maps say of this moment. */
export interface FlowNow {
  readonly flow: FastFlow;
  readonly generation: bigint;
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly now: bigint;
}

const MOST_FLOWS = 5;

export function fastWay(question: FastQuestion, facts: FastFacts): FastWay {
  const reason = whyNormal(question, facts);
  const flows = facts.flows
    .map(flowReport)
    .toSorted((one, other) => packetsOf(other) - packetsOf(one))
    .slice(0, MOST_FLOWS);
  if (reason !== undefined) return { state: 'normal', text: reason, flows };
  const { uplink, hostEnd, between, host } = question;
  const without = `${[...between, `the routes and rules of ${host}`].join(', ')} do not see them`;
  if (flows.some(({ sent, delivered }) => sent || delivered))
    return {
      state: 'fast',
      text: `A flow between these ends takes it: packets pass between ${hostEnd} and ${uplink} only, and ${without}.`,
      flows,
    };
  return {
    state: 'ready',
    text: `A flow takes it, between ${hostEnd} and ${uplink}, as soon as ${WANTED_SEEN} packets of each direction have come unchanged over the normal path. Then ${without}, but for one each half second.`,
    flows,
  };
}

const packetsOf = ({ sentPackets, deliveredPackets }: FastFlowReport) => sentPackets + deliveredPackets;

/** undefined where a flow can go it. */
function whyNormal({ protocol, isIpv6, ...ends }: FastQuestion, facts: FastFacts): string | undefined {
  if (protocol === 'icmp') return 'ICMP always takes the normal path.';
  if (isIpv6) return 'IPv6 packets take the normal path.';
  if (facts.obstacle !== undefined) return sentence(facts.obstacle);
  const missing = missingPrograms(ends, facts.programs);
  if (missing.length === 0) return undefined;
  if (missing.length === Object.keys(ROLES).length)
    return `It is not used on this host: no program of it is at ${ends.hostEnd} or ${ends.uplink}${facts.hasAgent ? '' : ', and no agent answers'}.`;
  return `No flow can be proven: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing${facts.hasAgent ? '' : ', and no agent answers, which would attach it'}.`;
}

const sentence = (text: string) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

/** `receive at the ingress of eth0`. */
export function missingPrograms(ends: FastEnds, programs: readonly LinkProgram[]): string[] {
  return (Object.keys(ROLES) as Role[]).flatMap(role => {
    const { at, point } = ROLES[role];
    const link = at === 'uplink' ? ends.uplink : ends.hostEnd;
    const isThere = programs.some(one => one.role === role && one.link === link && one.point === point);
    return isThere ? [] : [`${role} at the ${point} of ${link}`];
  });
}

function flowReport({ flow, generation, now }: FlowNow): FastFlowReport {
  const { protocol, local, remote, localPort, remotePort, state } = flow;
  const fast = isFast(flow, generation, now);
  const reason = fast.sent && fast.delivered ? undefined : whyNotFast(flow, generation);
  return {
    protocol,
    local: String(local),
    localPort,
    remote: String(remote),
    remotePort,
    ...fast,
    ...(reason !== undefined && { reason }),
    sentPackets: Number(state.sentPackets),
    sentBytes: Number(state.sentBytes),
    deliveredPackets: Number(state.deliveredPackets),
    deliveredBytes: Number(state.deliveredBytes),
  };
}

function whyNotFast({ state, protocol }: FastFlow, generation: bigint): string {
  const { sentSeen, deliveredSeen, cleared } = state;
  if (state.generation !== generation)
    return 'something on this host has changed, and it has not been proven since';
  if (sentSeen === 0 || deliveredSeen === 0)
    return `only ${sentSeen === 0 ? 'packets to the container' : 'packets of the container'} were seen: what goes one way only is never proven`;
  if (sentSeen < WANTED_SEEN || deliveredSeen < WANTED_SEEN)
    return `it is being proven: ${sentSeen} of ${WANTED_SEEN} packets sent, ${deliveredSeen} of ${WANTED_SEEN} delivered`;
  if (protocol === 'tcp' && cleared !== 1)
    return 'connection tracking has not been prepared for it, which the agent does';
  return 'it rests: the next packet of each direction takes the normal path';
}
