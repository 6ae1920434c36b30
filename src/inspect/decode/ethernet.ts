/** Ethernet, VLAN tags, ARP. */
import type { Reader } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { addLayer, type Decoding, type HeaderName, type Next, payloadIn } from './decoding.ts';

/** include/uapi/linux/if_ether.h. */
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_SERVICE_VLAN = 0x88a8;

const NAMES: Readonly<Record<number, HeaderName>> = {
  [ETHERTYPE_IPV4]: 'ipv4',
  [ETHERTYPE_ARP]: 'arp',
  [ETHERTYPE_IPV6]: 'ipv6',
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

/** Ethernet (1), IPv4, lengths of their addresses: the only kind in use. */
const ARP_OF_IPV4 = `1,${ETHERTYPE_IPV4},6,4`;

export function readArp(reader: Reader, decoding: Decoding): Next | undefined {
  const start = reader.offset;
  const kind = [reader.u16be(), reader.u16be(), reader.u8(), reader.u8()].join();
  if (kind !== ARP_OF_IPV4) {
    reader.seek(start);
    return payloadIn(reader);
  }
  addLayer(decoding, {
    layer: 'arp',
    operation: reader.u16be(),
    senderMac: Mac.fromBytes(reader.bytes(6)),
    sender: Ip.fromBytes(reader.bytes(4)),
    targetMac: Mac.fromBytes(reader.bytes(6)),
    target: Ip.fromBytes(reader.bytes(4)),
  });
  return undefined;
}
