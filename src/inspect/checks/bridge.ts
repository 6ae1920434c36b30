/** The bridges of the overlay themselves: up, with the address that containers have as their gateway, answering ARP. */
import { FAMILY_LABELS } from '../../base/ip.ts';
import { formatInterfaceAddress, Prefix } from '../../base/prefix.ts';
import { IFF_NOARP } from '../../netlink/route/constants.ts';
import { linkLine, linkNames } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Members, OverlayBridge } from '../host/members.ts';
import type { HostOverlay } from '../host/overlay.ts';
import { judgeNetmask } from './bridge-netmask.ts';
import { type Cause, fixedBy, HERE, sysctlName } from './check.ts';

export interface BridgeFacts extends Members {
  readonly overlay: HostOverlay;
  /** Of the host, by path. */
  readonly sysctls: ReadonlyMap<string, string>;
}

const arpIgnore = (link: string) => ['all', link].map(name => `net/ipv4/conf/${name}/arp_ignore`);
/** While it is 1 the kernel has removed all addresses of IPv6, and refuses new ones. */
const ipv6Off = (link: string) => `net/ipv6/conf/${link}/disable_ipv6`;

export async function checkBridges(host: HostReader): Promise<Cause[]> {
  const [overlay, members] = await Promise.all([host.overlay(), host.members()]);
  if (overlay === undefined) return [];
  const sysctls = host.sysctls(
    members.bridges.flatMap(({ link: { name } }) => [...arpIgnore(name), ipv6Off(name)]),
  );
  return judgeBridges({ ...members, overlay, sysctls });
}

export function judgeBridges({ bridges, members, overlay, sysctls }: BridgeFacts): Cause[] {
  return bridges.flatMap(bridge => {
    const own = members.filter(({ home }) => home?.link.index === bridge.link.index);
    return [
      ...judgeState(bridge, sysctls),
      ...judgeAddress(bridge, own, { overlay, sysctls }),
      ...judgeNetmask(bridge, own),
    ];
  });
}

function judgeState({ link }: OverlayBridge, sysctls: ReadonlyMap<string, string>): Cause[] {
  const { name } = link;
  const evidence = [linkLine(link, linkNames([link]))];
  if (!link.up) {
    return [
      fixedBy([['ip', 'link', 'set', 'dev', name, 'up']], {
        code: 'BRIDGE_DOWN',
        severity: 'error',
        layer: 'bridge',
        reason: `the bridge ${name} is down: no container of ${HERE} reaches anything`,
        evidence,
      }),
    ];
  }
  const common = { code: 'ARP_OFF', severity: 'error', layer: 'bridge' } as const;
  if ((link.flags & IFF_NOARP) !== 0) {
    const reason = `ARP is off on the bridge ${name}: ${HERE} and its containers do not find each other`;
    return [fixedBy([['ip', 'link', 'set', 'dev', name, 'arp', 'on']], { ...common, reason, evidence })];
  }
  const path = arpIgnore(name).find(each => sysctls.get(each) === '8');
  if (path === undefined) return [];
  const reason = `the bridge ${name} ignores ARP requests: containers do not find their gateway`;
  const shown = [`${sysctlName(path)} = 8`];
  return [fixedBy([['sysctl', '-w', `${sysctlName(path)}=0`]], { ...common, reason, evidence: shown })];
}

/** Each family that containers have an address of needs one of the bridge's. */
function judgeAddress(
  { link, addresses }: OverlayBridge,
  members: Members['members'],
  { overlay, sysctls }: Pick<BridgeFacts, 'overlay' | 'sysctls'>,
): Cause[] {
  const missing = overlay.gateways.filter(({ ip, length }) => {
    const block = Prefix.of(ip, length);
    const isUsed = members.some(member => member.addresses.some(address => block.contains(address.ip)));
    return isUsed && !addresses.some(address => block.contains(address.ip));
  });
  if (missing.length === 0) return [];
  const path = ipv6Off(link.name);
  const isOff = sysctls.get(path) === '1' && missing.some(({ ip }) => ip.family === 'ipv6');
  const addition = missing.map(gateway => [
    'ip',
    'addr',
    'add',
    formatInterfaceAddress(gateway),
    'dev',
    link.name,
  ]);
  return [
    fixedBy(isOff ? [['sysctl', '-w', `${sysctlName(path)}=0`], ...addition] : addition, {
      code: 'BRIDGE_NO_ADDRESS',
      severity: 'error',
      layer: 'bridge',
      reason: `the bridge ${link.name} has no ${missing.map(({ ip }) => FAMILY_LABELS[ip.family]).join(' and no ')} address of ${HERE}'s subnet: its containers reach nothing but each other`,
      evidence: [
        ...missing.map(
          ({ ip, length }) => `ip addr show ${link.name}: no address in ${Prefix.of(ip, length)}`,
        ),
        ...(isOff ? [`${sysctlName(path)} = 1`] : []),
      ],
    }),
  ];
}
