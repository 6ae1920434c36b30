/** The two hosts of the scenario `flannel`. */
import type { CommandSpec } from '../scenario/scenario.ts';

/** The number of a host ends the names of its values: `$NET2` is the beginning of the subnet of docker2. */
export const HOSTS = [
  { host: 'docker1', number: 1, peer: 2, address: '192.168.65.3', flag: '--iface=eth0' },
  { host: 'docker2', number: 2, peer: 1, address: '192.168.65.4', flag: '--public-ip=192.168.65.4' },
] as const;

/** The same command on each host. */
export const onEach = (command: (side: (typeof HOSTS)[number]) => CommandSpec): CommandSpec[] =>
  HOSTS.map(side => ({ on: side.host, ...command(side) }));
