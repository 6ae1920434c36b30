/**
 * Tables of our own that mark the packets of a flow in one namespace, before all other rules and in every family that has
 * rules, so that the kernel announces which rules they meet. They end with the socket that made them, so also when this
 * process is killed, and change nothing about packets.
 */
import type { Drop } from '../../api/inspection.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import {
  type Expression,
  newBaseChain,
  newRule,
  newTable,
  type TableFamily,
} from '../../netlink/netfilter/table.ts';
import type { Change } from '../../netlink/protocol.ts';
import { FIRST_PRIORITY, LAST_PRIORITY, nameOfTraceTable, plantTables, removeTables } from '../trace/mark.ts';
import type { ListedChain } from '../trace/ruleset.ts';
import type { TunnelPorts } from './flow-filter.ts';
import { ARP_RULE, byEtherType, byNetfilterFamily, type FlowRule, flowRules } from './flow-rules.ts';
import type { WatchedFlow } from './watched-flow.ts';

/** Before all other chains: one more than the lowest priority that nftables takes. */
const VERY_FIRST = -0x7fff_ffff;

/** A hook that marks packets. */
interface MarkingHook {
  readonly family: TableFamily;
  readonly hook: 'prerouting' | 'output' | 'input' | 'ingress' | 'egress';
  readonly device?: string;
  readonly priority: number;
}

const SETS_TRACE: Expression = { setTrace: true };

export class FlowMarks implements Disposable {
  readonly table: string;
  readonly #netfilter: Netfilter;
  readonly #families: readonly TableFamily[];
  readonly #packets: ReadonlyMap<string, Drop['packet']>;

  private constructor(
    netfilter: Netfilter,
    table: string,
    families: readonly TableFamily[],
    packets: ReadonlyMap<string, Drop['packet']>,
  ) {
    this.#netfilter = netfilter;
    this.table = table;
    this.#families = families;
    this.#packets = packets;
  }

  /**
   * @param rules of the namespace: only families that have some are marked in
   * @throws NetlinkError; SysError
   */
  static plant(
    netfilter: Netfilter,
    flow: WatchedFlow,
    ports: TunnelPorts,
    rules: readonly ListedChain[],
  ): FlowMarks {
    const table = nameOfTraceTable();
    const hooks = hooksFor(rules);
    const families = [...new Set(hooks.map(({ family }) => family))];
    const packets = new Map<string, Drop['packet']>();
    const ofFrames = [...flowRules(flow, ports, byEtherType), ARP_RULE];
    const ofPackets = flowRules(flow, ports, byNetfilterFamily);
    const changes = hooks.flatMap((hook, number) => {
      const marking = hook.family === 'inet' ? ofPackets : hook.family === 'arp' ? [ARP_RULE] : ofFrames;
      return chainsOf(table, { hook, number, marking, packets });
    });
    const watching = (['input', 'postrouting'] as const).map(hook =>
      newBaseChain({ table, name: hook, hook, priority: LAST_PRIORITY }),
    );
    plantTables(netfilter, isOwned => [
      ...families.map(family => newTable(table, isOwned, family)),
      ...changes,
      ...watching,
    ]);
    return new FlowMarks(netfilter, table, families, packets);
  }

  /** What the packets are that a chain of ours marks; undefined for one that marks none. */
  packetOf(chain: string): Drop['packet'] | undefined {
    return this.#packets.get(chain);
  }

  [Symbol.dispose](): void {
    removeTables(this.#netfilter, this.table, this.#families);
  }
}

interface Marking {
  readonly hook: MarkingHook;
  readonly number: number;
  readonly marking: readonly FlowRule[];
  /** Filled. */
  readonly packets: Map<string, Drop['packet']>;
}

/** One chain for each kind of packet: the event of a mark names its chain. */
function chainsOf(table: string, { hook, number, marking, packets }: Marking): Change[] {
  const kinds = Map.groupBy(marking, ({ packet }) => packet);
  return [...kinds].flatMap(([packet, rules]) => {
    const name = `${hook.hook}-${number}-${packet}`;
    packets.set(name, packet);
    return [
      newBaseChain({ ...hook, table, name }),
      ...rules.map(({ when }) => newRule(table, name, [...when, SETS_TRACE], hook.family)),
    ];
  });
}

function hooksFor(rules: readonly ListedChain[]): MarkingHook[] {
  const based = rules.filter(({ base }) => base !== undefined);
  const has = (family: string) => based.some(chain => chain.family === family);
  const lowest = Math.min(FIRST_PRIORITY, ...based.map(({ base }) => (base?.priority ?? 0) - 1));
  const priority = Math.max(lowest, VERY_FIRST);
  const first = VERY_FIRST;
  return [
    { family: 'inet', hook: 'prerouting', priority },
    { family: 'inet', hook: 'output', priority },
    ...(has('bridge')
      ? ([
          { family: 'bridge', hook: 'prerouting', priority: first },
          { family: 'bridge', hook: 'output', priority: first },
        ] as const)
      : []),
    ...(has('arp')
      ? ([
          { family: 'arp', hook: 'input', priority: first },
          { family: 'arp', hook: 'output', priority: first },
        ] as const)
      : []),
    ...linkHooks(based),
  ];
}

/** Links that have rules of their own, in a table of netdev or of inet. */
function linkHooks(chains: readonly ListedChain[]): MarkingHook[] {
  const hooks = new Map<string, MarkingHook>();
  for (const { base } of chains) {
    const { hook, devices = [] } = base ?? {};
    if (hook !== 'ingress' && hook !== 'egress') continue;
    for (const device of devices)
      hooks.set(`${hook} ${device}`, { family: 'netdev', hook, device, priority: VERY_FIRST });
  }
  return [...hooks.values()];
}
