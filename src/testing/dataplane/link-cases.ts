/** Each kind of link that can be asked for, for the fake kernel and the real one, with what another program does to it. */
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import type { DesiredBridge, OwnLink } from '../../dataplane/desired-link.ts';
import type { LinkChange } from '../../netlink/route/objects.ts';

export interface LinkCase {
  readonly title: string;
  readonly link: OwnLink;
  /** What it stands on, of our own. */
  readonly bridge?: DesiredBridge;
  /** Another desired state, which the living link can be changed to. */
  readonly changed: OwnLink;
  /** A change by another program, in place; undefined where nothing of it matters. */
  readonly fault: LinkChange | undefined;
}

/** @param underlay index of a link with the address 192.168.65.3. */
export function linkCases(underlay: number): LinkCase[] {
  const local = Ip.parse('192.168.65.3');
  const vxlan = {
    kind: 'vxlan',
    name: 'v0',
    vni: 7,
    underlayIndex: underlay,
    local,
    port: 4789,
    learning: false,
    gbp: false,
    mtu: 1450,
    mac: Mac.parse('02:00:00:00:07:01'),
  } as const;
  const remote = Ip.parse('192.168.65.9');
  return [
    { title: 'a vxlan', link: vxlan, changed: { ...vxlan, learning: true }, fault: { mtu: 1400 } },
    {
      title: 'a vxlan with a default destination',
      link: { ...vxlan, remote },
      changed: { ...vxlan, remote: Ip.parse('192.168.65.8') },
      fault: { info: { kind: 'vxlan', group: Ip.parse('192.168.65.7') } },
    },
    {
      title: 'a bridge',
      link: { kind: 'bridge', name: 'b0', stp: false },
      changed: { kind: 'bridge', name: 'b0', stp: true },
      fault: { info: { kind: 'bridge', stpState: 1 } },
    },
    {
      title: 'a vxlan that is a port',
      bridge: { kind: 'bridge', name: 'b0', stp: false },
      link: {
        ...vxlan,
        master: 'b0',
        bridgePort: { learning: false, neighborSuppression: true, isolated: false },
      },
      changed: {
        ...vxlan,
        master: 'b0',
        bridgePort: { learning: true, neighborSuppression: false, isolated: true },
      },
      fault: { port: { learning: true, neighborSuppression: false, isolated: true } },
    },
    {
      title: 'a veth',
      link: { kind: 'veth', name: 'c0', peer: 'c1', mtu: 1400 },
      changed: { kind: 'veth', name: 'c0', peer: 'c1', mtu: 1300 },
      fault: { mtu: 1500 },
    },
    {
      title: 'an ipip tunnel',
      link: { kind: 'ipip', name: 'i0', underlayIndex: underlay, local, mtu: 1480 },
      changed: { kind: 'ipip', name: 'i0', underlayIndex: underlay, local, mtu: 1400 },
      fault: { info: { kind: 'ipip', local, remote, link: underlay } },
    },
  ];
}
