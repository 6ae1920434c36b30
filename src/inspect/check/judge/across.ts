/** What only the reports of several hosts together show: an address that two have, clocks that differ. Pure. */
import type { Finding, InspectionReport } from '../../../api/inspection.ts';
import { Ip } from '../../../base/ip.ts';
import { Prefix } from '../../../base/prefix.ts';
import { isOk } from '../rung.ts';
import type { Case, PeerCase } from './case.ts';

/** Milliseconds between two clocks that certificates and leases bear, and that no transport explains. */
const MOST_SKEW = 60_000;

export function acrossHosts(known: Case): Finding[] {
  const { report, peers } = known;
  const reports = [report, ...peers.flatMap(peer => peer.report ?? [])];
  return [
    ...duplicates(reports),
    ...takenAddresses(known, reports),
    ...sharedMacs(known, reports),
    ...peers.flatMap(silentAgent),
    ...peers.flatMap(peer => (peer.report === undefined ? [] : skew(report, peer.report))),
  ];
}

/** An agent that can be asked, and is not there although its host is. */
function silentAgent({ peer: { name }, rungs, unasked = '', failure }: PeerCase): Finding[] {
  if (!rungs.some(rung => rung.kind === 'underlay' && isOk(rung))) return [];
  const silent = {
    severity: 'warning' as const,
    host: name,
    layer: 'agent' as const,
    evidence: [unasked],
    fixable: false,
  } satisfies Partial<Finding>;
  if (failure === 'NOT_LISTENING') {
    return [
      {
        ...silent,
        code: 'AGENT_DOWN',
        reason: `no agent runs on ${name}: packets pass as before, and what changes in the network is not followed there`,
        remedy: `start it on ${name}, and see why it ended: \`journalctl -u tulle\``,
      },
    ];
  }
  if (failure !== 'UNREACHABLE' && failure !== 'TIMEOUT') return [];
  return [
    {
      ...silent,
      code: 'AGENT_SILENT',
      reason: `${name} answers, and its agent does not: it hangs, or a firewall is before its port`,
      remedy: `see \`tulle status\` on ${name}`,
    },
  ];
}

interface Owner {
  readonly host: string;
  readonly container: string;
  readonly isOwn: boolean;
}

/** An address of a container that has a namesake on another host; the one outside of its host's lease is wrong. */
function duplicates(reports: readonly InspectionReport[]): Finding[] {
  const owners = new Map<string, Owner[]>();
  for (const { host, containers, subnets } of reports) {
    for (const { name, addresses } of containers) {
      for (const address of addresses.filter(isUnicast)) {
        const known = owners.get(address) ?? [];
        owners.set(address, [...known, { host, container: name, isOwn: isLeased(address, subnets) }]);
      }
    }
  }
  return [...owners].flatMap(([address, all]) => {
    const hosts = new Set(all.map(({ host }) => host));
    // Outside of every lease, addresses of different hosts never meet.
    if (hosts.size < 2 || !all.some(({ isOwn }) => isOwn)) return [];
    const wrong = all.find(({ isOwn }) => !isOwn) ?? all[0];
    if (wrong === undefined) return [];
    return [
      {
        code: 'DUPLICATE_ADDRESS',
        severity: 'error',
        host: wrong.host,
        layer: 'container',
        reason: `${all.map(({ container, host }) => `${container} on ${host}`).join(' and ')} have the same address, ${address}: packets for it reach one of them`,
        evidence: all.map(({ host, container }) => `${host}: ${container} has ${address}`),
        remedy: `give ${wrong.container} on ${wrong.host} an address of its host's subnet`,
        fixable: false,
      } satisfies Finding,
    ];
  });
}

/** Whether this host has asked that one over the underlay in vain, in whichever direction packets are lost. */
const isCutOff = ({ peers }: Case, hosts: readonly string[]): boolean =>
  peers.some(
    ({ peer, rungs }) =>
      hosts.includes(peer.name) && rungs.some(rung => rung.kind === 'underlay' && !isOk(rung)),
  );

/**
 * Another machine answers for the address of a host: who sends to it does so by a MAC address that the host does not have.
 * Networks of some clouds answer for all addresses by one; there nothing is lost by it.
 */
