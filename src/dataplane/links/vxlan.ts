/**
 * VXLAN devices.
 *
 * What the kernel can change on a living one (drivers/net/vxlan/vxlan_core.c, vxlan_nl2conf with changelink): the local
 * address and the default destination within their family, the lower device, learning, TTL and DF. VNI, UDP port and
 * the extensions it cannot.
 */
import type { Ip } from '../../base/ip.ts';
import type { VxlanInfo } from '../../netlink/route/link-info.ts';
import type { DesiredVxlan } from '../desired-link.ts';
import { Differences, type LinkKind } from './kind.ts';

export const vxlanKind: LinkKind<DesiredVxlan> = {
  alternative: 'choose another VNI',

  create(desired) {
    const { vni: id, port, gbp } = desired;
    return { info: { ...mutableInfo(desired), id, ...(gbp ? { gbp } : {}), port } };
  },

  compare(desired, info) {
    const immutable = immutableDifference(desired, info);
    if (immutable !== undefined) return { immutable };
    const differences = new Differences();
    differences.compare('local', desired.local, info.local);
    if ((info.learning ?? false) !== desired.learning) {
      const words = ['nolearning', 'learning'];
      differences.texts.push((desired.learning ? words : words.toReversed()).join(' instead of '));
    }
    differences.compare('remote', desired.remote, info.group);
    differences.compare('lower device', desired.underlayIndex, info.link ?? 0);
    differences.compare('ttl', desired.ttl ?? 0, info.ttl ?? 0);
    differences.compare('df', 0, info.df ?? 0);
    return { differences: differences.texts, info: { ...mutableInfo(desired), df: 0 } };
  },

  text: ({ vni }) => `id ${vni}`,
  lower: ({ underlayIndex }) => (underlayIndex === 0 ? [] : [underlayIndex]),

  unique: {
    has: ({ vni, port }, { info }) => info?.kind === 'vxlan' && (info.id ?? 0) === vni && info.port === port,
    text: ({ vni, port }) => `VNI ${vni} on UDP port ${port}`,
  },
};

function immutableDifference(desired: DesiredVxlan, info: VxlanInfo): string | undefined {
  if ((info.id ?? 0) !== desired.vni) return `its VNI is ${info.id ?? 'none'}, not ${desired.vni}`;
  if (info.port !== desired.port) return `its UDP port is ${info.port ?? 'none'}, not ${desired.port}`;
  if ((info.gbp ?? false) !== desired.gbp) return desired.gbp ? 'it has no gbp' : 'it has gbp';
  if (familyOf(info.group) !== familyOf(desired.remote)) {
    return info.group === undefined
      ? 'it has no default destination'
      : `it has a default destination, ${info.group}`;
  }
  if (info.collectMetadata === true) return 'it is external';
  if (info.l2miss === true) return 'it has l2miss';
  if (desired.local !== undefined && info.local !== undefined && desired.local.family !== info.local.family) {
    return `its local address is ${info.local}`;
  }
  return undefined;
}

/** The kernel says "none" with the address of all zeros. */
const familyOf = (ip: Ip | undefined) =>
  ip === undefined || ip.bytes.every(byte => byte === 0) ? undefined : ip.family;

function mutableInfo({ local, learning, underlayIndex, remote, ttl = 0 }: DesiredVxlan): VxlanInfo {
  return {
    kind: 'vxlan',
    learning,
    ttl,
    ...(underlayIndex === 0 ? {} : { link: underlayIndex }),
    ...(local === undefined ? {} : { local }),
    ...(remote === undefined ? {} : { group: remote }),
  };
}
