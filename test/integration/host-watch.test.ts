/**
 * The choice of the underlay against the real kernel, in a namespace of its own:
 *
 *     eth0 10.9.0.5/24 --- far0     default via 10.9.0.1 dev eth0 (added during the test)
 *     eth1 10.9.1.5/24 --- far1
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { type Family, Ip } from '../../src/base/ip.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Prefix, parseInterfaceAddress } from '../../src/base/prefix.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { IFA_F_NODAD } from '../../src/netlink/route/constants.ts';
import type { Rtnetlink } from '../../src/netlink/route/rtnetlink.ts';
import { HostWatch } from '../../src/network/host-watch.ts';
import type { UnderlayCriteria } from '../../src/network/options.ts';
import { chooseUnderlay } from '../../src/network/underlay.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';

/** include/uapi/linux/if_addr.h. */
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;

class Host {
  readonly ip: Rtnetlink;
  readonly #watch: HostWatch;
  readonly #criteria: UnderlayCriteria;

  constructor(t: TestContext, criteria: Partial<UnderlayCriteria> = {}) {
    const netns = Netns.anonymous();
    t.after(() => netns[Symbol.dispose]());
    this.#criteria = { interfaces: [], patterns: [], publicIp: {}, ...criteria };
    this.ip = connectRoute({ netns });
    t.after(() => this.ip[Symbol.asyncDispose]());
    this.#watch = new HostWatch({
      rtnetlink: this.ip,
      criteria: this.#criteria,
      clock: systemClock,
      logger: silentLogger,
    });
    const stop = new AbortController();
    const running = this.#watch.run(stop.signal);
    t.after(async () => {
      stop.abort();
      await running;
    });
  }

  async addLink(name: string, peer: string, address: string): Promise<void> {
    await this.ip.links.add({ name, info: { kind: 'veth', peer: { name: peer } }, up: true });
    await this.ip.links.change(peer, { up: true });
    await this.setAddress(name, address);
  }

  async setAddress(name: string, address: string, flags = 0): Promise<void> {
    const index = await this.index(name);
    await this.ip.addresses.replace({ ...parseInterfaceAddress(address), index, flags });
  }

  async index(name: string): Promise<number> {
    return (await this.ip.links.get(name))?.index ?? assert.fail(`no link ${name}`);
  }

  async addDefaultRoute(gateway: string): Promise<void> {
    await this.ip.routes.replace({ gateway: Ip.parse(gateway) });
  }

  /** Whether the kernel has finished to ask the link for this address. */
  async isSettled(text: string): Promise<boolean> {
    const found = (await this.ip.addresses.list()).find(({ ip }) => ip.toString() === text);
    return found !== undefined && (found.flags & IFA_F_TENTATIVE) === 0;
  }

  /** Waits until the kernel has found that another link has this address. */
  async becomesTaken(text: string): Promise<void> {
    await this.#watch.network.until(
      network =>
        network?.addresses.some(
          ({ ip, flags }) => ip.toString() === text && (flags & IFA_F_DADFAILED) !== 0,
        ) === true,
      deadline(`${text} is taken`),
    );
  }

  /** Waits until the choice is this one. */
  async becomes(want: string, family: Family = 'ipv4'): Promise<void> {
    await this.#watch.network.until(
      network => {
        if (network === undefined) return false;
        const choice = chooseUnderlay(network, this.#criteria, [family]);
        return (
          (choice.found ? `${choice.underlay.link.name} ${choice.underlay.ip[family]}` : 'none') === want
        );
      },
      deadline(`the choice is ${want}`),
    );
  }
}

describe('the underlay is followed while it changes', needsRoot, () => {
  test('a default route that comes, changes its device and goes', async t => {
    const host = new Host(t);
    await host.addLink('eth0', 'far0', '10.9.0.5/24');
    await host.addLink('eth1', 'far1', '10.9.1.5/24');
    await host.becomes('none');
    await host.addDefaultRoute('10.9.0.1');
    await host.becomes('eth0 10.9.0.5');
    await host.ip.routes.delete({ family: 'ipv4', gateway: Ip.parse('10.9.0.1') });
    await host.becomes('none');
    await host.addDefaultRoute('10.9.1.1');
    await host.becomes('eth1 10.9.1.5');
  });

  test('a named interface that appears later, gets another address, goes down and up', async t => {
    const host = new Host(t, { interfaces: ['eth0'] });
    await host.becomes('none');
    await host.addLink('eth0', 'far0', '10.9.0.5/24');
    await host.becomes('eth0 10.9.0.5');
    const index = await host.index('eth0');
    await host.setAddress('eth0', '10.9.0.77/24');
    await host.ip.addresses.delete({ ...parseInterfaceAddress('10.9.0.5/24'), index });
    await host.becomes('none');
    await host.setAddress('eth0', '10.9.0.77/24');
    await host.becomes('eth0 10.9.0.77');
    await host.ip.links.change('eth0', { up: false });
    await host.becomes('none');
    await host.ip.links.change('eth0', { up: true });
    await host.becomes('eth0 10.9.0.77');
  });

  test('the way to an address that changes', async t => {
    const host = new Host(t, { canReach: Ip.parse('198.51.100.7') });
    await host.addLink('eth0', 'far0', '10.9.0.5/24');
    await host.addLink('eth1', 'far1', '10.9.1.5/24');
    await host.becomes('none');
    const destination = Prefix.parse('198.51.100.0/24');
    await host.ip.routes.replace({ destination, gateway: Ip.parse('10.9.1.1') });
    await host.becomes('eth1 10.9.1.5');
    await host.ip.routes.replace({ destination, gateway: Ip.parse('10.9.0.1') });
    await host.becomes('eth0 10.9.0.5');
  });

  test('an IPv6 address, once the kernel has found that nobody else has it', async t => {
    const host = new Host(t, { interfaces: ['eth0'] });
    await host.addLink('eth0', 'far0', 'fd00:9::5/64');
    await host.becomes('eth0 fd00:9::5', 'ipv6');
    assert.ok(await host.isSettled('fd00:9::5'));
    // The other end of the cable has the next one, and says so when eth0 asks.
    await host.setAddress('far0', 'fd00:9::6/64', IFA_F_NODAD);
    const index = await host.index('eth0');
    await host.ip.addresses.delete({ ...parseInterfaceAddress('fd00:9::5/64'), index });
    await host.setAddress('eth0', 'fd00:9::6/64');
    await host.becomesTaken('fd00:9::6');
    await host.becomes('none', 'ipv6');
  });

  test('IPv6: a default route, and the way to an address', async t => {
    const host = new Host(t);
    await host.addLink('eth0', 'far0', 'fd00:9::5/64');
    await host.becomes('none', 'ipv6');
    await host.addDefaultRoute('fd00:9::1');
    await host.becomes('eth0 fd00:9::5', 'ipv6');
    const reaching = new Host(t, { canReach: Ip.parse('fd00:7::7') });
    await reaching.addLink('eth0', 'far0', 'fd00:9::5/64');
    await reaching.becomes('none', 'ipv6');
    const route = { destination: Prefix.parse('fd00:7::/64'), gateway: Ip.parse('fd00:9::1') };
    await reaching.ip.routes.replace(route);
    await reaching.becomes('eth0 fd00:9::5', 'ipv6');
  });
});
