/**
 * What a runtime is answered after ADD, in the shape of each version of the specification:
 *
 *     0.3.1, 0.4.0   every address says its `version`
 *     1.0.0          it does not
 *     1.1.0          interfaces have their `mtu`
 *
 * A plugin that is not the first of its list passes on what came before it.
 */
import type { Family, Ip } from '../../base/ip.ts';
import { familiesOf, type PerFamily } from '../../base/per-family.ts';
import type { ContainerNetwork } from '../../network/attachment/attachments.ts';
import type { CniDns, CniVersion } from './cni-config.ts';
import type { ResultShape } from './config-schema.ts';

/** What was attached; without `link` only addresses were given out (tulle-ipam). */
export interface CniOutcome {
  readonly network: ContainerNetwork;
  readonly addresses: PerFamily<Ip>;
  readonly link?: {
    readonly name: string;
    readonly mac: string;
    readonly sandbox: string;
    readonly hostLink: string;
  };
  readonly dns: CniDns;
  /** Families whose default route is that of another network of the container. */
  readonly taken?: readonly Family[];
}

const EVERYTHING = { ipv4: '0.0.0.0/0', ipv6: '::/0' } as const;

export function cniResult(version: CniVersion, outcome: CniOutcome, prior: ResultShape = {}): object {
  const { network, addresses, link, dns, taken = [] } = outcome;
  const before = prior.interfaces ?? [];
  const size = version === '1.1.0' ? { mtu: network.mtu } : {};
  const interfaces = link && [
    ...before,
    { name: network.bridge },
    { name: link.hostLink, ...size },
    { name: link.name, mac: link.mac, sandbox: link.sandbox, ...size },
  ];
  const families = familiesOf(addresses);
  const ips = families.map(family => ({
    ...((version === '0.3.1' || version === '0.4.0') && { version: family === 'ipv4' ? '4' : '6' }),
    ...(interfaces && { interface: interfaces.length - 1 }),
    address: `${addresses[family]}/${network.subnets[family]?.length}`,
    ...(network.gateways[family] && { gateway: `${network.gateways[family]}` }),
  }));
  const hasWay = (dst: string) => (prior.routes ?? []).some(route => route.dst === dst);
  const routes = families.flatMap(family => {
    const gateway = network.gateways[family];
    const dst = taken.includes(family) ? wayBeyond(network, family) : EVERYTHING[family];
    return gateway === undefined || dst === undefined || hasWay(dst) ? [] : [{ dst, gw: `${gateway}` }];
  });
  return {
    ...prior,
    cniVersion: version,
    ...(interfaces && { interfaces }),
    ips: [...(prior.ips ?? []), ...ips],
    routes: [...(prior.routes ?? []), ...routes],
    dns: { ...prior.dns, ...dns },
  };
}

/** What a network reaches beyond the subnet of the link, where it has not the default route. */
function wayBeyond({ networks, subnets }: ContainerNetwork, family: Family): string | undefined {
  const reached = networks[family];
  return reached === undefined || reached.equals(subnets[family]) ? undefined : `${reached}`;
}
