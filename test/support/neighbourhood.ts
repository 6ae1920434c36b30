/**
 * Four namespaces around a host that forwards:
 *
 *     container 10.3.5.2 --c-- 10.3.5.1 host 192.0.2.1 --o-- 192.0.2.2 outside, which knows no way back to 10.3.0.0/16
 *                                          198.51.100.1 --p-- 198.51.100.2 peer, which has 10.3.6.0/24
 *
 * The cable to the peer stands for the overlay.
 */
import process from 'node:process';
import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { IFA_F_TENTATIVE } from '../../src/netlink/route/constants.ts';
import type { Link } from '../../src/netlink/route/objects.ts';
import { Prober } from '../../src/probe/prober.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { eventually } from './eventually.ts';

/** include/uapi/linux/if.h: of a link that has no such state, and of one that carries packets. */
const IF_OPER_UNKNOWN = 0;
const IF_OPER_UP = 6;
/** include/uapi/linux/if_bridge.h. */
const BR_STATE_FORWARDING = 3;
/**
 * Milliseconds until an echo counts as lost: longer than the kernel asks for a neighbor that does not answer, since it drops with
 * the last question what was sent meanwhile, that of the next step too.
 */
const PATIENCE = 4000;

export class Namespace {
  readonly netns = Netns.anonymous();
  readonly namespaces = { net: `/proc/${process.pid}/fd/${this.netns.fd}` };

  constructor(t: TestContext) {
    t.after(() => this.netns[Symbol.dispose]());
    // Addresses of IPv6 are used at once, without a second in which the link is asked whether another has them.
    writeSysctl('net/ipv6/conf/default/accept_dad', '0', this.netns);
  }

  async do(...commands: string[]): Promise<void> {
    for (const command of commands) {
      const [program = '', ...args] = command.split(' ');
      await run(program, patiently(program, args), { namespaces: this.namespaces });
    }
  }

  /** Joins this namespace to another with a cable, an address on each end. */
  async cable(name: string, address: string, other: Namespace, otherAddress: string): Promise<void> {
    const far = `/proc/${process.pid}/fd/${other.netns.fd}`;
    await this.do(`ip link add ${name} type veth peer name ${name} netns ${far}`);
    await this.do(`ip addr add ${address} dev ${name}`, `ip link set ${name} up`);
    await other.do(`ip addr add ${otherAddress} dev ${name}`, `ip link set ${name} up`);
    await this.untilUp(name);
    await other.untilUp(name);
  }

  /** Waits until the kernel has noticed that a link has a carrier: until then it drops what is sent, and no bridge forwards. */
  async untilUp(name: string): Promise<void> {
    await using rtnetlink = connectRoute({ netns: this.netns });
    await eventually(
      `${name} is up`,
      async () => (await rtnetlink.links.get(name))?.operState === IF_OPER_UP,
    );
  }

  /**
   * Until packets pass everywhere: the kernel makes links ready, ports of bridges with them, and addresses of IPv6, a moment after
   * their two ends are up, and drops meanwhile what is sent.
   */
  async ready(): Promise<void> {
    await using route = connectRoute({ netns: this.netns });
    await eventually('the links are ready', async () => {
      const [links, addresses] = [await route.links.list(), await route.addresses.list()];
      return links.every(isReady) && addresses.every(({ flags }) => (flags & IFA_F_TENTATIVE) === 0);
    });
  }

  /**
   * Asks once. A program would have to be quick to see the answer on a busy machine; here what has come counts.
   * @param from address of this namespace that it asks with
   */
  async reaches(address: string, from?: string): Promise<boolean> {
    using prober = new Prober(this.netns, systemClock);
    const source = from === undefined ? {} : { source: Ip.parse(from) };
    const { outcome } = await prober.probe(Ip.parse(address), { timeout: PATIENCE, ...source });
    return outcome === 'answered';
  }
}

const isReady = ({ up, operState = IF_OPER_UNKNOWN, port }: Link) =>
  !up ||
  ([IF_OPER_UNKNOWN, IF_OPER_UP].includes(operState) &&
    (port?.state === undefined || port.state === BR_STATE_FORWARDING));

/** Those of iptables-legacy have one lock for all namespaces, which another test may hold. */
export function patiently(program: string, args: readonly string[]): readonly string[] {
  return /^ip6?tables(-legacy)?$/.test(program) ? ['-w', ...args] : args;
}

/** A host that forwards, with its container at `c`, the world at `o`, and at `p` a peer that has 10.3.6.0/24. */
export async function neighbourhood(t: TestContext) {
  const [host, container, outside, peer] = [
    new Namespace(t),
    new Namespace(t),
    new Namespace(t),
    new Namespace(t),
  ];
  await host.cable('c', '10.3.5.1/24', container, '10.3.5.2/24');
  await host.cable('o', '192.0.2.1/24', outside, '192.0.2.2/24');
  await host.cable('p', '198.51.100.1/24', peer, '198.51.100.2/24');
  writeSysctl('net/ipv4/ip_forward', '1', host.netns);
  await host.do('ip route add 10.3.6.0/24 via 198.51.100.2');
  await container.do('ip route add default via 10.3.5.1');
  return { host, container, outside, peer };
}
