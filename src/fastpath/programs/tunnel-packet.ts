/** What both programs at an uplink take for a packet of a tunnel of ours. */
import { R1, R7 } from '../../bpf/instructions.ts';
import type { FlowProgram } from './flow-program.ts';
import {
  ETHERNET,
  ETHERTYPE_IPV4,
  FRAGMENT_BITS,
  IPV4,
  TRANSPORT,
  TUNNEL,
  UDP_HEADER,
  VERSION_4_NO_OPTIONS,
  VXLAN,
  VXLAN_FLAGS,
} from './headers.ts';

/** A whole IPv4 packet of UDP to a port of ours, by the outer headers in R7; then goes on at the label. Forgets R1 to R3. */
export function wantTunnel(program: FlowProgram, label: string): void {
  const { outerIp, udp } = TUNNEL;
  program.loadField(R1, R7, IPV4.protocol, outerIp).jumpIf(R1, '!=', TRANSPORT.udp, 'next');
  program.loadField(R1, R7, IPV4.versionAndLength, outerIp).jumpIf(R1, '!=', VERSION_4_NO_OPTIONS, 'next');
  program.loadField(R1, R7, IPV4.fragment, outerIp).jumpIf(R1, '&', FRAGMENT_BITS, 'next');
  program.loadField(R1, R7, UDP_HEADER.destination, udp).wantPort(R1, label);
}

/** A VXLAN header without extensions, and IPv4 within, by all headers in R7. Forgets R1. */
export function wantVxlan(program: FlowProgram): void {
  const { vxlan, inner } = TUNNEL;
  program.loadField(R1, R7, VXLAN.flags, vxlan).jumpIf(R1, '!=', VXLAN_FLAGS, 'next');
  program.load(R1, R7, vxlan + 7, 1).jumpIf(R1, '!=', 0, 'next');
  program.loadField(R1, R7, ETHERNET.type, inner).jumpIf(R1, '!=', ETHERTYPE_IPV4, 'next');
}
