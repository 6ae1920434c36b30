/**
 * The program that moves the packets of the backend `udp`. An agent starts one that has ended, and replaces one that hangs, and
 * says so itself; this is for a host without one.
 */

import type { Link } from '../../netlink/route/objects.ts';
import { linkLine, type NameOf } from '../../netlink/text/link.ts';
import { isStopped, processesWith } from '../../sys/process-search.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, HERE } from './check.ts';

export async function checkForwarder(host: HostReader): Promise<Cause[]> {
  if ((await host.status()) !== undefined) return [];
  const [links, devices, nameOf] = await Promise.all([host.links(), host.devices(), host.nameOf()]);
  return links
    .filter(({ name, info, up }) => info?.kind === 'tun' && up && devices.includes(name))
    .flatMap(link => forwarderCauses(link, stoppedForwarders(link.name), nameOf));
}

/** Of a TUN device of the overlay. @param stopped processes that a signal has stopped */
export function forwarderCauses(link: Link, stopped: readonly number[], nameOf: NameOf): Cause[] {
  const { name } = link;
  const common = { code: 'FORWARDER_DOWN', severity: 'error', layer: 'tunnel' } as const;
  // A TUN device has a carrier while a program has it open (net/tun.c).
  if (!link.running) {
    return [
      {
        ...common,
        reason: `no program takes packets from ${name}, the device of the overlay: the forwarder of ${HERE} has ended, and no agent starts it again`,
        evidence: [linkLine(link, nameOf)],
        remedy: 'start the agent, which starts it: `systemctl start tulle`',
      },
    ];
  }
  if (stopped.length === 0) return [];
  return [
    {
      ...common,
      reason: `a signal has stopped the forwarder of ${HERE}, which takes packets from ${name}, the device of the overlay`,
      evidence: stopped.map(pid => `process ${pid}: State: T (stopped)`),
      remedy: `kill -CONT ${stopped.join(' ')}`,
    },
  ];
}

const stoppedForwarders = (device: string): number[] =>
  processesWith('forwarder', `--device=${device}`)
    .map(({ pid }) => pid)
    .filter(isStopped);
