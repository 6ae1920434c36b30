/**
 * The MTUs on the way between a container and the bridge. A router says when a packet is too large; a bridge port and the
 * other end of a veth pair drop it without a word (`is_skb_forwardable` in include/linux/netdevice.h).
 */
import type { HostReader } from '../host/host-reader.ts';
import type { Member, Members } from '../host/members.ts';
import { type Cause, fixedBy, inContainer } from './check.ts';

export interface MtuFacts extends Members {
  /** What a packet of the overlay may have. */
  readonly overlayMtu?: number;
}

export async function checkMtus(host: HostReader): Promise<Cause[]> {
  const [members, overlay] = await Promise.all([host.members(), host.overlay()]);
  return judgeMtus({ ...members, ...(overlay?.mtu !== undefined && { overlayMtu: overlay.mtu }) });
}

export function judgeMtus({ bridges, members, overlayMtu }: MtuFacts): Cause[] {
  return [
    ...members
      .filter(({ home, bridge }) => bridge !== undefined && home?.link.index === bridge.index)
      .flatMap(judgeMember),
    ...bridges.flatMap(({ link: { name, mtu = 0, index } }): Cause[] => {
      const containers = members.filter(({ bridge }) => bridge?.index === index).length;
      if (overlayMtu === undefined || containers === 0) return [];
      const least = Math.min(
        ...members.filter(({ bridge }) => bridge?.index === index).map(({ inner }) => inner.mtu ?? 0),
      );
      if (mtu < Math.min(overlayMtu, least)) {
        return [
          {
            code: 'BRIDGE_MTU',
            severity: 'warning' as const,
            layer: 'mtu' as const,
            reason: `the bridge ${name} takes ${mtu} bytes, its containers and the overlay ${Math.min(overlayMtu, least)}: larger packets from other hosts are refused one by one, or fragmented`,
            evidence: [`${name}: mtu ${mtu}`, `overlay: mtu ${overlayMtu}`],
            remedy: `ip link set dev ${name} mtu ${overlayMtu}`,
            fix: [['ip', 'link', 'set', 'dev', name, 'mtu', `${overlayMtu}`]],
          },
        ];
      }
      if (mtu <= overlayMtu) return [];
      return [
        {
          code: 'BRIDGE_MTU',
          severity: 'info' as const,
          layer: 'mtu' as const,
          reason: `the bridge ${name} has the MTU ${mtu}, and the overlay carries ${overlayMtu}: larger packets are refused one by one, or fragmented`,
          evidence: [`${name}: mtu ${mtu}`, `overlay: mtu ${overlayMtu}`],
          remedy: `give Docker the MTU of the subnet file ("mtu": ${overlayMtu} in daemon.json), restart it, and make the containers anew`,
        },
      ];
    }),
  ];
}

function judgeMember({ container, inner, outer, bridge }: Member): Cause[] {
  const [inside = 0, outside = 0, ofBridge = 0] = [inner.mtu, outer.mtu, bridge?.mtu];
  const evidence = [
    `${container.name}: ${inner.name} mtu ${inside}`,
    `${outer.name} mtu ${outside}`,
    `${bridge?.name} mtu ${ofBridge}`,
  ];
  const common = { code: 'CONTAINER_MTU', severity: 'error', layer: 'mtu', evidence } as const;
  // Both ends as the bridge has it; a host's end with more takes nothing away.
  const fix = [
    ...(outside < ofBridge ? [['ip', 'link', 'set', 'dev', outer.name, 'mtu', `${ofBridge}`]] : []),
    ...(inside === ofBridge
      ? []
      : [inContainer(container, 'ip', 'link', 'set', 'dev', inner.name, 'mtu', `${ofBridge}`)]),
  ];
  if (inside > outside) {
    const reason = `the container ${container.name} sends packets of up to ${inside} bytes, and ${outer.name} takes ${outside}: larger ones are lost without an error`;
    return [fixedBy(fix, { ...common, reason })];
  }
  if (inside >= ofBridge) return [];
  const reason = `the bridge ${bridge?.name} sends packets of up to ${ofBridge} bytes to ${container.name}, and ${inner.name} of the container takes ${inside}: larger ones are lost without an error, TCP apart`;
  return [fixedBy(fix, { ...common, reason })];
}
