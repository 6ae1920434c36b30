/**
 * The tunnel device itself: made when it is not there, adopted when it fits, repaired in place when the kernel lets
 * us, and made anew only when it does not.
 *
 * What the kernel can change on a living vxlan device (drivers/net/vxlan/vxlan_core.c, vxlan_nl2conf with
 * changelink): the local address within its family, the lower device, learning, TTL and DF. VNI, UDP port, group and
 * the extensions it cannot. A change of the MAC address flushes the neighbors of the device.
 *
 * What decides whether and where packets arrive is ours. What else a person may give a device is not: alias, further
 * names, queue length, TOS.
 */
import { defined } from '../../base/defined.ts';
import { isCode, TulleError } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import type { VxlanInfo } from '../../netlink/route/link-info.ts';
import type { Link, LinkChange } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { deviceOwner } from '../../ownership/device.ts';
import type { Owner } from '../../ownership/owner.ts';
import type { DesiredVxlan } from '../desired.ts';

export type Comparison =
  | { readonly outcome: 'same' }
  /** `differences` in words, as `mtu 1500 instead of 1450`. */
  | { readonly outcome: 'change'; readonly change: LinkChange; readonly differences: readonly string[] }
  | { readonly outcome: 'recreate'; readonly reason: string };

/** What has to be done to a device of the right name. Whether it is up does not count: addresses come first. */
export function compareVxlan(desired: DesiredVxlan, actual: Link): Comparison {
  const info = actual.info;
  if (info?.kind !== 'vxlan') return { outcome: 'recreate', reason: 'it is not a vxlan device' };
  const obstacle = immutableDifference(desired, info);
  if (obstacle !== undefined) return { outcome: 'recreate', reason: obstacle };

  const differences: string[] = [];
  const differ = (what: string, found: number | Ip | Mac | undefined, wanted: number | Ip | Mac) =>
    differences.push(`${what} ${found ?? 'none'} instead of ${wanted}`);
  const macDiffers = !desired.mac.equals(actual.mac);
  const mtuDiffers = actual.mtu !== desired.mtu;
  if (mtuDiffers) differ('mtu', actual.mtu, desired.mtu);
  if (macDiffers) differ('address', actual.mac, desired.mac);
  // A port of a bridge gives what it receives to the bridge. Where nothing is said of it, that is another's decision.
  const isEnslaved = desired.master === 'nomaster' && actual.master !== undefined && actual.master !== 0;
  if (isEnslaved) differ('master', actual.master, 0);
  const before = differences.length;
  if (desired.local !== undefined && !desired.local.equals(info.local)) {
    differ('local', info.local, desired.local);
  }
  if ((info.learning ?? false) !== desired.learning) {
    differences.push(desired.learning ? 'nolearning instead of learning' : 'learning instead of nolearning');
  }
  if ((info.link ?? 0) !== desired.underlayIndex) differ('lower device', info.link, desired.underlayIndex);
  if ((info.ttl ?? 0) !== 0) differ('ttl', info.ttl, 0);
  if ((info.df ?? 0) !== 0) differ('df', info.df, 0);
  const infoDiffers = differences.length > before;
  if (differences.length === 0) return { outcome: 'same' };
  return {
    outcome: 'change',
    change: {
      ...(mtuDiffers ? { mtu: desired.mtu } : {}),
      ...(macDiffers ? { mac: desired.mac } : {}),
      ...(isEnslaved ? { master: 0 } : {}),
      ...(infoDiffers ? { info: { ...mutableInfo(desired), ttl: 0, df: 0 } } : {}),
    },
    differences,
  };
}

/** A difference that no change of the living device can mend. */
function immutableDifference(desired: DesiredVxlan, info: VxlanInfo): string | undefined {
  if (info.id !== desired.vni) return `its VNI is ${info.id ?? 'none'}, not ${desired.vni}`;
  if (info.port !== desired.port) return `its UDP port is ${info.port ?? 'none'}, not ${desired.port}`;
  if ((info.gbp ?? false) !== desired.gbp) return desired.gbp ? 'it has no gbp' : 'it has gbp';
  if (info.group !== undefined) return `it has a default destination, ${info.group}`;
  if (info.collectMetadata === true) return 'it is external';
  if (info.l2miss === true) return 'it has l2miss';
  if (desired.local !== undefined && info.local !== undefined && desired.local.family !== info.local.family) {
    return `its local address is ${info.local}`;
  }
  return undefined;
}

