/**
 * Desired states of several networks, stated at random, with links of every kind and entries of every kind: what is
 * common to the model tests on the fake kernel and on the real one (model-faults.ts has what others do meanwhile).
 */

import { vxlanPath } from '../../backend/vxlan-path.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DataPlane } from '../../dataplane/data-plane.ts';
import type { DesiredHost, DesiredPeer, PathEntry, PeerPath } from '../../dataplane/desired.ts';
import { type DesiredLink, NO_MASTER, type OwnLink } from '../../dataplane/desired-link.ts';
import { type DesiredProgram, PROGRAM_POINTS } from '../../dataplane/programs.ts';
import { RT_TABLE_MAIN } from '../../netlink/route/constants.ts';
import type { LinkInfo } from '../../netlink/route/link-info.ts';
import type { FdbEntry } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { fdbLine, neighborLine, nexthopLine, routeLine } from '../../netlink/text/entries.ts';
import { linkInfoWords, linkNames } from '../../netlink/text/link.ts';
import { fc } from '../properties.ts';
import { linkCases } from './link-cases.ts';
import type { MemoryPrograms } from './memory-programs.ts';
import type { MemoryTable } from './memory-table.ts';

export const TUN = 't0';
const EXISTING = 'eth0';
/** Links that are none of ours: those of the host, and the far end of the veth pair. */
export const OTHERS: ReadonlySet<string> = new Set(['lo', EXISTING, 'eth1', 'c1']);
const PROTOCOL = 77;

/** A host with the link eth0, 192.168.65.3/24, and a data plane. */
export interface ModelHost {
  readonly plane: DataPlane;
  /** The connection of another program. */
  readonly others: Rtnetlink;
  readonly table: MemoryTable;
  readonly programs: MemoryPrograms;
  /** Makes the tun device that no network can make. */
  makeTun(): Promise<void> | void;
}

/** What may be desired of links, by what it is; several have the same name. */
function linkChoices(underlay: number): ReadonlyMap<string, DesiredLink> {
  const choices = new Map<string, DesiredLink>();
  for (const { title, link, changed } of linkCases(underlay)) {
    choices.set(title, outside(link));
    choices.set(`${title}, changed`, outside(changed));
    // Another kind of the same name, and another VNI.
    if (link.kind === 'vxlan') choices.set(`another ${title}`, { ...link, name: 'x0', vni: 9, port: 4790 });
  }
  choices.set('a bridge in its place', { kind: 'bridge', name: 'x0', stp: false });
  choices.set('a tun', { kind: 'tun', name: TUN, type: 'tun', mtu: 1472 });
  choices.set('a link of the host', { kind: 'existing', name: EXISTING });
  choices.delete('another an external vxlan');
  choices.delete('another a vxlan that is a port');
  return choices;
}

/** A vxlan that is to be a port of no bridge says so: it may have been one before. */
const outside = (link: OwnLink): OwnLink =>
  link.kind === 'vxlan' && link.master === undefined ? { ...link, master: NO_MASTER } : link;

const CHOICES = linkChoices(0);
/** Stated together with a port of it. */
const BRIDGE = { kind: 'bridge', name: 'b0', stp: false } as const;
const NO_MAC = Mac.parse('00:00:00:00:00:00');
const number = fc.integer({ min: 1, max: 4 });
const network = fc.constantFrom('a', 'b', 'c');

const peer = fc.record({
  n: number,
  /** Another peer that wants the same. */
  isOther: fc.boolean(),
  isMoved: fc.boolean(),
  /** Gets frames to unknown addresses, and its own are known to the bridge. */
  isFlooded: fc.boolean(),
  revision: fc.bigInt({ min: 1n, max: 3n }),
  links: fc.subarray(['v0', EXISTING, TUN, 'x0'], { minLength: 1 }),
  mtu: fc.option(fc.constantFrom(1300, 1400), { nil: undefined }),
});
type PeerChoice = typeof peer extends fc.Arbitrary<infer Choice> ? Choice : never;

/** At links of every kind, some of which are not there, and some of which others want too. */
const program = fc.record({
  link: fc.constantFrom(EXISTING, 'v0', 'x0', 'c0', 'c1', TUN),
  point: fc.constantFrom(...PROGRAM_POINTS),
  program: fc.constantFrom('one', 'two'),
});

