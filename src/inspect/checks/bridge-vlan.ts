/**
 * VLANs on a bridge of the overlay that filters them: the bridge itself and the ports of containers must share the one that
 * untagged frames belong to (`bridge -j vlan show`, bridge(8)).
 */
import type { HostReader } from '../host/host-reader.ts';
import type { Member, OverlayBridge } from '../host/members.ts';
import { byHand, type Cause } from './check.ts';

/** What a link is in a VLAN. */
export interface VlanEntry {
  readonly vlan: number;
  /** Untagged frames that come in belong to it. */
  readonly isPvid: boolean;
  /** Its frames leave without a tag. */
  readonly isUntagged: boolean;
}

/** By name of the link. */
export type VlanTable = ReadonlyMap<string, readonly VlanEntry[]>;

export async function checkBridgeVlans(host: HostReader): Promise<Cause[]> {
  const { bridges, members } = await host.members();
  const filtering = bridges.filter(
    ({ link }) => link.info?.kind === 'bridge' && link.info.vlanFiltering === true,
  );
  if (filtering.length === 0) return [];
  const table = readVlans((await host.output('bridge', '-j', 'vlan', 'show')) ?? '[]');
  return filtering.flatMap(bridge =>
    judgeVlans(
      bridge,
      members.filter(member => member.bridge?.index === bridge.link.index),
      table,
    ),
  );
}

interface ListedLink {
  readonly ifname?: string;
  readonly vlans?: readonly {
    readonly vlan: number;
    readonly vlanEnd?: number;
    readonly flags?: readonly string[];
  }[];
}

/** The output of `bridge -j vlan show`. @throws SyntaxError */
export function readVlans(json: string): VlanTable {
  const links = JSON.parse(json) as readonly ListedLink[];
  return new Map(
    links.map(({ ifname = '', vlans = [] }) => [
      ifname,
      vlans.flatMap(({ vlan, vlanEnd = vlan, flags = [] }) =>
        Array.from({ length: vlanEnd - vlan + 1 }, (_, index) => ({
          vlan: vlan + index,
          isPvid: flags.includes('PVID'),
          isUntagged: flags.includes('Egress Untagged'),
        })),
      ),
    ]),
  );
}

export function judgeVlans({ link }: OverlayBridge, members: readonly Member[], table: VlanTable): Cause[] {
  const of = (name: string) => table.get(name) ?? [];
  const own = of(link.name).find(({ isPvid }) => isPvid);
  const apart = members.filter(({ outer }) => {
    const there = of(outer.name).find(({ isPvid }) => isPvid);
    const isBoth = there !== undefined && there.vlan === own?.vlan;
    return !(isBoth && there.isUntagged && own?.isUntagged === true);
  });
  if (apart.length === 0) return [];
  const names = apart.map(({ container }) => container.name).join(', ');
  const shown = [link.name, ...apart.map(({ outer }) => outer.name)].slice(0, 20);
  return [
    // Other links of the bridge may be apart on purpose.
    byHand([['ip', 'link', 'set', 'dev', link.name, 'type', 'bridge', 'vlan_filtering', '0']], {
      code: 'BRIDGE_VLAN',
      severity: 'error',
      layer: 'bridge',
      reason: `the bridge ${link.name} filters VLANs, and is not in the one of ${names}: their frames do not pass`,
      evidence: shown.map(name => `bridge vlan show dev ${name}: ${wordsOf(of(name))}`),
    }),
  ];
}

const wordsOf = (entries: readonly VlanEntry[]) =>
  entries.length === 0
    ? 'no VLAN'
    : entries
        .slice(0, 10)
        .map(({ vlan, isPvid, isUntagged }) =>
          [vlan, isPvid && 'PVID', isUntagged && 'untagged'].filter(word => word !== false).join(' '),
        )
        .join(', ');
