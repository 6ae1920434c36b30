/** Chains of netfilter that the kernel calls, by nftables and by iptables-legacy alike, and what drops a kind of packets there. */
import type { Family } from '../../base/ip.ts';
import { readChains, type SavedTables } from '../../firewall/iptables/saved.ts';
import type { ReadRuleset } from '../../firewall/nftables/reader.ts';
import { answerAll, type Packet } from '../../firewall/packets/packet.ts';
import { type ReadChains, walk } from '../../firewall/packets/walk.ts';
import type { IptablesSave, NamespaceReader } from '../host/namespace-reader.ts';

/** A chain that the kernel calls, by whatever made it. */
export interface HookChain {
  /** Of nftables; `ip` for iptables-legacy. */
  readonly family: string;
  /** Lower case. */
  readonly hook: string;
  readonly policy: string;
  readonly name: string;
  /** Of its table. */
  readonly chains: ReadChains;
  /** In words: `chain input of nftables table inet filter`. */
  readonly place: string;
  /** The command that shows it. */
  readonly look: readonly string[];
  /** Whether it sees packets of the family. */
  isOf(family: Family): boolean;
}

/** Those of a namespace, by nftables (of which iptables-nft is a part) and iptables-legacy. @param nft its rules; undefined where they are not asked for */
export async function hookChains(
  inside: NamespaceReader,
  nft: Promise<ReadRuleset | undefined>,
): Promise<HookChain[]> {
  const legacy: IptablesSave[] = inside.hasLegacyTables
    ? ['iptables-legacy-save', 'ip6tables-legacy-save']
    : [];
  const [ruleset, ...saved] = await Promise.all([
    nft,
    ...legacy.map(async program => savedChains(program, await inside.saved(program))),
  ]);
  return [...(ruleset ? rulesetChains(ruleset) : []), ...saved.flat()];
}

function savedChains(program: IptablesSave, saved: SavedTables): HookChain[] {
  const command = program.replace(/-save$/, '');
  return Array.from(saved).flatMap(([table, chains]) => {
    if (table === 'nat') return [];
    const read = readChains(chains);
    return Array.from(chains)
      .filter(([, { policy }]) => policy !== '-')
      .map(([name, { policy }]) => ({
        family: command.startsWith('ip6') ? 'ip6' : 'ip',
        hook: name.toLowerCase(),
        policy: policy.toLowerCase(),
        name,
        chains: read,
        place: `chain ${name} of ${command} table ${table}`,
        look: [command, '-t', table, '-S', name],
        isOf: (family: Family) => (family === 'ipv4') === !command.startsWith('ip6'),
      }));
  });
}

const FAMILIES_OF: Readonly<Record<string, readonly Family[]>> = { ip: ['ipv4'], ip6: ['ipv6'] };

function rulesetChains({ bases, chainsOf }: ReadRuleset): HookChain[] {
  return bases
    .filter(({ type }) => type !== 'nat')
    .map(({ family, table, name, hook, policy }) => ({
      family,
      hook,
      policy,
      name,
      chains: chainsOf(family, table),
      place: `chain ${name} of nftables table ${family} ${table}`,
      look: ['nft', '-a', 'list', 'table', family, table],
      isOf: (one: Family) => FAMILIES_OF[family]?.includes(one) ?? true,
    }));
}

/** A rule that drops all of them, or all of one host. */
export function droppingRule({ chains, name }: HookChain, packet: Packet): string | undefined {
  const fate = walk(chains.get(name) ?? [], packet, chains, name);
  if (fate.kind !== 'drop') return undefined;
  return `${fate.rule.text}${fate.chain === name ? '' : ` in chain ${fate.chain}`}`;
}

/** A rule or policy that drops all of them, or all of one host; undefined for a firewall that lets some kinds pass. */
export function dropIn(chain: HookChain, packet: Packet): string | undefined {
  const rule = droppingRule(chain, packet);
  if (rule !== undefined) return rule;
  const rules = chain.chains.get(chain.name) ?? [];
  if (chain.policy !== 'drop' || walk(rules, packet, chain.chains, chain.name).kind !== 'continue')
    return undefined;
  // Established connections do not make a firewall: somebody must begin.
  const letsSomePass = rules.some(({ conditions, verdict }) => {
    const isPassing = ['accept', 'jump', 'goto'].includes(verdict.kind);
    return isPassing && ['some', 'unknown', 'host'].includes(answerAll(conditions, packet));
  });
  return letsSomePass ? undefined : 'its policy is drop';
}