const keyOf = ({ n, isOther }: Pick<PeerChoice, 'n' | 'isOther'>) => `${isOther ? 'other' : 'peer'}-${n}`;

/** @param lacks kinds of links that the kernel does not have. */
export const statements = (lacks: ReadonlySet<string>) =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('state' as const),
        network,
        links: fc.uniqueArray(
          fc.constantFrom(...Array.from(CHOICES).flatMap(([id, { kind }]) => (lacks.has(kind) ? [] : [id]))),
          { selector: id => CHOICES.get(id)?.name, minLength: 1, maxLength: 6 },
        ),
        peers: fc.uniqueArray(peer, { selector: keyOf, maxLength: 5 }),
        programs: fc.array(program, { maxLength: 4 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('set peer' as const), network, peer }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('remove peer' as const),
        network,
        n: number,
        isOther: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove network' as const), network }) },
  );
type Statement = ReturnType<typeof statements> extends fc.Arbitrary<infer One> ? One : never;

interface Stated {
  links: readonly string[];
  programs: readonly DesiredProgram[];
  peers: Map<string, PeerChoice>;
}

/** What is stated at the moment, in the order in which the networks began. */
export class Model {
  readonly #networks = new Map<string, Stated>();
  readonly #underlay: number;

  /** @param underlay index of eth0, on every host alike. */
  constructor(underlay: number) {
    this.#underlay = underlay;
  }