function mutableInfo({ local, learning, underlayIndex }: DesiredVxlan): VxlanInfo {
  return {
    kind: 'vxlan',
    learning,
    ...(underlayIndex === 0 ? {} : { link: underlayIndex }),
    ...(local === undefined ? {} : { local }),
  };
}

/** What became of the device. */
export interface EnsuredLink {
  readonly index: number;
  readonly up: boolean;
  /** kept: it was right; changed: repaired in place; created: it is new, and empty. */
  readonly outcome: 'kept' | 'changed' | 'created';
  /** What was found and is no more, in words. */
  readonly found?: string;
  /** Its MAC address was changed, which flushed its neighbors. */
  readonly flushed: boolean;
}

export type LinkErrorCode =
  /** A link of another kind has the name of one of ours. */
  | 'LINK_IN_THE_WAY'
  /** A vxlan device that has the name of one of ours carries blocks of another network. */
  | 'NOT_OURS'
  /** Another link has our VNI on our UDP port, of which there can be but one. */
  | 'VNI_IN_USE'
  /** Somebody removed the link while it was being set up. */
  | 'LINK_VANISHED';

/** A device of ours cannot be made or kept. */
export class LinkError extends TulleError<LinkErrorCode> {}

/** By which a device of ours is known. */
export interface LinkTrace {
  /** Of this host, now and before: what a device carries of them shows that it is ours. */
  readonly networks: readonly Prefix[];
  /** Its index when it was last seen. */
  readonly index?: number | undefined;
  /** Another namespace that it was moved to. */
  readonly movedTo?: Link['movedTo'] | undefined;
}

/**
 * Makes the device exist as wanted; it is not set up yet when it is new.
 * @param actual what has the name now.
 * @throws NetlinkError, and LinkError when that is another's, or no vxlan device, or another one has the VNI.
 */
export async function ensureVxlan(
  rtnetlink: Rtnetlink,
  desired: DesiredVxlan,
  actual: Link | undefined,
  trace: LinkTrace,
): Promise<EnsuredLink> {
  if (actual === undefined) return await recover(rtnetlink, desired, trace);
  const owner = await ownerOf(rtnetlink, desired, actual, trace);
  const { links } = rtnetlink;
  // One that carries nothing may be just being set up: then whoever does that finds ours, and not its own in our hands.
  const comparison: Comparison =
    owner === 'nobody'
      ? { outcome: 'recreate', reason: 'it carries nothing' }
      : compareVxlan(desired, actual);
  switch (comparison.outcome) {
    case 'same':
      return { index: actual.index, up: actual.up, outcome: 'kept', flushed: false };
    case 'change': {
      await links.change(desired.name, comparison.change);
      const found = comparison.differences.join(', ');
      const flushed = comparison.change.mac !== undefined;
      return { index: actual.index, up: actual.up, outcome: 'changed', found, flushed };
    }
    case 'recreate':
      await deleteTunnel(rtnetlink, actual.index);
      return { ...(await recover(rtnetlink, desired, trace)), found: comparison.reason };
  }
}

/**
 * What this agent has set up, or this host gave its MAC address, is on record as ours; else what it carries decides.
 * @throws LinkError when it is another's.
 */
async function ownerOf(
  rtnetlink: Rtnetlink,
  { name, mac }: DesiredVxlan,
  actual: Link,
  { index, networks }: LinkTrace,
): Promise<Exclude<Owner, 'another'>> {
  // Deleting somebody's bridge because of its name would be worse than not to run.
  if (actual.info?.kind !== 'vxlan') {
    throw new LinkError('LINK_IN_THE_WAY', `a device ${name} exists and is not a vxlan device`, {
      hint: 'delete or rename it, or choose another VNI',
    });
  }
  if (actual.index === index || mac.equals(actual.mac)) return 'ours';
  const { owner, evidence } = await deviceOwner(rtnetlink, actual.index, networks);
  if (owner !== 'another') return owner;
  throw new LinkError('NOT_OURS', `it belongs to another network: it carries ${evidence.join(', ')}`, {
    hint: `choose another VNI with \`tulle config set\`, or stop the other overlay and \`ip link delete ${name}\`; the agent then continues by itself`,
  });
}

