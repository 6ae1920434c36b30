/**
 * Rules of others that stop the overlay and that are not ours to change, named for the person who can. At a hook of
 * the kernel every base chain must let a packet pass, so an accept of ours does not help against a drop elsewhere: in
 * a table of firewalld, of dockerd, or in a table of iptables that is not for accepting.
 */

import type { Obstacle } from './engine.ts';
import { readChains, type SavedTables } from './iptables/saved.ts';
import type { BaseChain, ReadRuleset } from './nftables/reader.ts';
import { OVERLAY_MARK, type OverlayPackets } from './packets/overlay-packets.ts';
import type { Packet } from './packets/packet.ts';
import { type ReadChains, walk } from './packets/walk.ts';
import { isPortTable } from './ports/port-table.ts';

/** A chain that the kernel calls at a hook, with the chains it may call itself. */
interface ForeignChain {
  readonly hook: string;
  readonly isNat: boolean;
  readonly isDockers: boolean;
  readonly policy: string;
  readonly name: string;
  readonly chains: ReadChains;
  /** In words, and as the command that shows it. */
  readonly place: string;
  readonly look: string;
}

type Kinds = Readonly<Record<string, readonly (keyof OverlayPackets)[]>>;

/** Which packets come by at which hook of the kernel. */
const AT_HOOK: Kinds = {
  ingress: ['tunnelIn', 'fromHosts'],
  prerouting: ['tunnelIn', 'fromHosts', 'toHosts'],
  input: ['tunnelIn'],
  forward: ['fromHosts', 'toHosts'],
  output: ['tunnelOut'],
  postrouting: ['fromHosts', 'toHosts', 'tunnelOut'],
  egress: ['tunnelOut', 'toHosts'],
};

/** The ports of a bridge see the packets of containers only. */
const AT_BRIDGE_HOOK: Kinds = {
  prerouting: ['toHosts'],
  input: ['toHosts'],
  output: ['fromHosts'],
  postrouting: ['fromHosts'],
};

/** What iptables-save shows, where no chain of ours gets past it. @param program `iptables-legacy` */
export function obstaclesInSaved(program: string, saved: SavedTables, packets: OverlayPackets): Obstacle[] {
  return Array.from(saved).flatMap(([table, chains]) => {
    if (table === 'nat') return [];
    const read = readChains(chains);
    return Array.from(chains).flatMap(([name, { policy }]) => {
      if (policy === '-') return [];
      const hook = name.toLowerCase();
      const chain: ForeignChain = {
        hook,
        isNat: false,
        isDockers: false,
        policy: policy.toLowerCase(),
        name,
        chains: read,
        place: `chain ${name} of ${program} table ${table}`,
        look: `${program} -t ${table} -S ${name}`,
      };
      const kinds = AT_HOOK[hook]?.filter(kind => !OVERCOME[`${table} ${name}`]?.includes(kind));
      return obstacleIn(chain, pick(packets, kinds)) ?? [];
    });
  });
}

/** What a chain of ours accepts before another drops it (iptables/hooks.ts). */
const OVERCOME: Kinds = {
  'filter FORWARD': ['fromHosts', 'toHosts'],
  'filter INPUT': ['tunnelIn'],
  'raw PREROUTING': ['fromHosts'],
};

/**
 * What `nft -j list table` shows of a table of another program.
 *
 * @param devicesOf the links that a chain of family netdev is attached to
 * @param sourcePriority of our chain that makes sources final, if there is one: a chain after it cannot change them
 */
export function obstaclesInRuleset(
  { bases, chainsOf }: ReadRuleset,
  packets: OverlayPackets,
  devicesOf: (chain: BaseChain) => readonly string[],
  sourcePriority: number | undefined,
): Obstacle[] {
  return bases.flatMap(base => {
    const { family, table, name, hook, policy, type, priority } = base;
    const isNat = type === 'nat';
    if (isNat && (hook !== 'postrouting' || priority > (sourcePriority ?? Infinity))) return [];
    const known = pick(packets, (family === 'bridge' ? AT_BRIDGE_HOOK : AT_HOOK)[hook]);
    const passing = family === 'netdev' ? passingBy(known, hook, devicesOf(base)) : known;
    const chain: ForeignChain = {
      hook,
      isNat,
      isDockers: table === 'docker-bridges',
      policy,
      name,
      chains: chainsOf(family, table),
      place: `chain ${name} of nftables table ${family} ${table}`,
      look: `nft -a list table ${family} ${table}`,
    };
    return (
      obstacleIn(
        chain,
        passing.filter(packet => isOfFamily(packet, family)),
      ) ?? []
    );
  });
}

