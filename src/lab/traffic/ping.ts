/** Who reaches whom: every container from every container and every host on the other hosts. */
import type { Family } from '../../base/ip.ts';
import { parallel } from '../../base/parallel.ts';
import { familiesOf, valuesOf } from '../../base/per-family.ts';
import { isAlive } from '../../sys/pidfd.ts';
import { run } from '../../sys/process.ts';
import { LabHost } from '../host/host.ts';
import { labAsItIs } from '../record/as-it-is.ts';
import type { HostRecord, LabRecord } from '../record/record.ts';

/** Pings running at the same time; each is a process. */
const AT_ONCE = 24;
const INTERVAL_SECONDS = 0.05;
const WAIT_SECONDS = 2;

export interface PingOptions {
  /** Packets per pair. */
  readonly count: number;
  readonly signal: AbortSignal;
}

export interface PingResult {
  /** `docker1` or `docker1/c1`. */
  readonly from: string;
  readonly to: string;
  readonly family: Family;
  readonly ip: string;
  readonly sent: number;
  readonly lost: number;
  /** Average round trip in milliseconds; absent when nothing came back. */
  readonly rtt?: number;
}

export interface PingReport {
  readonly pairs: number;
  readonly sent: number;
  readonly lost: number;
  readonly results: readonly PingResult[];
}

interface Place {
  readonly name: string;
  readonly host: string;
  /** File of its network namespace. */
  readonly netns: string;
  readonly isUp: boolean;
}

/** Pings all pairs, of both families where there are two. A packet that does not come back is a result, not an error. */
export async function pingAll(lab: LabRecord, options: PingOptions): Promise<PingReport> {
  const { hosts } = await labAsItIs(lab, options.signal);
  const pairs = hosts
    .filter(takesPart)
    .flatMap(placesOf)
    .flatMap(from =>
      hosts
        .filter(host => host.name !== from.host)
        .flatMap(host =>
          host.containers.flatMap(({ name, ip }) =>
            familiesOf(ip).map(family => ({
              from,
              to: `${host.name}/${name}`,
              family,
              ip: ip[family] ?? '',
            })),
          ),
        ),
    );
  const results = await parallel(pairs, { limit: AT_ONCE, signal: options.signal }, async (pair, signal) => ({
    from: pair.from.name,
    to: pair.to,
    family: pair.family,
    ip: pair.ip,
    // Of a host that is down the number of the process may be another's by now.
    ...(pair.from.isUp
      ? await ping(pair.from.netns, pair.ip, { ...options, signal })
      : { sent: options.count, lost: options.count }),
  }));
  const total = (of: (result: PingResult) => number) => results.reduce((sum, result) => sum + of(result), 0);
  return { pairs: results.length, sent: total(({ sent }) => sent), lost: total(({ lost }) => lost), results };
}

/** A router or an outside host need not reach containers. */
const takesPart = ({ containers, subnet }: HostRecord) =>
  containers.length > 0 || valuesOf(subnet).length > 0;

/** A host and its containers, as places to ping from. */
function placesOf(record: HostRecord): Place[] {
  const host = new LabHost(record.name, record.anchor);
  const isUp = isAlive(record.anchor);
  return [
    { name: record.name, host: record.name, netns: host.netnsFile, isUp },
    ...record.containers.map(({ name, netns }) => ({
      name: `${record.name}/${name}`,
      host: record.name,
      netns: host.path(netns),
      isUp,
    })),
  ];
}

async function ping(
  netns: string,
  ip: string,
  { count, signal }: PingOptions,
): Promise<Pick<PingResult, 'sent' | 'lost' | 'rtt'>> {
  const args = ['-n', '-q', '-c', `${count}`, '-i', `${INTERVAL_SECONDS}`, '-W', `${WAIT_SECONDS}`, ip];
  // Status 1 is "no answer", 2 "no route"; the counts show both.
  const { stdout } = await run('ping', args, { namespaces: { net: netns }, anyStatus: true, signal });
  return parsePing(stdout, count);
}

/** Reads the summary of iputils' ping. Without one nothing was sent and all is lost. */
export function parsePing(summary: string, count: number): Pick<PingResult, 'sent' | 'lost' | 'rtt'> {
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(summary) ?? [];
  if (sent === undefined || received === undefined) return { sent: count, lost: count };
  const [, average] = /= [\d.]+\/([\d.]+)\//.exec(summary) ?? [];
  return {
    sent: Number(sent),
    lost: Number(sent) - Number(received),
    ...(average === undefined ? {} : { rtt: Number(average) }),
  };
}
