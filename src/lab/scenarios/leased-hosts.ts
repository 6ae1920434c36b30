/** The two hosts of the scenarios `flannel` and `backends`. */
import type { CommandSpec } from '../scenario/scenario.ts';

/** The number of a host ends the names of its values: `$NET2` is the beginning of the subnet of docker2. */
export const HOSTS = [
  { host: 'docker1', number: 1, peer: 2, address: '192.168.65.3', gateway: '188.172.50.1/24' },
  { host: 'docker2', number: 2, peer: 1, address: '192.168.65.4', gateway: '188.172.81.1/24' },
] as const;

/** subnet.env as an earlier run of the agent leaves it: an agent asks for the same subnet again. */
export const earlierSubnet = (gateway: string, mtu: number): CommandSpec => ({
  line: 'tee /run/flannel/subnet.env',
  input: `FLANNEL_NETWORK=188.172.0.0/16\nFLANNEL_SUBNET=${gateway}\nFLANNEL_MTU=${mtu}\nFLANNEL_IPMASQ=true\n`,
  quiet: true,
});

/** The same command on each host. */
export const onEach = (command: (side: (typeof HOSTS)[number]) => CommandSpec): CommandSpec[] =>
  HOSTS.map(side => ({ on: side.host, ...command(side) }));
