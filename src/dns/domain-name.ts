/** Names of DNS as bytes and as text: labels with a dot between them, in lower case, without the final dot; '' is the root. */
import type { Reader, Writer } from '../base/bytes.ts';
import { CodecError } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';

/** What names of containers end in where their network is named too: `web.blue.tulle`. Nobody else is asked about it. */
export const ZONE = 'tulle';

/** Bytes of a label, and of a name with the lengths of its labels (RFC 1035, section 2.3.4). */
const MOST_LABEL = 63;
const MOST_NAME = 255;

/**
 * A name that is written in full, as in a question. A byte that no name of a host has is `?`: such a name is like no other.
 * @throws CodecError for a pointer, and for a name that is too long
 */
export function readName(reader: Reader): string {
  const labels: string[] = [];
  let total = 1;
  for (let length = reader.u8(); length > 0; length = reader.u8()) {
    const start = reader.offset - 1;
    if (length > MOST_LABEL) throw new CodecError('a name', start, 'a label', `0x${length.toString(16)}`);
    total += length + 1;
    if (total > MOST_NAME) throw new CodecError('a name', start, `${MOST_NAME} bytes`, 'more');
    labels.push(labelText(reader.bytes(length)));
  }
  return labels.join('.');
}

/** Goes behind a name, which may end in a pointer. @throws CodecError */
export function skipName(reader: Reader): void {
  for (let length = reader.u8(); length > 0; length = reader.u8()) {
    if (length > MOST_LABEL) return reader.skip(1);
    reader.skip(length);
  }
}

/** @param name of labels that `readName` could give */
export function writeName(writer: Writer, name: string): void {
  for (const label of name === '' ? [] : name.split('.')) {
    writer.u8(label.length).bytes(Buffer.from(label, 'latin1'));
  }
  writer.u8(0);
}

function labelText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1');
  return /^[A-Za-z0-9_-]+$/.test(text) ? text.toLowerCase() : text.replaceAll(/[^A-Za-z0-9_-]/g, '?');
}

const REVERSE = { ipv4: '.in-addr.arpa', ipv6: '.ip6.arpa' } as const;

/** The address that a name asks about backwards; undefined for all other names (RFC 1035, section 3.5; RFC 3596). */
export function addressOfReverse(name: string): Ip | undefined {
  if (name.endsWith(REVERSE.ipv4)) {
    const parts = name.slice(0, -REVERSE.ipv4.length).split('.');
    return parts.length === 4 ? Ip.tryParse(parts.reverse().join('.')) : undefined;
  }
  if (!name.endsWith(REVERSE.ipv6)) return undefined;
  const digits = name.slice(0, -REVERSE.ipv6.length).split('.');
  if (digits.length !== 32 || !digits.every(digit => /^[0-9a-f]$/.test(digit))) return undefined;
  return Ip.fromBytes(Buffer.from(digits.reverse().join(''), 'hex'));
}
