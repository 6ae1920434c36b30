/**
 * What a person may say of a Docker network of this plugin: `docker network create -o tulle.dns=off --ipam-opt ...`.
 * Those of other makers are passed over, as by every driver; one that begins with `tulle.` has to be known.
 */
import { ConfigError, type Problem } from '../../base/errors.ts';
import { OVERLAY_NETWORK } from '../../network/attachment/attachments.ts';
import { isSegmentName } from '../../subnet/segment/segment.ts';

/** The network of the cluster that this one is; default: the one with the name that it has in Docker. */
const NETWORK_NAME_OPTION = 'tulle.network';
/** `off`: questions for names that containers send to port 53 of others are left alone. */
const DNS_OPTION = 'tulle.dns';
/** `mac`: a container with the same `--mac-address` gets the address that it had last. */
const KEEP_OPTION = 'tulle.keep';
/** Docker's own word for it (libnetwork/netlabel). */
const MTU_OPTION = 'com.docker.network.driver.mtu';

const DRIVER_OPTIONS: readonly string[] = [NETWORK_NAME_OPTION, DNS_OPTION, KEEP_OPTION];
const POOL_OPTIONS: readonly string[] = [NETWORK_NAME_OPTION];

/** Linux' own bounds for a link that carries IPv4 (include/uapi/linux/if_ether.h, ETH_MIN_MTU; 64 KiB). */
const MTU = { least: 68, most: 65_535 };

export interface DockerNetworkOptions {
  readonly network?: string;
  readonly mtu?: number;
  readonly dns: boolean;
  readonly keep: boolean;
}

/** @param given of `-o`. @throws ConfigError with every problem */
export function parseNetworkOptions(given: Readonly<Record<string, string>>): DockerNetworkOptions {
  const problems = unknownOptions(given, DRIVER_OPTIONS, '-o');
  const { [NETWORK_NAME_OPTION]: network, [DNS_OPTION]: dns = 'on', [KEEP_OPTION]: keep = 'off' } = given;
  problems.push(...networkProblems(network, '-o'));
  if (dns !== 'on' && dns !== 'off') {
    problems.push({ path: `-o ${DNS_OPTION}`, value: dns, message: 'want on or off' });
  }
  if (keep !== 'mac' && keep !== 'off') {
    problems.push({
      path: `-o ${KEEP_OPTION}`,
      value: keep,
      message: 'want mac or off',
      hint: 'Docker does not tell a plugin the name of a container; docker run --mac-address is what it goes by',
    });
  }
  const mtuText = given[MTU_OPTION];
  const mtu = mtuText === undefined ? undefined : Number(mtuText);
  if (mtu !== undefined && !(Number.isInteger(mtu) && mtu >= MTU.least && mtu <= MTU.most)) {
    problems.push({
      path: `-o ${MTU_OPTION}`,
      value: mtuText,
      message: `want a number of bytes from ${MTU.least} to ${MTU.most}`,
    });
  }
  if (problems.length > 0) throw new ConfigError('docker network create', problems);
  return {
    ...(network !== undefined && { network }),
    ...(mtu !== undefined && { mtu }),
    dns: dns === 'on',
    keep: keep === 'mac',
  };
}

/** @param given of `--ipam-opt`. @returns the name of the network, where it is stated. @throws ConfigError */
export function parsePoolOptions(given: Readonly<Record<string, string>>): string | undefined {
  const network = given[NETWORK_NAME_OPTION];
  const problems = [
    ...unknownOptions(given, POOL_OPTIONS, '--ipam-opt'),
    ...networkProblems(network, '--ipam-opt'),
  ];
  if (problems.length > 0) throw new ConfigError('docker network create', problems);
  return network;
}

/** Whether a network of containers may be called so. */
export const isNetworkName = (name: string): boolean => name === OVERLAY_NETWORK || isSegmentName(name);

function networkProblems(network: string | undefined, flag: string): Problem[] {
  if (network === undefined || isNetworkName(network)) return [];
  return [
    {
      path: `${flag} ${NETWORK_NAME_OPTION}`,
      value: network,
      message: 'want at most 32 lower-case letters, digits, and - _ . between them',
      hint: `${OVERLAY_NETWORK} is the overlay: addresses of the subnet that this host leased`,
    },
  ];
}

function unknownOptions(
  given: Readonly<Record<string, string>>,
  known: readonly string[],
  flag: string,
): Problem[] {
  return Object.entries(given).flatMap(([name, value]) =>
    name.startsWith('tulle.') && !known.includes(name)
      ? [{ path: `${flag} ${name}`, value, message: 'is no option', hint: `there are ${known.join(', ')}` }]
      : [],
  );
}
