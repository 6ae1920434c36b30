/**
 * The way to a peer over a VXLAN device is four entries in the kernel, which are easily confused:
 *
 *     route     peer subnet            -> next hop id                     (which packets)
 *     nexthop   id                     -> via overlay base address onlink (through which VTEP)
 *     neighbor  overlay base address   -> VTEP MAC                        (ARP: IP -> inner MAC)
 *     FDB entry VTEP MAC               -> underlay address                (inner MAC -> outer IP)
 */
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Prefix } from '../base/prefix.ts';
import type { PeerPath } from '../dataplane/desired.ts';

export interface VxlanPeer {
  /** Name of the device. */
  readonly link: string;
  readonly subnet: Prefix;
  /** Of the peer's VTEP. */
  readonly mac: Mac;
  readonly underlayIp: Ip;
}

/** The gateway is the base address of the peer's subnet, as flannel has it. */
export function vxlanPath({ link, subnet, mac, underlayIp }: VxlanPeer): PeerPath {
  const gateway = subnet.ip;
  return {
    link,
    subnet,
    underlayIp,
    entries: [
      { kind: 'fdb', mac, destination: underlayIp },
      { kind: 'neighbor', ip: gateway, mac },
      { kind: 'route', destination: subnet, gateway, onlink: true },
    ],
  };
}