/** Nothing has the name: the device is gone, was renamed, or was moved to another namespace. */
async function recover(rtnetlink: Rtnetlink, desired: DesiredVxlan, trace: LinkTrace): Promise<EnsuredLink> {
  const { index, movedTo, networks } = trace;
  const { links } = rtnetlink;
  // It keeps its VNI here wherever it is, so that no other can be made before it is gone.
  if (movedTo !== undefined) await deleteMoved(links, movedTo);
  try {
    return await create(links, desired, movedTo && 'moved to another network namespace');
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
    const holder = (await links.list()).find(link => holdsVni(link, desired));
    if (holder === undefined) throw taken(desired, 'a device in another network namespace has');
    if (holder.index !== index && !desired.mac.equals(holder.mac)) {
      const { evidence } = await deviceOwner(rtnetlink, holder.index, networks);
      const carries = evidence.length === 0 ? '' : `, which carries ${evidence.join(', ')},`;
      throw taken(desired, `the device ${holder.name}${carries} has`);
    }
    await rename(links, holder.index, desired.name);
    const back = await ensureVxlan(rtnetlink, desired, await links.get(desired.name), trace);
    const found = [`renamed to ${holder.name}`, ...(back.found === undefined ? [] : [back.found])].join(', ');
    return { ...back, outcome: back.outcome === 'kept' ? 'changed' : back.outcome, found };
  }
}

async function deleteMoved(
  links: Rtnetlink['links'],
  { index, netnsId }: NonNullable<Link['movedTo']>,
): Promise<void> {
  try {
    await links.delete(index, { targetNetnsId: netnsId });
  } catch (error) {
    // It is gone from there too, or the namespace is; whether the VNI is free is seen when it is taken.
    if (!isCode(error, 'ENODEV', 'EINVAL', 'ESRCH')) throw error;
  }
}

function holdsVni({ info }: Link, { vni, port }: DesiredVxlan): boolean {
  return info?.kind === 'vxlan' && info.id === vni && info.port === port;
}

function taken({ vni, port }: DesiredVxlan, who: string): LinkError {
  const message = `${who} VNI ${vni} on UDP port ${port} already`;
  return new LinkError('VNI_IN_USE', message, { hint: 'delete it, or choose another VNI or port' });
}

/** Kernels before 6.2 rename no device that is up. */
async function rename(links: Rtnetlink['links'], index: number, name: string): Promise<void> {
  try {
    await links.change(index, { name });
  } catch (error) {
    if (!isCode(error, 'EBUSY')) throw error;
    await links.change(index, { up: false });
    await links.change(index, { name });
  }
}

/**
 * Deletes a tunnel device, its routes first. If they went with it, the kernel would walk through all routes for each of
 * the device's next hop objects (net/ipv4/nexthop.c, remove_nexthop), under the lock that every change of the host's
 * network waits for: 12 s for 50,000 peers.
 * @throws NetlinkError
 */
export async function deleteTunnel(rtnetlink: Rtnetlink, index: number): Promise<void> {
  let changes: Change[] = [];
  await rtnetlink.routes.read(
    { oif: index },
    {
      begin() {
        changes = [];
      },
      each({ destination, family, table, priority, nexthopId }) {
        if (nexthopId === undefined) return;
        changes.push(change.deleteRoute({ family, table, nexthopId, ...defined({ destination, priority }) }));
      },
    },
  );
  // What is refused goes with the device.
  await rtnetlink.apply(changes);
  await rtnetlink.links.delete(index);
}

async function create(
  links: Rtnetlink['links'],
  desired: DesiredVxlan,
  found: string | undefined,
): Promise<EnsuredLink> {
  const { name, mac, mtu, port, gbp } = desired;
  await links.add({
    name,
    mac,
    mtu,
    info: {
      ...mutableInfo(desired),
      id: desired.vni,
      ...(gbp ? { gbp } : {}),
      port,
    },
  });
  const link = await links.get(name);
  if (link === undefined)
    throw new LinkError('LINK_VANISHED', `${name} disappeared as soon as it was created`);
  return {
    index: link.index,
    up: link.up,
    outcome: 'created',
    ...(found === undefined ? {} : { found }),
    flushed: false,
  };
}
