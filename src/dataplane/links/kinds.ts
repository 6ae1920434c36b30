/**
 * The table of link kinds. What the kernel can change on a living link is in `ip_tunnel_changelink` (net/ipv4) and
 * `br_changelink` (net/bridge).
 */
import { Ip } from '../../base/ip.ts';
import type { DesiredBridge, DesiredIpip, DesiredTun, DesiredVeth, OwnLink } from '../desired-link.ts';
import { Differences, type LinkKind } from './kind.ts';
import { vxlanKind } from './vxlan.ts';

const alternative = 'choose another name';

const bridgeKind: LinkKind<DesiredBridge> = {
  alternative,
  create: desired => ({ info: bridgeInfo(desired) }),
  compare(desired, info) {
    const differences = new Differences();
    const stp = desired.stp === undefined ? undefined : Number(desired.stp);
    differences.compare('stp_state', stp, info.stpState);
    differences.compare('mcast_snooping', desired.multicastSnooping, info.multicastSnooping);
    return { differences: differences.texts, info: bridgeInfo(desired) };
  },
  text: () => '',
  lower: () => [],
};

function bridgeInfo({ stp, multicastSnooping }: DesiredBridge) {
  return {
    kind: 'bridge',
    ...(stp === undefined ? {} : { stpState: Number(stp) }),
    ...(multicastSnooping === undefined ? {} : { multicastSnooping }),
  } as const;
}

/** Which end is the other one cannot be changed, and may be anywhere. */
const vethKind: LinkKind<DesiredVeth> = {
  alternative,
  create: ({ peer }) => ({ info: { kind: 'veth', peer: { name: peer } } }),
  compare: () => ({ differences: [], info: { kind: 'veth' } }),
  text: ({ peer }) => `peer name ${peer}`,
  lower: () => [],
};

const tunKind: LinkKind<DesiredTun> = {
  alternative: 'choose another backend',
  create: () => undefined,
  compare: ({ type }, info) =>
    info.type === type
      ? { differences: [], info: { kind: 'tun' } }
      : { immutable: `it is a ${info.type} device` },
  text: ({ type }) => `type ${type}`,
  lower: () => [],
};

/** The kernel says "any" with the address 0.0.0.0. */
const ANY = Ip.parse('0.0.0.0');

const ipipKind: LinkKind<DesiredIpip> = {
  alternative: 'choose another backend',
  create: desired => ({ info: ipipInfo(desired) }),
  compare(desired, info) {
    if (info.collectMetadata === true) return { immutable: 'it is external' };
    const { local = ANY, remote = ANY, underlayIndex } = desired;
    const differences = new Differences();
    differences.compare('local', local, info.local ?? ANY);
    differences.compare('remote', remote, info.remote ?? ANY);
    differences.compare('lower device', underlayIndex, info.link ?? 0);
    return { differences: differences.texts, info: ipipInfo(desired) };
  },
  text: ({ local, remote }) => `local ${local ?? 'any'} remote ${remote ?? 'any'}`,
  lower: ({ underlayIndex }) => (underlayIndex === 0 ? [] : [underlayIndex]),
};

function ipipInfo({ local, remote, underlayIndex }: DesiredIpip) {
  return {
    kind: 'ipip',
    link: underlayIndex,
    pmtuDiscovery: true,
    local: local ?? ANY,
    remote: remote ?? ANY,
  } as const;
}

const KINDS = {
  vxlan: vxlanKind,
  bridge: bridgeKind,
  veth: vethKind,
  tun: tunKind,
  ipip: ipipKind,
} as const satisfies { readonly [Kind in OwnLink['kind']]: LinkKind<Extract<OwnLink, { kind: Kind }>> };

/** The kind of this link. */
export function kindOf(desired: OwnLink): LinkKind<OwnLink> {
  // Each kind is handed only links of its own: TypeScript does not see that the key and the link belong together.
  return KINDS[desired.kind] as unknown as LinkKind<OwnLink>;
}
