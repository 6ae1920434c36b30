/** The chains that the kernel calls for packets, with what stands in them: nftables of all families, iptables of both kinds. */

import { readChains, type SavedTables } from '../../firewall/iptables/saved.ts';
import { type BaseChain, devicesInListing } from '../../firewall/nftables/reader.ts';
import { isForeign, isOfIptables } from '../../firewall/obstacles.ts';
import type { Stop } from '../../firewall/packets/follow.ts';
import type { ReadChains } from '../../firewall/packets/walk.ts';
import type { IptablesSave, NamespaceReader } from '../host/namespace-reader.ts';
import { iptablesRemoval, isOurTable, nftRemoval } from '../trace/rule-removal.ts';
import { commandText, removing } from './check.ts';
import type { ChainPlace, OverlayFlow } from './firewall-flows.ts';

export interface BaseChains extends ChainPlace {
  readonly type: string;
  readonly table: string;
  readonly name: string;
  readonly policy: string;
  readonly priority: number;
  /** All chains of its table. */
  readonly chains: ReadChains;
  /** `nftables ip filter FORWARD`. */
  readonly place: string;
  /** A table of Tulle's own: what it drops, it drops on purpose. */
  readonly isOurs: boolean;
  /** @param reader of the namespace that it is of */
  textOf(stop: Stop, reader: NamespaceReader): Promise<string>;
  /** The command that shows it. */
  readonly look: readonly string[];
  /** How to take a rule away. */
  removalOf(stop: Stop): string;
  /** How to let packets past a policy. */
  acceptText(flows: readonly OverlayFlow[]): string;
}

/** include/uapi/linux/netfilter_ipv4.h; of nat those of the hooks that change a destination, and a source. */
const PRIORITIES: Readonly<Record<string, number>> = { raw: -300, mangle: -150, nat: -100 };
const SOURCE_PRIORITY = 100;

const SAVED: readonly (readonly [program: IptablesSave, family: 'ip' | 'ip6'])[] = [
  ['iptables-nft-save', 'ip'],
  ['ip6tables-nft-save', 'ip6'],
  ['iptables-legacy-save', 'ip'],
  ['ip6tables-legacy-save', 'ip6'],
];

/** Those of others, or with `withOurs` all that there are: of a host, or of a container. */
export async function baseChainsOf(
  reader: NamespaceReader,
  { withOurs = false } = {},
): Promise<BaseChains[]> {
  // No program is started where the kernel has no rules that it could print.
  const hasRules = await reader.hasRules();
  const programs = SAVED.filter(([program]) =>
    program.includes('legacy') ? reader.hasLegacyTables : hasRules,
  );
  const [ruleset, ...saved] = await Promise.all([
    hasRules ? reader.nft() : undefined,
    ...programs.map(async ([program, family]) => savedBases(program, family, await reader.saved(program))),
  ]);
  const ofIptables = saved.flat();
  if (ruleset === undefined) return ofIptables;
  const hasIptables = ofIptables.some(({ place }) => place.includes('-nft'));
  const bases = ruleset.bases.filter(base =>
    withOurs ? !(hasIptables && isOfIptables(base)) : isForeign(base, hasIptables),
  );
  // What we give a source keeps it: chains behind ours cannot change it.
  const ours = ruleset.bases.find(
    ({ table, type, hook }) => table.startsWith('flannel-ipv') && type === 'nat' && hook === 'postrouting',
  );
  const isEffective = ({ type, hook, family, priority }: BaseChain) =>
    type !== 'nat' ||
    hook !== 'postrouting' ||
    ours === undefined ||
    family !== ours.family ||
    priority <= ours.priority;
  const ofNft = await Promise.all(
    bases
      .filter(isEffective)
      .map(async base =>
        nftBase(base, ruleset.chainsOf(base.family, base.table), await devicesOf(reader, base)),
      ),
  );
  return [...ofIptables, ...ofNft];
}

function savedBases(program: IptablesSave, family: 'ip' | 'ip6', saved: SavedTables): BaseChains[] {
  const command = program.replace(/-save$/, '');
  return Array.from(saved).flatMap(([table, chains]) => {
    const read = readChains(chains);
    return Array.from(chains).flatMap(([name, { policy }]) => {
      if (policy === '-') return [];
      return [
        {
          family,
          hook: name.toLowerCase(),
          devices: [],
          type: table === 'nat' ? 'nat' : 'filter',
          table,
          name,
          policy: policy.toLowerCase(),
          priority: table === 'nat' && name === 'POSTROUTING' ? SOURCE_PRIORITY : (PRIORITIES[table] ?? 0),
          chains: read,
          place: `${command} ${table} ${name}`,
          isOurs: false,
          look: [command, '-t', table, '-S', name],
          textOf: ({ chain, rule }: Stop) => Promise.resolve(`-A ${chain} ${rule.text}`),
          removalOf: ({ chain, rule }: Stop) => removing(iptablesRemoval(command, table, chain, rule.text)),
          acceptText: () =>
            `accept them in front of it; ${command} -t ${table} -P ${name} ACCEPT accepts everything`,
        },
      ];
    });
  });
}

function nftBase(base: BaseChain, chains: ReadChains, devices: readonly string[]): BaseChains {
  const { family, table, name, hook, type, policy, priority } = base;
  const look = ['nft', '-a', 'list', 'table', family, table];
  const listing = commandText(look);
  return {
    family,
    hook,
    devices,
    type,
    table,
    name,
    policy,
    priority,
    chains,
    place: `nftables ${family} ${table} ${name}`,
    isOurs: isOurTable(table),
    look,
    textOf: async ({ chain, rule }, reader) => {
      const { handle } = rule;
      const listed = handle === undefined ? undefined : await reader.ruleset().catch(() => undefined);
      const found = listed?.chain(family, table, chain)?.rules.find(each => Number(each.handle) === handle);
      return found?.text ?? rule.text;
    },
    removalOf: ({ chain, rule: { handle } }) =>
      handle === undefined ? removing(listing) : removing(nftRemoval(family, table, chain, handle)),
    acceptText: () => `accept them in it; ${listing} shows its rules`,
  };
}

/** Of a chain for devices. */
async function devicesOf(
  reader: NamespaceReader,
  { family, table, name, hook }: BaseChain,
): Promise<string[]> {
  if (family !== 'netdev' && hook !== 'ingress') return [];
  const listing = (await reader.output('nft', 'list', 'chain', family, table, name)) ?? '';
  return devicesInListing(listing);
}