const pick = (packets: OverlayPackets, kinds: readonly (keyof OverlayPackets)[] = []): Packet[] =>
  kinds.flatMap(kind => packets[kind] ?? []);

const IPTABLES_TABLES = ['filter', 'nat', 'mangle', 'raw', 'security'];

/**
 * Whether a chain is neither ours nor looked after by iptables, if that is there. A table may be called filter without
 * being of iptables, whose chains have names in capitals.
 */
export function isForeign(base: BaseChain, hasIptables: boolean): boolean {
  const { family, table } = base;
  // It redirects what nobody else may have: ports that are held.
  if (family === 'inet' && isPortTable(table)) return false;
  if (family !== 'ip' && family !== 'ip6') return true;
  return !table.startsWith('flannel-ipv') && !(hasIptables && isOfIptables(base));
}

/** Whether iptables lists the chain as well. */
export const isOfIptables = ({ family, table, name }: BaseChain): boolean =>
  (family === 'ip' || family === 'ip6') && IPTABLES_TABLES.includes(table) && /^[A-Z]+$/.test(name);

const isOfFamily = ({ family: own }: Packet, family: string): boolean =>
  family === 'ip' ? own === 'ipv4' : family === 'ip6' ? own === 'ipv6' : true;

function passingBy(packets: readonly Packet[], hook: string, devices: readonly string[]): Packet[] {
  return packets.filter(({ input, output }) =>
    (hook === 'ingress' ? input : output)?.some(name => devices.includes(name)),
  );
}

function obstacleIn(chain: ForeignChain, packets: readonly Packet[]): Obstacle | undefined {
  const stopped = packets.flatMap(packet => {
    const cause = causeIn(chain, packet);
    return cause === undefined ? [] : [{ cause, packet }];
  });
  const [first] = stopped;
  if (first === undefined) return undefined;
  const names = [...new Set(stopped.map(({ packet }) => packet.name))].join(' and ');
  const text = `${chain.place} ${chain.isNat ? 'changes the source of' : 'drops'} ${names}: ${first.cause}`;
  return {
    id: chain.isDockers ? `dockerd ${chain.isNat ? 'nat' : 'drop'}` : text,
    text,
    hint: hintFor(chain, first.packet),
  };
}

/** What stops all packets of a kind, or of one host; dockerd has a rule for each container. */
function causeIn(
  { chains, name, hook, policy, isDockers }: ForeignChain,
  packet: Packet,
): string | undefined {
  const passing: Packet = {
    ...packet,
    // Marks are made in prerouting, and perhaps after this chain.
    mark: hook === 'prerouting' || hook === 'ingress' ? 0 : packet.mark,
    hostLength: isDockers ? 128 : packet.hostLength,
  };
  const fate = walk(chains.get(name) ?? [], passing, chains, name);
  if (fate.kind === 'drop' || fate.kind === 'nat') {
    return `${fate.rule.text}${fate.chain === name ? '' : ` in chain ${fate.chain}`}`;
  }
  return fate.kind === 'continue' && policy === 'drop' ? 'its policy is drop' : undefined;
}

const MARK = `0x${OVERLAY_MARK.toString(16)}/0x${OVERLAY_MARK.toString(16)}`;

function hintFor({ isNat, isDockers, look }: ForeignChain, { destinationPorts }: Packet): string {
  if (isNat && isDockers) return 'start dockerd with --ip-masq=false, or set "ip-masq": false in daemon.json';
  if (isDockers) {
    return (
      `start dockerd with --allow-direct-routing --bridge-accept-fwmark=${MARK}, or set ` +
      `"allow-direct-routing": true and "bridge-accept-fwmark": "${MARK}" in daemon.json`
    );
  }
  const what = destinationPorts === undefined ? 'the overlay network' : `UDP port ${destinationPorts.join()}`;
  return isNat
    ? `exclude the overlay network there, as a destination; \`${look}\` shows the rules`
    : `accept ${what} there before it is dropped; \`${look}\` shows the rules`;
}
