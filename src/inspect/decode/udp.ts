/** UDP, and what it carries for us: VXLAN, and flannel's packets without a header. */
import type { Reader } from '../../base/bytes.ts';
import { addLayer, type Decoding, type Next, payloadIn } from './decoding.ts';

/** RFC 768. */
export function readUdp(reader: Reader, decoding: Decoding): Next {
  const sourcePort = reader.u16be();
  const destinationPort = reader.u16be();
  const length = reader.u16be();
  const checksum = reader.u16be();
  addLayer(decoding, { layer: 'udp', sourcePort, destinationPort, length, checksum });
  if (decoding.vxlanPorts.includes(destinationPort)) return { name: 'vxlan', reader };
  if (decoding.flannelPorts.includes(destinationPort)) return { name: 'flannel-udp', reader };
  return payloadIn(reader);
}

const VNI_IS_VALID = 0x08;

/** Flags (8 bits), reserved (24), VNI (24), reserved (8). Anything may use the port: without the flag it is not VXLAN. */
export function readVxlan(reader: Reader, decoding: Decoding): Next {
  const start = reader.offset;
  const flags = reader.remaining > 0 ? reader.u8() : 0;
  if ((flags & VNI_IS_VALID) === 0) {
    reader.seek(start);
    return payloadIn(reader);
  }
  reader.skip(3);
  addLayer(decoding, { layer: 'vxlan', vni: reader.u32be() >>> 8, flags });
  return { name: 'ethernet', reader, isInside: true };
}

/** A packet, if it begins as one does. */
export function readFlannelUdp(reader: Reader, decoding: Decoding): Next {
  const start = reader.offset;
  const version = reader.remaining > 0 ? reader.u8() >>> 4 : 0;
  reader.seek(start);
  if (version !== 4 && version !== 6) return payloadIn(reader);
  addLayer(decoding, { layer: 'flannel-udp' });
  return { name: 'ip', reader, isInside: true };
}
