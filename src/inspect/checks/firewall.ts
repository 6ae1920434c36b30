/**
 * Rules of this host, of all programs, families and hooks, that stop or translate packets of the overlay: each base chain is
 * asked about the very packets that pass it. A rule that surely stops them is an error, one that may a warning.
 */
import { type Followed, follow, type Stop } from '../../firewall/packets/follow.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Cause } from './check.ts';
import { type BaseChains, baseChainsOf } from './firewall-chains.ts';
import { flowsText, isOverlay, type OverlayFlow, packetAt } from './firewall-flows.ts';
import { overlayFlows } from './overlay-flows.ts';

export async function checkFirewall(host: HostReader): Promise<Cause[]> {
  const [chains, flows] = await Promise.all([baseChainsOf(host), overlayFlows(host)]);
  const hits = chains.flatMap(chain => hitsIn(chain, flows));
  const groups = [
    ...Map.groupBy(
      hits,
      ({ chain, stop }) => `${chain.place} ${stop?.chain} ${stop?.rule.text} ${stop?.kind}`,
    ).values(),
  ];
  return Promise.all(groups.map(group => causeOf(host, group)));
}

export interface FirewallHit {
  readonly chain: BaseChains;
  readonly flow: OverlayFlow;
  /** Absent for the policy of the chain. */
  readonly stop?: Stop;
  readonly isSure: boolean;
}

/** What a chain and those that it calls do to each of the packets. */
function hitsIn(chain: BaseChains, flows: readonly OverlayFlow[]): FirewallHit[] {
  return flows.flatMap(flow => {
    const packet = packetAt(flow, chain);
    return packet === undefined ? [] : hitsOf(chain, flow, follow(packet, chain.chains, chain.name));
  });
}

function hitsOf(chain: BaseChains, flow: OverlayFlow, { end, isSure, stops }: Followed): FirewallHit[] {
  const last = end === 'stopped' ? stops.at(-1) : undefined;
  if (chain.type === 'nat' || last?.kind === 'nat') {
    // A translation that may be is one of single ports, or of what others mean by it.
    if (last?.kind !== 'nat' || !isSure || isOurChain(last.chain) || chain.isOurs) return [];
    return isSpoiled(chain, flow, last) ? [{ chain, flow, stop: last, isSure }] : [];
  }
  if (last?.kind === 'drop' && isSure) return [{ chain, flow, stop: last, isSure }];
  if (end === 'continue' && chain.policy === 'drop') {
    if (isSure) return [{ chain, flow, isSure }];
  }
  if (!isKnown(flow) || chain.isOurs || !isOverlay(flow.kind)) return [];
  const may = stops.filter(({ kind, chain: name }) => kind === 'drop' && !isOurChain(name));
  return may.map(stop => ({ chain, flow, stop, isSure: false }));
}

/** Sources of tunnel packets are this host's before a masquerade and after it. */
function isSpoiled(chain: BaseChains, { kind }: OverlayFlow, { rule: { verdict } }: Stop): boolean {
  const isHarmless = changesSource(chain) && verdict.kind === 'nat' && verdict.isMasquerade === true;
  return kind === 'out' || kind === 'in' || (kind.startsWith('tunnel') && !isHarmless);
}

/** One that is not of NAT changes what it says. */
const changesSource = ({ type, hook }: BaseChains): boolean =>
  type === 'nat' && (hook === 'postrouting' || hook === 'input');

/** Ports of what containers send may be any; of a ping and of a tunnel packet it is known what they are. */
const isKnown = ({ kind, protocol }: OverlayFlow): boolean =>
  protocol === undefined || protocol.endsWith('icmp') || kind.startsWith('tunnel');

const isOurChain = (name: string) => /^(TULLE|FLANNEL)-/.test(name);

async function causeOf(host: HostReader, group: readonly FirewallHit[]): Promise<Cause> {
  const flows = group.map(({ flow }) => flow);
  const [{ chain, stop, isSure }] = group as [FirewallHit];
  const packets = flowsText(flows);
  const text = stop === undefined ? `policy ${chain.policy}` : await chain.textOf(stop, host);
  const where = `${chain.place}${stop === undefined || stop.chain === chain.name ? '' : `, chain ${stop.chain}`}`;
  const common = {
    evidence: [`${where}: ${text}`],
    remedy: stop === undefined ? chain.acceptText(flows) : chain.removalOf(stop),
  };
  if (stop?.kind === 'nat') {
    const isSource = changesSource(chain);
    // Of containers they arrive with another source, and seem to be of the host; peers take none of a stranger's tunnel.
    const isStranger = isSource && flows.some(({ kind }) => kind.startsWith('tunnel'));
    return {
      ...common,
      code: isSource && !isStranger ? 'MASQUERADE_FIRST' : 'TRANSLATED',
      severity: isSource && !isStranger ? 'warning' : 'error',
      layer: 'nat',
      reason: `a rule of another program in ${where} changes the ${chain.type === 'nat' ? (isSource ? 'source' : 'destination') : 'address'} of ${packets}: ${text}`,
    };
  }
  const isNeeded = flows.some(({ kind }) => isOverlay(kind));
  const verb = isSure ? 'drops' : 'may drop';
  return {
    ...common,
    code: 'FIREWALL_DROP',
    severity: isSure && isNeeded ? 'error' : 'warning',
    layer: 'firewall',
    reason: `${stop === undefined ? 'the policy of' : 'a rule in'} ${where} ${verb} ${packets}: ${text}`,
  };
}
