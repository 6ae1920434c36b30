/** The published ports of the host that a connection to the kernel is bound to. */
import type { Clock } from '../../base/clock.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Watchable } from '../../base/watchable.ts';
import { ruleChanges } from '../../firewall/changes.ts';
import { PortMaps, type PortMapsOptions } from '../../firewall/ports/port-maps.ts';
import { PORT_TABLE, portTableName } from '../../firewall/ports/port-table.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { Registry } from '../../subnet/registry.ts';
import { holdPort } from '../../sys/held-port.ts';
import type { Netns } from '../../sys/netns.ts';
import { holderOfPort } from '../../sys/process-search.ts';
import { readSysctl, writeSysctl } from '../../sys/sysctl.ts';
import { attachmentLinks } from '../attachment/attachment-links.ts';
import type { Attachments } from '../attachment/attachments.ts';
import type { HealthReporter } from '../reports.ts';
import type { HostNetwork } from '../underlay.ts';
import { HostPorts } from './host-ports.ts';

export interface OpenPortsOptions extends Pick<PortMapsOptions, 'run'> {
  readonly netns: Netns;
  readonly registry: Pick<Registry, 'prefix'>;
  readonly netfilter: Pick<Netfilter, 'commit' | 'elements' | 'connections' | 'forget' | 'port'>;
  readonly rtnetlink: Pick<Rtnetlink, 'links'>;
  readonly network: {
    /** Links and addresses of this host. */
    readonly host: Pick<Watchable<Pick<HostNetwork, 'addresses'> | undefined>, 'changes' | 'value'>;
    /** Asked for later: they publish their ports here. */
    readonly attachments: Pick<Attachments, 'get'>;
  };
  readonly health: Pick<HealthReporter, 'warn'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function openPorts({
  netns,
  registry,
  netfilter,
  rtnetlink,
  network,
  run,
  ...given
}: OpenPortsOptions): HostPorts {
  return new HostPorts({
    ...given,
    maps: new PortMaps({
      table: portTableName(registry.prefix),
      netfilter,
      isOwn: ip => network.host.value?.addresses.some(address => address.ip.equals(ip)) ?? true,
      onRemembered: error =>
        given.logger.warn({ error: messageOf(error) }, 'connections from before a port was changed go on'),
      ...(run && { run }),
    }),
    hold: (protocol, ip, port) => holdPort(netns, protocol, ip, port),
    host: network.host,
    containerOf: id => network.attachments.get(id)?.container,
    holderOf: (protocol, port) => holderOfPort(netns, protocol, port),
    routeLocalnet: (bridge, isOn) => {
      unlessGone(() => writeSysctl(`net/ipv4/conf/${bridge}/route_localnet`, isOn ? '1' : '0', netns));
    },
    filtersBridges: () => FILTERS_OF_BRIDGES.some(path => readSysctl(path, netns) === '1'),
    turnBack: async id => {
      try {
        await rtnetlink.links.change(attachmentLinks(id).host, { port: { hairpin: true } });
        return true;
      } catch (error) {
        if (isCode(error, 'ENODEV', 'ENOTSUP', 'EOPNOTSUPP')) return false;
        throw error;
      }
    },
    ruleChanges: signal => ruleChanges(netns, signal, { ignored: netfilter.port, own: PORT_TABLE }),
  });
}

/** Of br_netfilter; absent where it is not loaded. */
const FILTERS_OF_BRIDGES = ['net/bridge/bridge-nf-call-iptables', 'net/bridge/bridge-nf-call-ip6tables'];

/** A bridge that is gone, or on its way. */
function unlessGone(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
}
