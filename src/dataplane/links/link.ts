/**
 * A link of ours of any kind: made when it is not there, adopted when it fits, repaired in place when the kernel lets
 * us, and made anew only when it does not. What distinguishes the kinds is in `kinds.ts`.
 *
 * What decides whether and where packets arrive is ours. What else a person may give a device is not: alias, further
 * names, queue length, TOS. A change of the MAC address flushes the neighbors of the device.
 */
import { defined } from '../../base/defined.ts';
import { isCode, TulleError } from '../../base/errors.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import type { Link, LinkChange } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { deviceOwner } from '../../ownership/device.ts';
import type { Owner } from '../../ownership/owner.ts';
import type { OwnLink } from '../desired-link.ts';
import { Differences } from './kind.ts';
import { kindOf } from './kinds.ts';
import { portDifferences } from './port.ts';

export type Comparison =
  | { readonly outcome: 'same' }
  /** `differences` in words, as `mtu 1500 instead of 1450`. */
  | { readonly outcome: 'change'; readonly change: LinkChange; readonly differences: readonly string[] }
  | { readonly outcome: 'recreate'; readonly reason: string };

/**
 * What has to be done to a link of the right name. Whether it is up does not count: addresses come first.
 * @param master index of the bridge it must be a port of, 0 for none; undefined when that is not ours to say.
 */
