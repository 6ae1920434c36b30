/** What the resolver of this host leaves behind: its address on loopback, and the rules that lead questions to it. */
import { isCode } from '../base/errors.ts';
import { DnsRedirection } from '../firewall/dns/dns-redirect.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { unlessGone } from '../netlink/unless-gone.ts';
import { RESOLVER_IP, RESOLVER_LABEL } from '../network/resolver/resolver-plan.ts';
import type { Leftover } from './cleanup.ts';

export interface ResolverLeftoverOptions {
  readonly rtnetlink: Pick<Rtnetlink, 'addresses'>;
  readonly redirection?: Pick<DnsRedirection, 'isThere' | 'apply'>;
}

/** @throws NetlinkError */
export async function resolverLeftovers({
  rtnetlink: { addresses },
  redirection = new DnsRedirection(),
}: ResolverLeftoverOptions): Promise<readonly Leftover[]> {
  const ours = (await addresses.list({ family: 'ipv4' })).filter(
    ({ ip, label }) => ip.equals(RESOLVER_IP) && label === RESOLVER_LABEL,
  );
  const leftovers: Leftover[] = ours.map(({ ip, length, index }) => ({
    what: `address ${ip} of lo`,
    remove: () => unlessGone(addresses.delete({ ip, length, index })),
  }));
  if (await isRedirecting(redirection)) {
    leftovers.push({
      what: 'firewall rules of the resolver',
      remove: () => redirection.apply(undefined),
    });
  }
  return leftovers;
}

/** A host without nft has no such rules. */
async function isRedirecting(redirection: Pick<DnsRedirection, 'isThere'>): Promise<boolean> {
  try {
    return await redirection.isThere();
  } catch (error) {
    if (isCode(error, 'NO_PROGRAM', 'REFUSED')) return false;
    throw error;
  }
}
