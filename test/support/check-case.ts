/** A check of docker1 against docker2 and docker3, one container on each: everything answers, to be changed by tests. */
import type { Finding, InspectionReport, Observation, Sighting } from '../../src/api/inspection.ts';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { Case, PeerCase, WatchedRung } from '../../src/inspect/check/judge/case.ts';
import { judge } from '../../src/inspect/check/judge/judge.ts';
import { innerRungs, outerRungs, ownRungs } from '../../src/inspect/check/ladder.ts';
import type { Rung, RungResult } from '../../src/inspect/check/rung.ts';
import type { CheckSite, PeerSite } from '../../src/inspect/check/site.ts';

const host = (number: number): PeerSite => ({
  key: `10.5.${number}.0-24`,
  name: `docker${number}`,
  names: [`docker${number}`, `192.168.65.${number}`, `10.5.${number}.0/24`],
  subnets: { ipv4: Prefix.parse(`10.5.${number}.0/24`) },
  underlay: { ipv4: Ip.parse(`192.168.65.${number}`) },
  isTulle: true,
  links: ['flannel.1'],
});

export const docker2 = host(2);
export const docker3 = host(3);

export const site: CheckSite = {
  host: 'docker1',
  networks: { ipv4: Prefix.parse('10.5.0.0/16') },
  subnets: { ipv4: Prefix.parse('10.5.1.0/24') },
  underlay: { ipv4: Ip.parse('192.168.65.1') },
  underlayLink: 'eth0',
  underlayMtu: 1500,
  overlayMtu: 1450,
  tunnel: { ipv4: 'flannel.1' },
  tunnelPort: 8472,
  peers: [docker2, docker3],
};

export const report = (number: number, changes: Partial<InspectionReport> = {}): InspectionReport => ({
  host: `docker${number}`,
  time: 1_790_000_000_000,
  agent: { version: '0.1.0', state: 'ready' },
  subnets: [`10.5.${number}.0/24`],
  bridgeAddresses: [`10.5.${number}.1`],
  underlayAddresses: [`192.168.65.${number}`],
  containers: [{ name: 'c1', addresses: [`10.5.${number}.2`], hostLink: 'veth-c1', bridge: 'docker0' }],
  findings: [],
  blind: [],
  ...changes,
});

export const finding = (changes: Partial<Finding> & Pick<Finding, 'code' | 'host' | 'layer'>): Finding => ({
  severity: 'error',
  reason: `${changes.code} on ${changes.host}`,
  evidence: [],
  remedy: 'mend it',
  fixable: false,
  ...changes,
});

/** How many of ten probes of a rung are answered; all when undefined. */
export type Answers = (rung: Rung) => number | undefined;
/** Nothing of docker2 answers; nothing over the overlay; nothing behind its tunnel. */
export const toDocker2: Answers = ({ peer }) => (peer === 'docker2' ? 0 : undefined);
export const overlayOfDocker2: Answers = ({ peer, kind }) =>
  peer === 'docker2' && kind !== 'underlay' ? 0 : undefined;
export const insideDocker2: Answers = ({ peer, kind }) =>
  peer === 'docker2' && kind !== 'underlay' && kind !== 'tunnel' ? 0 : undefined;

const answered =
  (answers: Answers) =>
  (rung: Rung): RungResult => {
    const count = answers(rung) ?? 10;
    return { ...rung, sent: 10, answered: count, ...(count > 0 && { ms: 0.2 }) };
  };

export interface CaseChanges {
  readonly answers?: Answers;
  readonly reports?: Readonly<Record<number, Partial<InspectionReport>>>;
  /** Peers whose agents cannot be asked, and why. */
  readonly unasked?: Readonly<Record<string, string>>;
  readonly links?: readonly string[];
}

export function checkCase({ answers = () => undefined, reports = {}, unasked = {} }: CaseChanges = {}): Case {
  const own = report(1, reports[1]);
  const peerCase = (peer: PeerSite, number: number): PeerCase => {
    const why = unasked[peer.name];
    const its = report(number, reports[number]);
    const inside = {
      own: own.containers,
      theirs: why === undefined ? its.containers : [],
      bridges: why === undefined ? its.bridgeAddresses : [],
    };
    return {
      peer,
      rungs: [...outerRungs(site, peer), ...innerRungs(site, peer, inside)].map(answered(answers)),
      ...(why === undefined ? { report: its } : { unasked: why }),
    };
  };
  return {
    site,
    report: own,
    own: ownRungs(site, own.containers, own.bridgeAddresses).map(answered(answers)),
    peers: [peerCase(docker2, 2), peerCase(docker3, 3)],
    asked: ['docker2', 'docker3'],
    watched: [],
  };
}

/** Points as a line each: `docker1 port in request`, with `!` before those in a tunnel's packet. */
export function seen(
  number: number,
  lines: readonly string[],
  changes: Partial<Observation> = {},
): Observation {
  const links = { port: 'veth-c1', bridge: 'docker0', tunnel: 'flannel.1', uplink: 'eth0', other: 'dummy0' };
  return {
    host: `docker${number}`,
    sightings: lines.map(line => {
      const [, point, direction, packet, count] = /^(\w+) (in|out) (\w+)(?: (\d+))?$/.exec(line) ?? [];
      return {
        link: links[point as Sighting['point']],
        point: point as Sighting['point'],
        direction: direction as Sighting['direction'],
        packet: packet as Sighting['packet'],
        encapsulated: point === 'uplink',
        count: Number(count ?? 4),
      };
    }),
    drops: [],
    verdicts: [],
    silent: [],
    counters: [],
    blind: [],
    ...changes,
  };
}

export const withWatched = (known: Case, ...watched: readonly WatchedRung[]): Case => ({ ...known, watched });

/** Each finding in short, in order. */
export const causes = (known: Case) => judge(known).findings.map(({ code, host }) => `${code} ${host}`);

/** What hosts have seen of a rung of docker2. */
export function watchedRung(
  { peers }: Case,
  isMeant: (rung: RungResult) => boolean,
  views: Pick<WatchedRung, 'here' | 'there' | 'unwatched'>,
  sent = 4,
): WatchedRung {
  const rung = peers[0]?.rungs.find(isMeant);
  if (rung === undefined) throw new Error('docker2 has no such rung');
  return { rung, sent, answered: 0, ...views };
}

/** From a container of docker1 to its uplink. */
export const LEAVES = ['port in request', 'bridge in request', 'tunnel out request', 'uplink out request'];
/** From the uplink of docker2 to its container. */
export const ARRIVES = ['uplink in request', 'tunnel in request', 'bridge out request', 'port out request'];

/** What hosts have seen of the rung to the container of docker2: it crosses docker1, and this much of docker2. */
export function watchedInside(
  known: Case,
  lines: readonly string[],
  changes: Partial<Observation> = {},
): WatchedRung {
  const views = { here: seen(1, LEAVES), there: seen(2, lines, changes) };
  return watchedRung(known, ({ kind }) => kind === 'container', views);
}
