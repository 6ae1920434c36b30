/** Clears flows of a host with its kernel, and looks after those that became idle. */
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { connectConntrack } from '../netlink/netfilter/connect-conntrack.ts';
import type { Netns } from '../sys/netns.ts';
import { readSysctl } from '../sys/sysctl.ts';
import { Clearance } from './clearance.ts';
import { type FastPathMaps, readFlows } from './fast-path-maps.ts';
import { IdleFlows } from './idle-flows.ts';

/**
 * @param maps of the programs; they must not be closed before the end of it
 * @param netns of this host's links. @throws SysError
 */
export function startClearance(
  { unproven, cleared, flows }: Pick<FastPathMaps, 'unproven' | 'cleared' | 'flows'>,
  netns: Netns,
  log: Logger,
): Clearance {
  const conntrack = connectConntrack(netns);
  const idle = new IdleFlows({
    flows: () => readFlows(flows),
    conntrack,
    timeout: () => numberOf(readSysctl('net/netfilter/nf_conntrack_tcp_timeout_established', netns)),
    clock: systemClock,
    log,
  });
  const isTracking = () => readSysctl('net/netfilter/nf_conntrack_max', netns) !== undefined;
  return new Clearance({ unproven, cleared, conntrack, isTracking, log, idle });
}

const numberOf = (text: string | undefined) => (text === undefined ? undefined : Number(text));