  /** Whether a network wants the tun device. */
  get wantsTun(): boolean {
    return Array.from(this.#networks.values()).some(({ links }) => links.includes('a tun'));
  }

  /** Notes a statement, and states it. */
  state(plane: DataPlane, statement: Statement): void {
    const scope = plane.network(statement.network);
    const stated = this.#networks.get(statement.network) ?? { links: [], programs: [], peers: new Map() };
    this.#networks.set(statement.network, stated);
    if (statement.do === 'remove network') {
      this.#networks.delete(statement.network);
      scope.remove();
    } else if (statement.do === 'set peer') {
      stated.peers.set(keyOf(statement.peer), statement.peer);
      scope.setPeer(peerOf(statement.peer));
    } else if (statement.do === 'remove peer') {
      stated.peers.delete(keyOf(statement));
      scope.removePeer(keyOf(statement));
    } else {
      stated.links = statement.links;
      stated.programs = statement.programs;
      stated.peers = new Map(statement.peers.map(one => [keyOf(one), one]));
      scope.set({ host: this.#hostOf(stated), peers: statement.peers.map(peerOf) });
    }
  }

  /** States everything anew, on another host. */
  restate(plane: DataPlane): void {
    for (const [name, stated] of this.#networks) {
      const peers = Array.from(stated.peers.values(), peerOf);
      plane.network(name).set({ host: this.#hostOf(stated), peers });
    }
  }

  /** What there is, and what is reported of it, in a form that is the same on every host. */
  async look({ plane, others, table, programs }: ModelHost): Promise<unknown> {
    const names = Array.from(this.#networks.keys());
    return {
      kernel: await kernelLines(others),
      table: table.show(),
      programs: (await others.links.list())
        .map(({ name, index }) => `${name} ${programs.show(index)}`)
        .sort(),
      reports: names.map(name => {
        const { inSync, wanted, failed, failures } = plane.network(name).report();
        return { name, inSync, wanted, failed, failures: failures.toSorted() };
      }),
      inSync: plane.report().inSync,
      failed: plane.report().failed,
    };
  }

  #hostOf({ links: ids, programs }: Pick<Stated, 'links' | 'programs'>): DesiredHost {
    const choices = linkChoices(this.#underlay);
    const chosen = ids.flatMap(id => choices.get(id) ?? []);
    const isPort = chosen.some(link => link.kind === 'vxlan' && link.master === BRIDGE.name);
    const lacksBridge = isPort && !chosen.some(({ name }) => name === BRIDGE.name);
    const links = lacksBridge ? [BRIDGE, ...chosen] : chosen;
    const address = { ip: Ip.parse('10.3.0.0'), length: 32 };
    return {
      networks: [Prefix.parse('10.3.0.0/16')],
      links,
      addresses: links.flatMap(({ name }) => (name === 'v0' ? [{ link: name, address }] : [])),
      sysctls: [],
      programs,
    };
  }
}

function peerOf(choice: PeerChoice): DesiredPeer {
  return {
    key: keyOf(choice),
    revision: choice.revision,
    paths: choice.links.map(link => pathOf(choice, link)),
  };
}

/** Over several links to one subnet, so that they are in each other's way; over x0 to another one. */
function pathOf({ n, isMoved, isFlooded, mtu }: PeerChoice, link: string): PeerPath {
  const subnet = Prefix.parse(`10.${link === 'x0' ? 4 : 3}.${n}.0/24`);
  const underlayIp = Ip.parse(`192.168.65.${isMoved ? 20 : 10}${n}`);
  if (link === 'v0') {
    const mac = Mac.parse(`02:00:00:00:01:0${n}`);
    const path = vxlanPath({ link, subnet, mac, underlayIp });
    const flooded: PathEntry[] = [
      { kind: 'fdb', mac: NO_MAC, destination: underlayIp },
      { kind: 'bridge-fdb', mac },
    ];
    return { ...path, entries: [...path.entries, ...(isFlooded ? flooded : [])] };
  }
  const route = { kind: 'route', destination: subnet, ...(mtu === undefined ? {} : { mtu }) } as const;
  const entries: PathEntry[] =
    link === TUN
      ? [{ kind: 'tunnel', subnet, destination: underlayIp, port: 8285 }, route]
      : [link === EXISTING ? { ...route, gateway: underlayIp } : route];
  return { link, subnet, underlayIp, entries };
}

/** Whether every permanent FDB entry of a link is ours. */
export function hasOwnFdb(info: LinkInfo | undefined): boolean {
  return info?.kind === 'vxlan' && info.group === undefined && info.collectMetadata !== true;
}

/** Without the bridge's own entries for the addresses of its ports. */
const isStatic = ({ state }: FdbEntry) => (state & 0xc0) === 0x40;

/** Without what changes by itself, numbers of links, and addresses that the kernel chooses. */
async function kernelLines(rtnetlink: Rtnetlink): Promise<string[]> {
  const links = await rtnetlink.links.list();
  const nameOf = linkNames(links);
  const known = links.filter(({ name }) => !OTHERS.has(name));
  const lines: string[] = [];
  for (const { index, name, up, mtu, mac, master, info, port } of known) {
    const words = info === undefined ? '' : linkInfoWords(info, nameOf);
    const ours = info?.kind === 'vxlan' ? mac : '';
    lines.push(
      `${name} ${up ? 'up' : 'down'} mtu ${mtu} ${words} ${ours} ${master === undefined ? '' : nameOf(master)} ${JSON.stringify(port)}`,
    );
    const isPermanent = ({ state }: { state: number }) => (state & 0x80) !== 0;
    const neighbors = await rtnetlink.neighbors.list({ index });
    lines.push(...neighbors.filter(isPermanent).map(entry => neighborLine(entry, nameOf)));
    if (info?.kind !== 'vxlan') continue;
    const isOurs = (entry: FdbEntry) =>
      entry.master === undefined ? hasOwnFdb(info) && isPermanent(entry) : isStatic(entry);
    lines.push(...(await rtnetlink.fdb.list(index)).filter(isOurs).map(entry => fdbLine(entry, nameOf)));
  }
  const addresses = await rtnetlink.addresses.list({ family: 'ipv4' });
  lines.push(...addresses.map(({ index, ip, length }) => `${nameOf(index)} ${ip}/${length}`));
  lines.push(...(await rtnetlink.nexthops.list()).map(nexthop => nexthopLine(nexthop, nameOf)));
  const routes = await rtnetlink.routes.list({ table: RT_TABLE_MAIN, family: 'ipv4' });
  lines.push(
    ...routes.filter(({ protocol }) => protocol === PROTOCOL).map(route => routeLine(route, nameOf)),
  );
  return lines.sort();
}