export function compareLink(desired: OwnLink, actual: Link, master: number | undefined): Comparison {
  const { info } = actual;
  if (info?.kind !== desired.kind)
    return { outcome: 'recreate', reason: `it is not ${article(desired)} device` };
  const kind = kindOf(desired).compare(desired, info);
  if ('immutable' in kind) return { outcome: 'recreate', reason: kind.immutable };

  const common = new Differences();
  const mtuDiffers = common.compare('mtu', desired.mtu, actual.mtu);
  const macDiffers = common.compare('address', desired.mac, actual.mac);
  const masterDiffers = common.compare('master', master, actual.master ?? 0);
  const port = masterDiffers ? [] : portDifferences(desired, actual.port);
  const differences = [...common.texts, ...kind.differences, ...port];
  if (differences.length === 0) return { outcome: 'same' };
  return {
    outcome: 'change',
    change: {
      ...(mtuDiffers ? defined({ mtu: desired.mtu }) : {}),
      ...(macDiffers ? defined({ mac: desired.mac }) : {}),
      ...(masterDiffers ? defined({ master }) : {}),
      ...(kind.differences.length > 0 ? { info: kind.info } : {}),
      ...(masterDiffers || port.length > 0 ? defined({ port: desired.bridgePort }) : {}),
    },
    differences,
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
  | 'LINK_CONFLICT'
  /** A link of the host that is to be used does not exist, or one of ours that only another process can make. */
  | 'LINK_MISSING'
  /** A device that has the name of one of ours carries blocks of another network. */
  | 'NOT_OURS'
  /** Another network on this host has a link of this name. */
  | 'LINK_OF_ANOTHER_NETWORK'
  /** Another link has our VNI on our UDP port; the pair must be unique. */
  | 'VNI_IN_USE'
  /** The link was removed while it was being set up. */
  | 'LINK_VANISHED';

/** A device of Tulle cannot be created or maintained. */
export class LinkError extends TulleError<LinkErrorCode> {}

/** By which a device of ours is known, and what it belongs to. */
export interface LinkContext {
  /** Of this host, now and before: what a device carries of them shows that it is ours. */
  readonly networks: readonly Prefix[];
  /** Its index when it was last seen. */
  readonly index?: number | undefined;
  /** Another namespace that it was moved to. */
  readonly movedTo?: Link['movedTo'] | undefined;
  /** As `compareLink` wants it. */
  readonly master?: number | undefined;
}

/**
 * Makes the device exist as wanted; it is not set up yet when it is new.
 * @param actual what has the name now.
 * @throws NetlinkError, and LinkError when that is another's or of another kind, or another one has the VNI.
 */
export async function ensureLink(
  rtnetlink: Rtnetlink,
  desired: OwnLink,
  actual: Link | undefined,
  context: LinkContext,
): Promise<EnsuredLink> {
  if (actual === undefined) return await recover(rtnetlink, desired, context);
  const owner = await ownerOf(rtnetlink, desired, actual, context);
  const { links } = rtnetlink;
  // A tunnel that carries nothing may be just being set up by another overlay, which must not find
  // its own device taken over. Other kinds are of use to others without carrying anything: a bridge has its ports.
  const comparison: Comparison =
    owner === 'none' && desired.kind === 'vxlan'
      ? { outcome: 'recreate', reason: 'it carries nothing' }
      : compareLink(desired, actual, context.master);
  switch (comparison.outcome) {
    case 'same':
      return { index: actual.index, up: actual.up, outcome: 'kept', flushed: false };
    case 'change': {
      await changeLink(links, desired.name, comparison.change);
      const found = comparison.differences.join(', ');
      const flushed = comparison.change.mac !== undefined;
      return { index: actual.index, up: actual.up, outcome: 'changed', found, flushed };
    }
    case 'recreate':
      if (kindOf(desired).create(desired) === undefined) throw linkConflict(desired, comparison.reason);
      await deleteLink(rtnetlink, actual.index);
      return { ...(await recover(rtnetlink, desired, context)), found: comparison.reason };
  }
}

/**
 * What this agent has set up, or this host gave its MAC address, is on record as ours; else what it carries decides.
 * @throws LinkError when it is another's.
 */
async function ownerOf(
  rtnetlink: Rtnetlink,
  desired: OwnLink,
  actual: Link,
  { index, networks }: LinkContext,
): Promise<Exclude<Owner, 'another'>> {
  const { kind, name, mac } = desired;
  // Deleting the bridge of another program because of its name would be worse than not running.
  if (actual.info?.kind !== kind) throw linkConflict(desired, `is not ${article(desired)} device`);
  if (actual.index === index || mac?.equals(actual.mac) === true) return 'ours';
  if (desired.knownByMac === true) {
    throw new LinkError('NOT_OURS', `a ${kind} device ${name} exists that Tulle has not made`, {
      hint: `delete or rename it: ip link delete ${name}`,
    });
  }
  const { owner, evidence } = await deviceOwner(rtnetlink, actual.index, networks);
  if (owner !== 'another') return owner;
  throw new LinkError('NOT_OURS', `it belongs to another network: it carries ${evidence.join(', ')}`, {
    hint: `${kindOf(desired).alternative} with \`tulle config set\`, or stop the other overlay and \`ip link delete ${name}\`; the agent then continues by itself`,
  });
}

/** The kind with its indefinite article. */
const article = ({ kind }: OwnLink) => (kind === 'ipip' ? `an ${kind}` : `a ${kind}`);

function linkConflict(desired: OwnLink, difference: string): LinkError {
  return new LinkError('LINK_CONFLICT', `a device ${desired.name} exists and ${difference}`, {
    hint: `delete or rename it, or ${kindOf(desired).alternative}`,
  });
}

/** Nothing has the name: the device is gone, was renamed, or was moved to another namespace. */
async function recover(rtnetlink: Rtnetlink, desired: OwnLink, context: LinkContext): Promise<EnsuredLink> {
  const { index, movedTo, networks } = context;
  const { unique } = kindOf(desired);
  const { links } = rtnetlink;
  // A tunnel keeps its VNI here wherever it is, so that no other can be made before it is gone.
  if (movedTo !== undefined) await deleteMoved(links, movedTo);
  if (kindOf(desired).create(desired) === undefined) {
    // What has it open goes on with it under any name.
    const known = index === undefined ? undefined : await links.get(index);
    if (known?.info?.kind === desired.kind) return await nameBack(rtnetlink, desired, known, context);
  }
  try {
    return await create(links, desired, context.master, movedTo && 'moved to another network namespace');
  } catch (error) {
    if (unique === undefined || !isCode(error, 'EEXIST')) throw error;
    const holder = (await links.list()).find(link => unique.has(desired, link));
    if (holder === undefined) throw taken(unique.text(desired), 'a device in another network namespace has');
    if (holder.index !== index && desired.mac?.equals(holder.mac) !== true) {
      const { evidence } = await deviceOwner(rtnetlink, holder.index, networks);
      const carries = evidence.length === 0 ? '' : `, which carries ${evidence.join(', ')},`;
      throw taken(unique.text(desired), `the device ${holder.name}${carries} has`);
    }
    return await nameBack(rtnetlink, desired, holder, context);
  }
}

/** @param holder ours, which has another name. */
async function nameBack(
  rtnetlink: Rtnetlink,
  desired: OwnLink,
  holder: Link,
  context: LinkContext,
): Promise<EnsuredLink> {
  await rename(rtnetlink.links, holder.index, desired.name);
  const back = await ensureLink(rtnetlink, desired, await rtnetlink.links.get(desired.name), context);
  const found = [`renamed to ${holder.name}`, ...(back.found === undefined ? [] : [back.found])].join(', ');
  return { ...back, outcome: back.outcome === 'kept' ? 'changed' : back.outcome, found };
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

function taken(what: string, who: string): LinkError {
  const message = `${who} ${what} already`;
  return new LinkError('VNI_IN_USE', message, { hint: 'delete it, or choose another VNI or port' });
}

/** The kernel hands the settings of a port to the bridge that the link had before the message. */
async function changeLink(
  links: Rtnetlink['links'],
  name: string,
  { port, ...rest }: LinkChange,
): Promise<void> {
  if (Object.keys(rest).length > 0) await links.change(name, rest);
  if (port !== undefined) await links.change(name, { port });
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
 * Deletes a link, its routes first. If they went with it, the kernel would walk through all routes for each of
 * the device's next hop objects (net/ipv4/nexthop.c, remove_nexthop), under the lock that every change of the host's
 * network waits for: 12 s for 50,000 peers.
 * @throws NetlinkError
 */
export async function deleteLink(rtnetlink: Rtnetlink, index: number): Promise<void> {
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
  desired: OwnLink,
  master: number | undefined,
  found: string | undefined,
): Promise<EnsuredLink> {
  const { kind, name, mac, mtu, bridgePort } = desired;
  const made = kindOf(desired).create(desired);
  if (made === undefined)
    throw new LinkError('LINK_MISSING', `no process has made the ${kind} device ${name}`);
  // An MTU that a bridge is made with follows that of its ports; one that it is given later stays (br_change_mtu).
  const [now, later] = kind === 'bridge' ? [undefined, mtu] : [mtu, undefined];
  const given = defined({ mac, mtu: now, master: master === 0 ? undefined : master });
  await links.add({ name, ...given, ...made });
  const change = defined({ mtu: later, port: bridgePort });
  if (Object.keys(change).length > 0) await links.change(name, change);
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
