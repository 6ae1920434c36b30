/** A host of the firewall tests: real programs and a real kernel, in a network namespace of its own; and what they find there. */
import process from 'node:process';
import type { TestContext } from 'node:test';
import { recordingLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredFirewall } from '../../src/firewall/desired.ts';
import type { RunProgram } from '../../src/firewall/engine.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { patiently } from './neighbourhood.ts';

/** What is wanted of both families, in iptables. */
export const DUAL: DesiredFirewall = {
  nftables: false,
  blocks: [
    { network: Prefix.parse('10.3.0.0/16'), subnet: Prefix.parse('10.3.5.0/24'), devices: ['flannel.88'] },
    {
      network: Prefix.parse('fd00:3::/48'),
      subnet: Prefix.parse('fd00:3:0:5::/64'),
      devices: ['flannel.88'],
    },
  ],
  masquerade: true,
  forward: true,
  randomFully: true,
};
export const NETWORKS = DUAL.blocks.map(({ network }) => network);
/** Of IPv4 alone. */
export const IPV4: DesiredFirewall = { ...DUAL, blocks: DUAL.blocks.slice(0, 1) };

/** A host of the test: its own namespace, a firewall in it, and every program the firewall started. */
export class FirewallHost {
  readonly started: string[] = [];
  readonly netns: Netns;

  constructor(t: TestContext) {
    this.netns = Netns.anonymous();
    t.after(() => this.netns[Symbol.dispose]());
  }

  readonly run: RunProgram = (program, args, options) => {
    this.started.push([program, ...args].join(' '));
    const net = `/proc/${process.pid}/fd/${this.netns.fd}`;
    return run(program, args, { ...options, namespaces: { net } });
  };

  firewall(through: RunProgram = this.run): Firewall {
    return new Firewall({ log: recordingLogger(), run: through });
  }

  /** A foreigner's command, in words without quoting. */
  async shell(command: string): Promise<string> {
    const [program = '', ...args] = command.split(' ');
    const namespaces = { net: `/proc/${process.pid}/fd/${this.netns.fd}` };
    return (await run(program, patiently(program, args), { namespaces })).stdout;
  }

  /** Chains and rules of iptables-save as flannel has them, without counters and the built-in chains that are empty. */
  async saved(program = 'iptables-save'): Promise<string[]> {
    const text = await this.shell(program);
    return text
      .split('\n')
      .map(line => line.replace(/ \[\d+:\d+\]$/, ''))
      .filter(line => /^(-A|:FLANNEL|:\S+ DROP)/.test(line) && !line.includes('TULLE-OVERLAY'));
  }

  /** How many programs that change something were started since the last call. */
  writes(): number {
    return this.started.splice(0).filter(line => /-restore|^nft -j -f/.test(line)).length;
  }
}

/** flannel's own rules, as its end-to-end tests expect them. */
export const MASQUERADE_IPV4 = [
  ':FLANNEL-POSTRTG -',
  '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
  '-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG -s 10.3.5.0/24 -d 10.3.0.0/16 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG -s 10.3.0.0/16 -d 10.3.5.0/24 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG ! -s 10.3.0.0/16 -d 10.3.5.0/24 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG -s 10.3.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully',
  '-A FLANNEL-POSTRTG ! -s 10.3.0.0/16 -d 10.3.0.0/16 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully',
];
export const FORWARD_IPV4 = [
  ':FLANNEL-FWD -',
  '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD',
  '-A FLANNEL-FWD -s 10.3.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
  '-A FLANNEL-FWD -d 10.3.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
];
export const ALL_IPV4 = [...FORWARD_IPV4, ...MASQUERADE_IPV4].sort();
export const sorted = (lines: readonly string[]): string[] => lines.toSorted();
