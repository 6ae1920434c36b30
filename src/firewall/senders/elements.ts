/**
 * The elements of the filter's sets. `senders-ip` holds underlay addresses; `blocks-ip-ip-24` pairs of an underlay address
 * and the first 24 bits of an inner source, which are a block of the host with that address:
 *
 *     192.168.65.4 . 10.77.2     an IPv4 packet from 10.77.2.x may come from 192.168.65.4
 *
 * Blocks are compared by whole bytes; one of another length is the several that it consists of, 256 at most.
 */
import { formatHex, written } from '../../base/bytes.ts';
import { ADDRESS_BITS, FAMILIES, type Family, type Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { NFT_FAMILY } from '../nftables/table.ts';
import type { Sender } from './policy.ts';

/** A set of pairs, and how many bits of the inner source are in them. */
export interface BlockSet {
  readonly name: string;
  readonly outer: Family;
  readonly inner: Family;
  readonly bits: number;
}

export interface SenderElement {
  readonly set: string;
  /** Absent for one of `senders-...`. */
  readonly blocks?: BlockSet;
  /** As the kernel compares it: every field is filled up to a multiple of four bytes. */
  readonly key: Uint8Array;
  /** As nft reads it. */
  readonly text: string;
}

export const sendersOf = (family: Family): string => `senders-${NFT_FAMILY[family]}`;
export const refusedOf = (family: Family): string => `refused-${NFT_FAMILY[family]}`;

export function elementsOf({ addresses, blocks }: Sender): SenderElement[] {
  return addresses.flatMap(address => [
    { set: sendersOf(address.family), key: address.bytes, text: address.toString() },
    ...blocks.flatMap(block => piecesOf(block).map(piece => pairOf(address, piece))),
  ]);
}

function pairOf(address: Ip, { ip, length: bits }: Prefix): SenderElement {
  const blocks = blockSet(address.family, ip.family, bits);
  const source = ip.bytes.subarray(0, bits / 8);
  return {
    set: blocks.name,
    blocks,
    key: written(writer => writer.bytes(address.bytes).bytes(source).align(4)),
    text: `${address} . 0x${formatHex(source)}`,
  };
}

/** Where blocks of this length will be. */
export const blockSetsFor = (block: Prefix): BlockSet[] =>
  FAMILIES.map(outer => blockSet(outer, block.family, wholeBytes(block)));

function blockSet(outer: Family, inner: Family, bits: number): BlockSet {
  return { name: `blocks-${NFT_FAMILY[outer]}-${NFT_FAMILY[inner]}-${bits}`, outer, inner, bits };
}

const wholeBytes = ({ length }: Prefix) => Math.max(8, Math.ceil(length / 8) * 8);

/** The same addresses in blocks whose length is a whole number of bytes. */
function piecesOf(block: Prefix): Prefix[] {
  const bits = wholeBytes(block);
  const step = 1n << BigInt(ADDRESS_BITS[block.family] - bits);
  return Array.from({ length: 2 ** (bits - block.length) }, (_, index) =>
    Prefix.of(block.ip.plus(BigInt(index) * step), bits),
  );
}
