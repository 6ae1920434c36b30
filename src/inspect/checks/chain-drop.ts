/** What drops a whole kind of packets in a chain that the kernel calls: a rule, or the policy. */
import type { Family } from '../../base/ip.ts';
import { answerAll, type Packet } from '../../firewall/packets/packet.ts';
import { walk } from '../../firewall/packets/walk.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';
import type { BaseChains } from './firewall-chains.ts';

/** Chains of nftables that are of one family only; others see both. */
const FAMILY_OF: Readonly<Record<string, Family>> = { ip: 'ipv4', ip6: 'ipv6' };

/** Whether a chain sees packets of the family as what they are: one of ARP sees none of them. */
export const seesFamily = ({ family }: BaseChains, one: Family): boolean =>
  family !== 'arp' && (FAMILY_OF[family] ?? one) === one;

const rulesOf = ({ chains, name }: BaseChains) => chains.get(name) ?? [];

const fateIn = (chain: BaseChains, packet: Packet) => walk(rulesOf(chain), packet, chain.chains, chain.name);

/** A rule that drops all of them, or all of one host. */
export async function droppingRule(
  chain: BaseChains,
  packet: Packet,
  reader: NamespaceReader,
): Promise<string | undefined> {
  const fate = fateIn(chain, packet);
  if (fate.kind !== 'drop') return undefined;
  const text = await chain.textOf({ kind: 'drop', chain: fate.chain, rule: fate.rule }, reader);
  return `${text}${fate.chain === chain.name ? '' : ` in chain ${fate.chain}`}`;
}

/** A rule that gives all of them, or all of one host, another address than that of the link. */
export async function translatingRule(
  chain: BaseChains,
  packet: Packet,
  reader: NamespaceReader,
): Promise<string | undefined> {
  const fate = fateIn(chain, packet);
  if (fate.kind !== 'nat' || ('isMasquerade' in fate.rule.verdict && fate.rule.verdict.isMasquerade))
    return undefined;
  return await chain.textOf({ kind: 'nat', chain: fate.chain, rule: fate.rule }, reader);
}

/** A rule or policy that drops all of them, or all of one host; undefined for a firewall that lets some kinds pass. */
export async function dropIn(
  chain: BaseChains,
  packet: Packet,
  reader: NamespaceReader,
): Promise<string | undefined> {
  const rule = await droppingRule(chain, packet, reader);
  if (rule !== undefined) return rule;
  const rules = rulesOf(chain);
  if (chain.policy !== 'drop' || fateIn(chain, packet).kind !== 'continue') return undefined;
  // Established connections do not make a firewall: somebody must begin.
  const letsSomePass = rules.some(({ conditions, verdict }) => {
    const isPassing = ['accept', 'jump', 'goto'].includes(verdict.kind);
    return isPassing && ['some', 'unknown', 'host'].includes(answerAll(conditions, packet));
  });
  return letsSomePass ? undefined : 'its policy is drop';
}
