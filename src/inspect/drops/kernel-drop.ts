/** A packet that the kernel has dropped, as its program reports it. */
import { HOST_IS_LITTLE } from '../../base/bytes.ts';
import { CodecError } from '../../base/errors.ts';
import { type DecodeOptions, decodeFrame } from '../decode/decode-frame.ts';
import type { Layer } from '../decode/layers.ts';
import { EVENT, SNAPSHOT } from './drop-program.ts';
import type { DropReasons } from './drop-reasons.ts';

export interface KernelDrop {
  /** Of include/net/dropreason-core.h: `IP_RPFILTER`. */
  readonly reason: string;
  /** Address in the kernel of what dropped it; `DropMonitor.functionsAt` has its name. */
  readonly location: bigint;
  /** Inode of the network namespace; 0 where the packet has neither a link nor a socket. */
  readonly netns: number;
  /** The link that the packet is at, or came in by; without a name where only its index is known. */
  readonly link?: { readonly index: number; readonly name?: string };
  /** EtherType of the bytes; 0 where it is not said. */
  readonly protocol: number;
  /** The beginning, from the network header on. A copy. */
  readonly packet: Uint8Array;
  /** Of the whole packet, from where the kernel was in it. */
  readonly length: number;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** @param bootTime milliseconds since 1970 at which the kernel's monotonic clock began. @throws CodecError */
export function decodeDrop(event: Uint8Array, reasons: DropReasons, bootTime: number): KernelDrop {
  if (event.byteLength !== EVENT.size)
    throw new CodecError('drop event', 0, `${EVENT.size} bytes`, `${event.byteLength}`);
  const view = new DataView(event.buffer, event.byteOffset, event.byteLength);
  const u32 = (at: number) => view.getUint32(at, HOST_IS_LITTLE);
  const index = u32(EVENT.link);
  const name = textOf(event.subarray(EVENT.linkName, EVENT.packet));
  // Memory behind the packet's own is none of it.
  const linear = u32(EVENT.tail) - view.getUint16(EVENT.networkHeader, HOST_IS_LITTLE);
  const kept = Math.max(0, Math.min(linear, SNAPSHOT));
  return {
    reason: reasons.nameOf(u32(EVENT.reason)),
    location: view.getBigUint64(EVENT.location, HOST_IS_LITTLE),
    netns: u32(EVENT.netns),
    ...(index === 0 ? {} : { link: { index, ...(name === '' ? {} : { name }) } }),
    protocol: view.getUint16(EVENT.protocol),
    packet: event.slice(EVENT.packet, EVENT.packet + kept),
    length: u32(EVENT.length),
    time: bootTime + Number(view.getBigUint64(EVENT.time, HOST_IS_LITTLE) / 1000n) / 1000,
  };
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.byteLength : end));
}

/** include/uapi/linux/if_ether.h. */
const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;
const ETHERNET_ADDRESSES = 12;

/** The layers of a packet, the packet in a tunnel's among them; none where the bytes are of a protocol that is not known. */
export function layersOfDrop(
  { packet, protocol }: Pick<KernelDrop, 'packet' | 'protocol'>,
  options: Omit<DecodeOptions, 'linkType'> = {},
): Layer[] {
  if (protocol === ETH_P_IP || protocol === ETH_P_IPV6)
    return decodeFrame(packet, { ...options, linkType: 'ip' });
  if (protocol !== ETH_P_ARP) return [];
  // The reader of ARP is behind that of Ethernet, whose addresses are not known here.
  const frame = new Uint8Array(ETHERNET_ADDRESSES + 2 + packet.byteLength);
  new DataView(frame.buffer).setUint16(ETHERNET_ADDRESSES, ETH_P_ARP);
  frame.set(packet, ETHERNET_ADDRESSES + 2);
  return decodeFrame(frame).filter(({ layer }) => layer !== 'ethernet');
}
