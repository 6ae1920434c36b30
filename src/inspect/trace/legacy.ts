/**
 * Rules of iptables-legacy, which nftables does not know of. The kernel tells which of them a marked packet meets, too,
 * but as log messages (`TRACE: filter:FORWARD:rule:2 `, net/ipv4/netfilter/ip_tables.c), and only where the log of the
 * family is nfnetlink's. So while a packet is followed on a host that has such rules, it is. (It stays so when this
 * process is killed: then what the kernel logs without a LOG rule goes nowhere.)
 *
 * The messages have no verdict: that is in the rule's text.
 */
import { defined } from '../../base/defined.ts';
import { parseSave, type SavedTables } from '../../firewall/iptables/saved.ts';
import type { Netfilter, PacketLog } from '../../netlink/netfilter/connect.ts';
import type { LoggedPacket } from '../../netlink/netfilter/packet-log.ts';
import type { TraceVerdict } from '../../netlink/netfilter/trace-event.ts';
import type { Netns } from '../../sys/netns.ts';
import { readSysctl, writeSysctl } from '../../sys/sysctl.ts';
import { TraceError } from './errors.ts';
import type { HopEvent } from './hops.ts';
import { readTracedPacket } from './packet.ts';
import type { ListedChain, Ruleset, RunOnHost } from './ruleset.ts';

/** The kernel logs a trace to this group, and there is no way to say another. */
const GROUP = 0;
const NFNETLINK = 'nfnetlink_log';

const FAMILIES = {
  ip: { log: 'net/netfilter/nf_log/2', save: 'iptables-legacy-save' },
  ip6: { log: 'net/netfilter/nf_log/10', save: 'ip6tables-legacy-save' },
} as const;

export type LegacyFamily = keyof typeof FAMILIES;

/** The kernel's trace of iptables-legacy, for as long as it is not disposed of. */
export class LegacyTrace implements Disposable {
  readonly #netns: Netns;
  readonly #log: PacketLog;
  /** How the families were logged before, by their sysctl. */
  readonly #before = new Map<string, string>();

  /** @throws NetlinkError with code EPERM when another program receives log group 0 (ulogd) */
  constructor(families: readonly LegacyFamily[], netfilter: Netfilter, netns: Netns) {
    this.#netns = netns;
    this.#log = netfilter.packetLog(GROUP);
    for (const family of families) {
      const { log } = FAMILIES[family];
      const before = readSysctl(log, netns);
      if (before === undefined) continue;
      this.#before.set(log, before);
      writeSysctl(log, NFNETLINK, netns);
    }
  }

  /** What was logged of the packet with this fingerprint, in order; `rules` has the chains of `legacyChains`. */
  eventsOf(fingerprint: string, rules: Ruleset): HopEvent[] {
    let run = '';
    return this.decisions(rules).flatMap(({ logged, event }) => {
      const headers = headersOf(logged);
      const seen = readTracedPacket(headers.networkHeader, headers.transportHeader);
      if (seen?.fingerprint !== fingerprint) return [];
      const { table, chain } = event;
      // As with nftables, the headers are with the first event of each base chain.
      const isFirst = BUILT_IN.test(chain) && run !== `${table} ${chain}`;
      if (isFirst) run = `${table} ${chain}`;
      return [isFirst ? { ...event, ...headers } : event];
    });
  }

  /** What was logged since the last call, of all packets; `rules` has the chains of `legacyChains`. */
  decisions(rules: Ruleset): LegacyDecision[] {
    return this.#log.read().flatMap(logged => {
      const [, table = '', chain = '', kind, number] = PREFIX.exec(logged.prefix) ?? [];
      if (kind === undefined || number === undefined) return [];
      const place = { type: 'trace', id: 0, family: legacyName(logged.family), table, chain } as const;
      const decision = decisionOf(rules.chain(place.family, table, chain), Number(number), rules);
      return [{ logged, event: { ...place, ...decision } }];
    });
  }

  [Symbol.dispose](): void {
    this.#log[Symbol.dispose]();
    for (const [log, before] of this.#before) writeSysctl(log, before, this.#netns);
  }
}

