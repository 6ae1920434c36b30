/** What a container is told of name servers where the configuration says nothing. */
import type { Ip } from '../../base/ip.ts';
import type { CniDns } from './cni-config.ts';

/** Names of the network's own containers are found without a domain; `web.blue.tulle` is one on another network. */
export function resolverDns(resolver: Ip | undefined, network: string): CniDns {
  if (resolver === undefined) return {};
  const domain = `${network}.tulle`;
  return { nameservers: [`${resolver}`], domain, search: [domain] };
}
