/**
 * Whose a network device is that has a name of ours and that we are not on record to have made. Its addresses say it;
 * where it has none, the routes over it, then its neighbors. FDB entries name the underlay alone: they show that
 * a program uses the device, and not that it serves a network of ours.
 */
import type { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { NUD_NOARP, NUD_PERMANENT, RTPROT_KERNEL } from '../netlink/route/constants.ts';
import type { FdbEntry } from '../netlink/route/objects.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { type Owner, ownerOf } from './owner.ts';

/** What a device carries. */
interface Trace {
  readonly block: Prefix;
  /** In the words of iproute2: `address 10.42.0.0/32`. */
  readonly text: string;
}

export interface DeviceOwner {
  readonly owner: Owner;
  /** What shows it, in the words of iproute2; a few of them. */
  readonly evidence: readonly string[];
}

type Kernel = Pick<Rtnetlink, 'addresses' | 'routes' | 'neighbors' | 'fdb'>;

/** As many traces as a person needs to recognize the owner. */
const SHOWN = 3;

/** @param networks ours. @throws NetlinkError, SysError */
export async function deviceOwner(
  kernel: Kernel,
  index: number,
  networks: readonly Prefix[],
): Promise<DeviceOwner> {
  for (const read of [addresses, routes, neighbors]) {
    const traces = await read(kernel, index);
    if (traces.length === 0) continue;
    const owner = ownerOf(
      traces.map(({ block }) => block),
      networks,
    );
    return { owner, evidence: traces.slice(0, SHOWN).map(({ text }) => text) };
  }
  const isStated = ({ state }: FdbEntry) => (state & (NUD_PERMANENT | NUD_NOARP)) !== 0;
  const entries = (await kernel.fdb.list(index)).filter(isStated);
  const evidence = entries
    .slice(0, SHOWN)
    .map(({ mac, destination }) => `FDB entry ${mac} dst ${destination ?? '(none)'}`);
  return { owner: evidence.length === 0 ? 'none' : 'another', evidence };
}

async function addresses(kernel: Kernel, index: number): Promise<Trace[]> {
  const found = await kernel.addresses.list({ index });
  return found
    .filter(({ ip }) => saysSomething(ip))
    .map(({ ip, length }) => ({ block: Prefix.ofOne(ip), text: `address ${ip}/${length}` }));
}

async function routes(kernel: Kernel, index: number): Promise<Trace[]> {
  const found = await kernel.routes.list({ oif: index });
  return found.flatMap(({ destination, protocol }) =>
    destination === undefined || protocol === RTPROT_KERNEL || !saysSomething(destination.ip)
      ? []
      : [{ block: destination, text: `route ${destination}` }],
  );
}

async function neighbors(kernel: Kernel, index: number): Promise<Trace[]> {
  const found = await kernel.neighbors.list({ index });
  return found
    .filter(({ ip, state }) => (state & NUD_PERMANENT) !== 0 && saysSomething(ip))
    .map(({ ip }) => ({ block: Prefix.ofOne(ip), text: `neighbor ${ip}` }));
}

/** Every link has addresses of these kinds. */
const saysSomething = (ip: Ip) => !ip.isLinkLocal && !ip.isMulticast;