/** What a rule or policy decided about a packet, and the packet's beginning. */
export interface LegacyDecision {
  readonly logged: LoggedPacket;
  readonly event: HopEvent;
}

/** `TRACE: filter:FORWARD:rule:2 `. */
const PREFIX = /^TRACE: (\w+):(\S+):(rule|return|policy):(\d+) $/;
const BUILT_IN = /^(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/;

/** `legacy ip`: beside the family of nftables there may be a table of the same name. */
const legacyName = (family: LegacyFamily) => `legacy ${family}`;

function headersOf({ payload, input, output }: LoggedPacket) {
  const first = payload[0] ?? 0;
  const length = first >>> 4 === 6 ? 40 : (first & 0x0f) * 4;
  return defined({
    networkHeader: payload.subarray(0, length),
    transportHeader: payload.subarray(length),
    input,
    output,
  });
}

type Decision = Pick<HopEvent, 'kind' | 'verdict' | 'handle' | 'target'>;

/**
 * The kernel calls a rule without conditions the end of its chain, too; so the number decides: the policy of a built-in
 * chain, or the end of another, comes after the last rule.
 */
function decisionOf(chain: ListedChain | undefined, number: number, rules: Ruleset): Decision {
  const rule = chain?.rules[number - 1];
  if (chain === undefined || rule === undefined) {
    if (chain?.base === undefined) return { kind: 'end', verdict: 'continue' };
    return { kind: 'policy', verdict: chain.base.policy === 'drop' ? 'drop' : 'accept' };
  }
  const [, option, target = ''] = / ?(-[jg]) (\S+)/.exec(rule.text) ?? [];
  const { handle } = rule;
  if (rules.chain(chain.family, chain.table, target) === undefined)
    return { kind: 'rule', handle, verdict: VERDICTS[target] ?? 'continue' };
  return { kind: 'rule', handle, verdict: option === '-g' ? 'goto' : 'jump', target };
}

const VERDICTS: Readonly<Record<string, TraceVerdict>> = {
  ACCEPT: 'accept',
  DROP: 'drop',
  REJECT: 'drop',
  RETURN: 'return',
  QUEUE: 'queue',
  NFQUEUE: 'queue',
  DNAT: 'accept',
  SNAT: 'accept',
  MASQUERADE: 'accept',
  REDIRECT: 'accept',
  NETMAP: 'accept',
};

/** By table, and by hook for NAT: include/uapi/linux/netfilter_ipv4.h. */
const PRIORITIES: Readonly<Record<string, number>> = { raw: -300, mangle: -150, filter: 0, security: 50 };
const priorityOf = (table: string, hook: string) =>
  PRIORITIES[table] ?? (hook === 'prerouting' || hook === 'output' ? -100 : 100);

/** The chains of iptables-legacy; a rule's handle is its number. */
export async function legacyChains(run: RunOnHost, family: LegacyFamily): Promise<ListedChain[]> {
  const { status, stdout, stderr } = await run(FAMILIES[family].save, []);
  if (status !== 0) throw new TraceError('REFUSED', `${FAMILIES[family].save}: ${stderr.trim() || status}`);
  return chainsOfSaved(parseSave(stdout), family);
}

export function chainsOfSaved(saved: SavedTables, family: LegacyFamily): ListedChain[] {
  return Array.from(saved, ([table, chains]) =>
    Array.from(chains, ([name, { policy, rules }]): ListedChain => {
      const hook = name.toLowerCase();
      const base = {
        type: table === 'nat' ? 'nat' : 'filter',
        hook,
        priority: priorityOf(table, hook),
        policy: policy.toLowerCase(),
      };
      return {
        family: legacyName(family),
        table,
        name,
        ...(policy === '-' ? {} : { base }),
        rules: rules.map((text, index) => ({ handle: BigInt(index + 1), text, iptables: text })),
      };
    }),
  ).flat();
}
