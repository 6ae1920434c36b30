/** Addresses that are translated on the way, so that answers or rights do not fit. */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { ruleFault } from './rules.ts';

const place = 'nat' as const;
const on = 'host' as const;

export const NAT_FAULTS: readonly Fault[] = [
  {
    name: 'masquerade-first',
    place,
    on,
    title: 'another masquerade comes first',
    story:
      'All that leaves by the tunnel gets the address of the host. Connections work, and the other side sees one client in place of ' +
      'many: access lists and logs are wrong. By hand: `tcpdump` on the peer, `nft list ruleset` on the host.',
    effect: 'source',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'ip', table: 'gateway', type: 'nat', hook: 'postrouting priority srcnat - 10' }),
      ({ host: { tunnel } }) => `oifname "${tunnel}" counter masquerade`,
    ),
    finds: { here: ['MASQUERADE_FIRST', 'TRANSLATED'], there: ['MASQUERADE_FIRST', 'TRANSLATED'] },
  },
  {
    name: 'snat-nowhere',
    place,
    on,
    title: 'the source is translated to an address without a way back',
    story:
      'A rule for another uplink gives the packets its address. They arrive, and the answers go to a network that nobody ' +
      'has. By hand: `tcpdump` on the peer shows the foreign source.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'ip', table: 'uplink', type: 'nat', hook: 'postrouting priority srcnat - 10' }),
      ({ host: { subnet }, network }) =>
        `ip saddr ${subnet} ip daddr ${network} counter snat to 198.51.100.7`,
    ),
    finds: { here: ['MASQUERADE_FIRST', 'TRANSLATED'], there: ['MASQUERADE_FIRST', 'TRANSLATED'] },
  },
  {
    name: 'dnat-captures',
    place,
    on,
    title: "a forwarded port takes the peer's packets",
    story:
      'A DNAT rule that is too wide sends what is for the containers of the peer to a local address. By hand: `nft list ruleset` has ' +
      'a dnat at prerouting; `conntrack -L` shows two destinations.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'ip', table: 'forwarded', type: 'nat', hook: 'prerouting priority dstnat - 10' }),
      ({ peer: { subnet }, nobody }) => `ip daddr ${subnet} counter dnat to ${nobody}`,
    ),
    finds: {
      here: ['TRANSLATED', 'DESTINATION_TRANSLATED'],
      there: ['TRANSLATED', 'DESTINATION_TRANSLATED'],
    },
  },
  {
    name: 'dnat-in',
    place,
    on: 'container',
    title: 'what arrives for a container is sent to another address',
    story:
      'The rule of a former service: packets out of the tunnel for this container get the address of one that is no more. By hand: ' +
      '`nft list ruleset` on this host; the peer sees "no route" or silence.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'ip', table: 'service', type: 'nat', hook: 'prerouting priority dstnat - 10' }),
      ({ container: { ip }, host: { tunnel, last } }) =>
        `iifname "${tunnel}" ip daddr ${ip} counter dnat to ${last}`,
    ),
    finds: {
      here: ['TRANSLATED', 'DESTINATION_TRANSLATED'],
      there: ['TRANSLATED', 'DESTINATION_TRANSLATED'],
    },
  },
];
