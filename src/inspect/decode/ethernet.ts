/** Ethernet, VLAN tags, ARP. */
import type { Reader } from '../../base/bytes.ts';
import { Mac } from '../../base/mac.ts';
import { ETHERTYPE, readArpMessage } from '../../base/neighbor-messages.ts';
import { addLayer, type Decoding, type HeaderName, type Next, payloadIn } from './decoding.ts';

/** include/uapi/linux/if_ether.h. */
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_SERVICE_VLAN = 0x88a8;

const NAMES: Readonly<Record<number, HeaderName>> = {
  [ETHERTYPE.ipv4]: 'ipv4',
  [ETHERTYPE.arp]: 'arp',
  [ETHERTYPE.ipv6]: 'ipv6',
};

export function readEthernet(reader: Reader, decoding: Decoding): Next {
  const destination = Mac.fromBytes(reader.bytes(6));
  const source = Mac.fromBytes(reader.bytes(6));
  let type = reader.u16be();
  addLayer(decoding, { layer: 'ethernet', destination, source, type });
  while (type === ETHERTYPE_VLAN || type === ETHERTYPE_SERVICE_VLAN) {
    const tag = reader.u16be();
    type = reader.u16be();
    addLayer(decoding, { layer: 'vlan', id: tag & 0xfff, priority: tag >>> 13, type });
  }
  return { name: NAMES[type] ?? 'payload', reader };
}

export function readArp(reader: Reader, decoding: Decoding): Next | undefined {
  const message = readArpMessage(reader);
  if (message === undefined) return payloadIn(reader);
  addLayer(decoding, { layer: 'arp', ...message });
  return undefined;
}
