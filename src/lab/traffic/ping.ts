/** Who reaches whom: every container from every container and every host on the other hosts. */
import { systemClock } from '../../base/clock.ts';
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
/**
 * Packets that a process sends, all before it reads an answer. With one answer in hand ping waits for the others only for its
 * interval or for twice the longest round trip, whatever its `-W` says (iputils, ping_common.c, schedule_exit): on a busy
 * machine too short, and an answer that is there already counts as lost.
 */
const BURST = 10;
/** Milliseconds per packet of a burst until the next one. */
const INTERVAL = 50;
const WAIT_SECONDS = 5;

export interface PingOptions {
  /** Packets per pair. */
  readonly count: number;
  readonly signal: AbortSignal;
}

/** What became of echo requests. */
interface EchoToll {
  readonly sent: number;
  readonly lost: number;
  /** Average round trip in milliseconds; absent when nothing came back. */
  readonly rtt?: number;
}

export interface PingResult extends EchoToll {
  /** `docker1` or `docker1/c1`. */
  readonly from: string;
  readonly to: string;
  readonly family: Family;
  readonly ip: string;
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

/** In bursts, which follow each other. */
async function ping(netns: string, ip: string, { count, signal }: PingOptions): Promise<EchoToll> {
  const tolls: EchoToll[] = [];
  for (let left = count; left > 0; left -= BURST) {
    if (left < count) await systemClock.sleep(BURST * INTERVAL, signal);
    tolls.push(await burst(netns, ip, Math.min(left, BURST), signal));
  }
  return tollOfAll(tolls);
}

async function burst(netns: string, ip: string, count: number, signal: AbortSignal): Promise<EchoToll> {
  const args = ['-n', '-q', '-c', `${count}`, '-l', `${count}`, '-W', `${WAIT_SECONDS}`, ip];
  // Status 1 is "no answer", 2 "no route"; the counts show both.
  const { stdout } = await run('ping', args, { namespaces: { net: netns }, anyStatus: true, signal });
  return parsePing(stdout, count);
}

export function tollOfAll(tolls: readonly EchoToll[]): EchoToll {
  const total = (of: (toll: EchoToll) => number) => tolls.reduce((sum, toll) => sum + of(toll), 0);
  const sent = total(toll => toll.sent);
  const lost = total(toll => toll.lost);
  const time = total(toll => (toll.rtt ?? 0) * (toll.sent - toll.lost));
  return { sent, lost, ...(sent === lost ? {} : { rtt: time / (sent - lost) }) };
}

/** Reads the summary of iputils' ping. Without one nothing was sent and all is lost. */
export function parsePing(summary: string, count: number): EchoToll {
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(summary) ?? [];
  if (sent === undefined || received === undefined) return { sent: count, lost: count };
  const [, average] = /= [\d.]+\/([\d.]+)\//.exec(summary) ?? [];
  return {
    sent: Number(sent),
    lost: Number(sent) - Number(received),
    ...(average === undefined ? {} : { rtt: Number(average) }),
  };
}
