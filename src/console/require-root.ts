/** What only root may do is refused before anything is touched, with the reason and the remedy. */
import { readFileSync } from 'node:fs';
import { CommandError } from './errors.ts';

/** linux/capability.h; bits of `CapEff` in /proc/self/status. */
const CAP_NET_ADMIN = 12n;

/** @param why what the command does that needs it: `a lab is made of namespaces`. @throws CommandError FORBIDDEN */
export function requireRoot(why: string): void {
  if (process.getuid?.() === 0) return;
  throw new CommandError('FORBIDDEN', `${why}, which requires root`, 'run the command with sudo');
}

/** The same for what programs the network, which a service may also have been given the capability for. */
export function requireNetworkAdmin(why: string): void {
  const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  if (((BigInt(`0x${mask}`) >> CAP_NET_ADMIN) & 1n) === 0n) requireRoot(why);
}
