/** Ports of this host that are held for containers: which one a mapping gets, and who has one that is taken. */
import { randomInt } from 'node:crypto';
import { isCode } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';
import type { HeldPort, TransportProtocol } from '../../sys/held-port.ts';
import { AttachmentError } from '../attachment/attachments.ts';
import type { PortMapping } from '../attachment/port-mapping.ts';

/** `holdPort` of src/sys/held-port.ts in the namespace of this host. */
export type HoldPort = (protocol: TransportProtocol, ip: Ip, port: number) => HeldPort;

/** One port in one family. */
export interface PortHold {
  readonly protocol: TransportProtocol;
  /** Unspecified: every address of this host. */
  readonly ip: Ip;
  readonly port: number;
  /** undefined while another program has it; where the engine has it; where the kernel has no such protocol, so that nobody can take it. */
  socket: HeldPort | undefined;
  isHeld: boolean;
}

export const ANY_ADDRESS = { ipv4: Ip.parse('0.0.0.0'), ipv6: Ip.parse('::') } as const satisfies Record<
  Family,
  Ip
>;

/** How often the kernel is asked for a port that is free in both families. */
const ATTEMPTS = 32;
/** Ports that nobody has a name for (RFC 6335, section 6), where the kernel does not choose. */
const DYNAMIC = { first: 49_152, end: 65_536 };

/**
 * Takes the port that a mapping asks for, or the first free one of its range, or any free one: the same in all families.
 *
 * @param ips where: unspecified, or an address of this host
 * @param ownerOf who has a port that is taken, as a text: `the container web`
 * @throws AttachmentError PORT_TAKEN, INVALID_WISH; SysError
 */
export function takePort(
  hold: HoldPort,
  mapping: PortMapping,
  ips: readonly Ip[],
  ownerOf: (protocol: TransportProtocol, ip: Ip, port: number) => string | undefined,
): { readonly port: number; readonly holds: readonly PortHold[] } {
  const { protocol, hostPort } = mapping;
  const candidates = hostPort === undefined ? freePorts() : range(hostPort, mapping.hostPortEnd ?? hostPort);
  let taken: { ip: Ip; port: number } | undefined;
  for (const candidate of candidates) {
    const holds: PortHold[] = [];
    let port = candidate;
    try {
      for (const ip of ips) {
        const one = holdOne(hold, protocol, ip, port);
        holds.push(one);
        port = one.port;
      }
      if (mapping.isHeldByEngine) for (const one of holds) leaveToEngine(one);
      return { port, holds };
    } catch (error) {
      releaseAll(holds);
      const ip = ips[holds.length];
      if (isCode(error, 'EADDRNOTAVAIL')) {
        throw new AttachmentError('INVALID_WISH', `${ip} is no address of this host`, {
          hint: 'leave out the address, or use one that `ip address` shows',
          cause: error,
        });
      }
      if (!isCode(error, 'EADDRINUSE') || ip === undefined) throw error;
      taken ??= { ip, port };
    }
  }
  throw portTaken(mapping, taken, ownerOf);
}

/** Where nobody holds it: false when it is still taken. @throws SysError */
export function takeAgain(hold: HoldPort, one: PortHold): boolean {
  if (one.isHeld) return true;
  try {
    one.socket = holdOne(hold, one.protocol, one.ip, one.port).socket;
    one.isHeld = true;
  } catch (error) {
    if (!isCode(error, 'EADDRINUSE', 'EADDRNOTAVAIL')) throw error;
  }
  return one.isHeld;
}

export function releaseAll(holds: readonly PortHold[]): void {
  for (const one of holds) {
    one.socket?.[Symbol.dispose]();
    one.socket = undefined;
    one.isHeld = false;
  }
}

function leaveToEngine(one: PortHold): void {
  one.socket?.[Symbol.dispose]();
  one.socket = undefined;
}

function holdOne(hold: HoldPort, protocol: TransportProtocol, ip: Ip, port: number): PortHold {
  try {
    const socket = hold(protocol, ip, port);
    return { protocol, ip, port: socket.port, socket, isHeld: true };
  } catch (error) {
    if (!isCode(error, 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT')) throw error;
    return {
      protocol,
      ip,
      port: port || randomInt(DYNAMIC.first, DYNAMIC.end),
      socket: undefined,
      isHeld: true,
    };
  }
}

/** The kernel chooses; one that is free in one family may be taken in the other. */
function* freePorts(): Generator<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) yield 0;
}

function* range(first: number, last: number): Generator<number> {
  for (let port = first; port <= last; port++) yield port;
}

function portTaken(
  { protocol, hostPort, hostPortEnd }: PortMapping,
  taken: { readonly ip: Ip; readonly port: number } | undefined,
  ownerOf: (protocol: TransportProtocol, ip: Ip, port: number) => string | undefined,
): AttachmentError {
  if (hostPort === undefined) {
    return new AttachmentError('PORT_TAKEN', `no ${protocol} port of this host is free`);
  }
  if (hostPortEnd !== undefined && hostPortEnd > hostPort) {
    return new AttachmentError(
      'PORT_TAKEN',
      `none of the ${protocol} ports ${hostPort} to ${hostPortEnd} is free`,
    );
  }
  const owner = taken && ownerOf(protocol, taken.ip, taken.port);
  return new AttachmentError(
    'PORT_TAKEN',
    `the ${protocol} port ${hostPort} is taken by ${owner ?? 'another program'}`,
    { hint: 'choose another port, or leave it out and one that is free is chosen' },
  );
}
