/** A port of a container that is to be reached at a port of its host (`docker run -p`). */
import type { Ip } from '../../base/ip.ts';

export interface PortMapping {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** 1 to 65535. */
  readonly containerPort: number;
  /** Absent: every address of this host. */
  readonly hostIp?: Ip;
  /** Absent: a free one is chosen. */
  readonly hostPort?: number;
  /** The last of the ports out of which one is chosen; absent: `hostPort` alone. */
  readonly hostPortEnd?: number;
  /** The engine itself will listen there, so that nobody else can (podman): it must be free now, and is left to it. */
  readonly isHeldByEngine?: true;
}
