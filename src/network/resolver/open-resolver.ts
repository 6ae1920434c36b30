/** The resolver with the networks of this host, as they come and go: its L2 networks, and the overlay. */
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import type { Logger } from '../../base/log.ts';
import { perFamily } from '../../base/per-family.ts';
import { Watchable } from '../../base/watchable.ts';
import type { AskedNetwork } from '../../dns/resolver.ts';
import { ruleChanges } from '../../firewall/changes.ts';
import { DnsRedirection } from '../../firewall/dns/dns-redirect.ts';
import { REDIRECT_TABLE } from '../../firewall/dns/redirect-table.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { OVERLAY_NAMES } from '../../subnet/names/names.ts';
import type { Netns } from '../../sys/netns.ts';
import type { Attachments } from '../attachment/attachments.ts';
import type { HostAttachments } from '../attachment/host-attachments.ts';
import type { ClusterNames } from '../cluster-names.ts';
import type { HostPlan } from '../host-plan.ts';
import type { NetworkOptions } from '../options.ts';
import type { HealthReporter } from '../reports.ts';
import type { Segments } from '../segment/segments.ts';
import type { HostNetwork } from '../underlay.ts';
import { HostResolver } from './host-resolver.ts';
import type { ResolverNetwork } from './resolver-plan.ts';

export interface OpenResolverOptions {
  readonly options: Pick<NetworkOptions, 'resolver'>;
  readonly names: ClusterNames;
  readonly segments: Pick<Segments, 'version'>;
  readonly attachments: Pick<HostAttachments, 'networks' | 'version'>;
  readonly host: Watchable<HostNetwork | undefined>;
  readonly plan: Watchable<HostPlan | undefined>;
  readonly rtnetlink: Rtnetlink;
  readonly netns: Netns;
  /** Whose changes to rules do not matter. */
  readonly netfilter: Pick<Netfilter, 'commit' | 'port'>;
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function openResolver(given: OpenResolverOptions): HostResolver {
  const { options, names, segments, attachments, plan, netns, netfilter } = given;
  const { mode, upstream } = options.resolver;
  const notRedirected = new Watchable<ReadonlySet<string>>(new Set());
  return new HostResolver({
    ...given,
    mode,
    notRedirected,
    redirection: new DnsRedirection(netfilter),
    ...defined({ upstream }),
    names: names.watch,
    networksOf: ip => names.networksOf(ip),
    networks: () => networksOfContainers(attachments, notRedirected.value),
    otherNetworks: () => overlayIn(plan.value),
    followNetworks: async (onChange, signal) => {
      await together(
        signal,
        until => segments.version.follow(onChange, until),
        until => attachments.version.follow(onChange, until),
        until => notRedirected.follow(onChange, until),
        until => plan.follow(onChange, until),
      );
    },
    ruleChanges: signal => ruleChanges(netns, signal, { ignored: netfilter.port, own: REDIRECT_TABLE }),
  });
}

/** What containers can be put on. Of an internal network the host has no address. */
function networksOfContainers(
  attachments: Pick<Attachments, 'networks'>,
  notRedirected: ReadonlySet<string>,
): readonly ResolverNetwork[] {
  return attachments.networks().map(({ name: network, gateways, internal, ...rest }) => ({
    ...rest,
    network,
    gateways: internal ? {} : gateways,
    dns: !notRedirected.has(network),
  }));
}

/** Containers of Docker's default bridge are on the overlay too, where its addresses are those of the leased subnet. */
function overlayIn(plan: HostPlan | undefined): readonly AskedNetwork[] {
  if (plan === undefined) return [];
  return [{ name: OVERLAY_NAMES, networks: perFamily(family => plan.config[family]?.network) }];
}
