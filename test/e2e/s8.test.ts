/**
 * Three ways across (scenario S8): the same two containers over udp, vxlan and host-gw, while the backend of the network
 * is changed with `tulle config set`.
 *
 *     c1 --- docker0 --- flannel0 / flannel.88 / eth0 ==== eth0 ... docker0 --- c1
 *
 * Objects, MTU and overhead are asserted from the kernel and from the wire. The containers were made for an underlay
 * with larger packets, so that not they but their host answers to what does not fit (scenario S9, d).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { endProcess } from '../../src/sys/pidfd.ts';
import { type RunResult, run } from '../../src/sys/process.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { BackendLab, FOOTPRINTS } from '../support/backend-lab.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';

/** Bytes of the header of Ethernet, and of those of IPv4 and ICMP. */
const ETHERNET = 14;
const PING = 20 + 8;

/** Each with what it adds to a packet, in the order of the changes. */
const WAYS = [
  ['udp', 28],
  ['vxlan', 50],
  ['host-gw', 0],
] as const;

describe('S8: the same containers over udp, vxlan and host-gw', needsRoot, () => {
  const lab = new BackendLab();
  before(async () => {
    await lab.create('udp', 2);
    for (const host of lab.hosts) {
      await host.sh('ip link set docker0 mtu 9000 && ip link set veth-c1 mtu 9000');
      await run('ip', ['link', 'set', 'eth0', 'mtu', '9000'], { namespaces: { net: host.container.netns } });
    }
  });
  after(() => lab[Symbol.asyncDispose]());

  /** Runs a program in the container of the first host; any exit status is a result. */
  function inContainer(program: string, ...args: readonly string[]): Promise<RunResult> {
    const { netns } = lab.host(1).container;
    return run(program, args, { namespaces: { net: netns }, anyStatus: true });
  }

  /** One echo of this many bytes to the other container, not to be fragmented. */
  const ping = (payload: number) =>
    inContainer('ping', '-n', '-c1', '-W2', '-M', 'do', '-s', `${payload}`, lab.host(2).container.ip);

  for (const [index, [name, overhead]] of WAYS.entries()) {
    const { mtu } = FOOTPRINTS[name];

    test(`${name}: what the kernel has, and nothing of another backend`, async () => {
      if (index > 0) await lab.configure(name);
      await lab.assertOnly(name);
      // What it has learned of the way before.
      await inContainer('ip', 'route', 'flush', 'cache');
    });

    test(`${name}: packets of ${mtu} bytes pass, and have ${mtu + overhead} on the wire`, async () => {
      const { host } = lab.host(2);
      const args = ['-i', 'eth0', '-l', '-nn', '-e', 'ip', 'and', 'greater', '1400'];
      const tcpdump = await host.start('tcpdump', args, `tcpdump-${name}`);
      try {
        const log = host.logFile(`tcpdump-${name}`);
        const patience = deadline('tcpdump sees the echo');
        await waitForFile(log, patience, text => text.includes('listening on'));
        const { status, stdout } = await ping(mtu - PING);
        assert.equal(status, 0, stdout);
        await waitForFile(log, patience, text => lengthsIn(text).length >= 2);
        assert.deepEqual(new Set(lengthsIn(readFileSync(log, 'utf8'))), new Set([mtu + overhead + ETHERNET]));
      } finally {
        await endProcess(tcpdump);
      }
    });

    // S9 (d)
    test(`${name}: to a payload of 1473 bytes the host answers that ${mtu} bytes pass`, async () => {
      for (const payload of [1473, mtu - PING + 1]) {
        await inContainer('ip', 'route', 'flush', 'cache');
        const { status, stdout } = await ping(payload);
        assert.notEqual(status, 0, stdout);
        const gateway = lab.host(1).record.subnet.ipv4?.replace('.0/24', '.1') ?? '';
        const answer = `From ${gateway} icmp_seq=1 Frag needed and DF set (mtu = ${mtu})`;
        assert.ok(stdout.includes(answer), stdout);
      }
    });
  }
});

/** Bytes of the frames that tcpdump has printed, with the header of Ethernet. Only a line of the outer frame has the time. */
function lengthsIn(text: string): number[] {
  return Array.from(text.matchAll(/^[\d:]+\.\d+ .*?, length (\d+):/gm), ([, length]) => Number(length));
}
