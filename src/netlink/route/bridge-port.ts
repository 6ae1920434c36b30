/**
 * How a bridge treats one of its ports: IFLA_BRPORT_*, include/uapi/linux/if_link.h. A port's link has them in its
 * IFLA_INFO_SLAVE_DATA; a bridge announces them in IFLA_PROTINFO of a message of its own family (AF_BRIDGE).
 */
import { attributes, one } from '../attribute.ts';
import { bool, u8 } from '../attribute-types.ts';
import {
  IFLA_BRPORT_BCAST_FLOOD,
  IFLA_BRPORT_ISOLATED,
  IFLA_BRPORT_LEARNING,
  IFLA_BRPORT_LOCKED,
  IFLA_BRPORT_MCAST_FLOOD,
  IFLA_BRPORT_MODE,
  IFLA_BRPORT_NEIGH_SUPPRESS,
  IFLA_BRPORT_STATE,
  IFLA_BRPORT_UNICAST_FLOOD,
} from './constants.ts';

/** What is absent is not said, or is to be left as it is. */
export interface BridgePort {
  /** BR_STATE_*, include/uapi/linux/if_bridge.h: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking. */
  readonly state?: number;
  /** Frames may leave by the port that they came in by. */
  readonly hairpin?: boolean;
  /** Sources of frames that come in are noted in the FDB. */
  readonly learning?: boolean;
  /** Frames to a MAC address that no FDB entry has leave by this port too. */
  readonly unicastFlood?: boolean;
  readonly multicastFlood?: boolean;
  readonly broadcastFlood?: boolean;
  /** ARP requests and neighbor solicitations that the bridge can answer itself do not leave by this port. */
  readonly neighborSuppression?: boolean;
  /** No frames from here to another isolated port. */
  readonly isolated?: boolean;
  /** Frames come in only from sources that an FDB entry has here. Kernel 5.18 and later. */
  readonly locked?: boolean;
}

const portAttributes = attributes({
  state: one(IFLA_BRPORT_STATE, u8),
  hairpin: one(IFLA_BRPORT_MODE, bool),
  learning: one(IFLA_BRPORT_LEARNING, bool),
  unicastFlood: one(IFLA_BRPORT_UNICAST_FLOOD, bool),
  multicastFlood: one(IFLA_BRPORT_MCAST_FLOOD, bool),
  broadcastFlood: one(IFLA_BRPORT_BCAST_FLOOD, bool),
  neighborSuppression: one(IFLA_BRPORT_NEIGH_SUPPRESS, bool),
  isolated: one(IFLA_BRPORT_ISOLATED, bool),
  locked: one(IFLA_BRPORT_LOCKED, bool),
});

export const encodeBridgePort = (port: BridgePort): Uint8Array => portAttributes.toBytes(port);

/** @throws CodecError */
export function decodeBridgePort(data: Uint8Array): BridgePort {
  const { unknown: _, ...port } = portAttributes.fromBytes(data, 'bridge port');
  return port;
}