function takenAddresses(known: Case, reports: readonly InspectionReport[]): Finding[] {
  return reports.flatMap(({ host: owner, underlayMacs }) =>
    (underlayMacs?.own ?? []).flatMap(({ ip, mac }) => {
      const astray = reports.flatMap(({ host, underlayMacs: its }) => {
        const used = its?.peers ?? [];
        const entry = used.find(station => station.ip === ip && station.mac !== mac);
        const isOfAll = used.filter(station => station.mac === entry?.mac).length > 1;
        return entry === undefined || isOfAll || !isCutOff(known, [owner, host])
          ? []
          : [{ host, mac: entry.mac }];
      });
      const [first] = astray;
      if (first === undefined) return [];
      const senders = astray.map(({ host }) => host).join(', ');
      return [
        {
          code: 'DUPLICATE_UNDERLAY_ADDRESS',
          severity: 'error',
          host: owner,
          layer: 'identity',
          reason: `another machine answers for ${ip}, the address of ${owner}: what ${senders} sends to ${owner} goes to it`,
          evidence: [
            `${owner}: ${ip} has ${mac}`,
            ...astray.map(({ host, mac: its }) => `${host}: ip neigh show ${ip}: lladdr ${its}`),
          ],
          remedy: `find the machine with ${first.mac} (a clone, a container host, a printer) and give it another address; then on ${first.host}: \`ip neigh flush to ${ip}\``,
          fixable: false,
        } satisfies Finding,
      ];
    }),
  );
}

/** Two hosts with one MAC address on a link: the switch sends to whoever spoke last. */
function sharedMacs(known: Case, reports: readonly InspectionReport[]): Finding[] {
  const hosts = reports.map(({ host, underlayMacs }) => ({
    host,
    own: new Set((underlayMacs?.own ?? []).map(({ mac }) => mac)),
    // Of a host that cannot be asked, its neighbors know it.
    seen: (underlayMacs?.peers ?? []).map(({ ip, mac }) => ({ mac, host: hostOf(known, ip) })),
  }));
  const owners = [
    ...hosts.flatMap(({ host, own }) => [...own].map(mac => ({ host, mac }))),
    ...hosts.flatMap(({ seen }) => seen),
  ];
  const macs = Map.groupBy(owners, ({ mac }) => mac);
  return [...macs].flatMap(([mac, all]) => {
    const names = [...new Set(all.flatMap(({ host }) => host ?? []))];
    const [first, second, ...others] = names;
    const isOwn = hosts.some(({ host, own }) => names.includes(host) && own.has(mac));
    if (first === undefined || second === undefined || others.length > 0) return [];
    if (!isOwn || !isCutOff(known, names)) return [];
    return [
      {
        code: 'DUPLICATE_UNDERLAY_MAC',
        severity: 'error',
        host: first,
        layer: 'identity',
        reason: `${first} and ${second} have one MAC address, ${mac}: the switch sends the packets of both to whoever spoke last`,
        evidence: names.map(host => `${host}: ${mac}`),
        remedy: `give the clone a MAC address of its own: ip link set dev ${known.site.underlayLink ?? 'LINK'} address XX:XX:XX:XX:XX:XX`,
        fixable: false,
      } satisfies Finding,
    ];
  });
}

/** Name of the peer with an address of the underlay. */
const hostOf = ({ peers }: Case, ip: string): string | undefined =>
  peers.find(({ peer }) => peer.names.includes(ip))?.peer.name;

const isUnicast = (address: string) =>
  !address.startsWith('fe80:') && !address.startsWith('127.') && address !== '::1';

function isLeased(address: string, subnets: readonly string[]): boolean {
  const ip = Ip.tryParse(address);
  return ip !== undefined && subnets.some(subnet => Prefix.tryParse(subnet)?.contains(ip));
}

function skew(own: InspectionReport, its: InspectionReport): Finding[] {
  const difference = its.time - own.time;
  if (Math.abs(difference) < MOST_SKEW) return [];
  const seconds = Math.round(Math.abs(difference) / 1000);
  return [
    {
      code: 'CLOCK_SKEW',
      severity: 'warning',
      host: its.host,
      layer: 'identity',
      reason: `the clock of ${its.host} is ${seconds} s ${difference > 0 ? 'ahead of' : 'behind'} that of ${own.host}: certificates and times in logs depend on it`,
      evidence: [
        `${own.host}: ${new Date(own.time).toISOString()}`,
        `${its.host}: ${new Date(its.time).toISOString()}`,
      ],
      remedy: 'set the clock of the host that is wrong: `timedatectl status` shows it',
      fixable: false,
    },
  ];
}
