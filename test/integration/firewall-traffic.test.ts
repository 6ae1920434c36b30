/** What the rules do to packets, on a host that drops what nobody accepts, as dockerd makes it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { silentLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { RunProgram } from '../../src/firewall/engine.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { neighbourhood } from '../support/neighbourhood.ts';

/** What dockerd 28.1 has for the container, whose bridge is `c`: per bridge a drop in DOCKER, per container in raw. */
const DOCKER_28 = [
  'iptables -N DOCKER-USER',
  'iptables -N DOCKER-FORWARD',
  'iptables -N DOCKER',
  'iptables -A FORWARD -j DOCKER-USER',
  'iptables -A FORWARD -j DOCKER-FORWARD',
  'iptables -A DOCKER-FORWARD -o c -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  'iptables -A DOCKER-FORWARD -o c -j DOCKER',
  'iptables -A DOCKER-FORWARD -i c -j ACCEPT',
  'iptables -A DOCKER ! -i c -o c -j DROP',
  'iptables -t raw -A PREROUTING -d 10.3.5.2/32 ! -i c -j DROP',
];

// Most of the time an echo is waited for that must not come, and each test has namespaces of its own.
describe('packets that meet the rules', { ...needsRoot, concurrency: 2 }, () => {
  for (const nftables of [false, true]) {
    test(`forwards and masquerades, ${nftables ? 'nftables' : 'iptables'}`, async t => {
      const { host, container, peer } = await neighbourhood(t);
      await host.do('iptables -P FORWARD DROP');
      await peer.do(
        'ip link set lo up',
        'ip addr add 10.3.6.2/32 dev lo',
        'ip route add 10.3.5.0/24 via 198.51.100.1',
        'iptables -A INPUT -s 198.51.100.1 -j DROP',
      );
      assert.equal(await container.reaches('192.0.2.2'), false, 'the host drops everything');

      const firewall = new Firewall({
        log: silentLogger,
        run: (program, args, options) => run(program, args, { ...options, namespaces: host.namespaces }),
      });
      const block = {
        network: Prefix.parse('10.3.0.0/16'),
        subnet: Prefix.parse('10.3.5.0/24'),
        devices: ['p'],
      };
      const desired = { nftables, blocks: [block], masquerade: true, forward: true, randomFully: true };
      await firewall.apply(desired);
      assert.equal(await container.reaches('192.0.2.2'), true, 'to the world, with the address of the host');
      assert.equal(await container.reaches('10.3.6.2'), true, 'to a container, with its own address');

      await firewall.apply({ ...desired, masquerade: false });
      assert.equal(await container.reaches('192.0.2.2'), false, 'the world cannot answer a container');
      assert.equal(await container.reaches('10.3.6.2'), true);
    });
  }

  for (const nftables of [false, true]) {
    const mode = nftables ? 'nftables' : 'iptables';
    test(`lets the overlay past what dockerd 28 drops, and nobody else, ${mode}`, async t => {
      const { host, outside, peer } = await neighbourhood(t);
      await outside.do('ip route add 10.3.5.0/24 via 192.0.2.1');
      await peer.do(
        'ip link set lo up',
        'ip addr add 10.3.6.2/32 dev lo',
        'ip route add 10.3.5.0/24 via 198.51.100.1 src 10.3.6.2',
      );
      assert.equal(await peer.reaches('10.3.5.2'), true, 'before dockerd');
      await host.do(...DOCKER_28);
      assert.equal(await peer.reaches('10.3.5.2'), false, 'dockerd drops it');

      const programs: RunProgram = (program, args, options) =>
        run(program, args, { ...options, namespaces: host.namespaces });
      const firewall = new Firewall({ log: silentLogger, run: programs });
      const subnet = Prefix.parse('10.3.5.0/24');
      const block = { network: Prefix.parse('10.3.0.0/16'), subnet, devices: ['p'] };
      const desired = { nftables, blocks: [block], masquerade: false, forward: true, randomFully: true };
      const foreign = async () =>
        (await programs('iptables-save', [], {})).stdout
          .split('\n')
          .filter(line => line.startsWith('-A') && !/FLANNEL|TULLE/.test(line));
      const before = await foreign();
      await firewall.apply(desired);
      assert.equal(await peer.reaches('10.3.5.2'), true, 'the overlay is let through');
      assert.equal(await outside.reaches('10.3.5.2'), false, 'and nobody else');
      assert.deepEqual(await foreign(), before);
      firewall.markStale();
      assert.deepEqual((await firewall.apply(desired)).repaired, []);

      // As dockerd does when it makes a network: its jumps go to the top again.
      await host.do('iptables -D FORWARD -j DOCKER-FORWARD', 'iptables -I FORWARD -j DOCKER-FORWARD');
      await host.do('iptables -t raw -I PREROUTING -d 10.3.5.2/32 ! -i c -j DROP');
      assert.equal(await peer.reaches('10.3.5.2'), false, 'dockerd is first again');
      firewall.markStale();
      assert.equal((await firewall.apply(desired)).repaired.length, 2);
      assert.equal(await peer.reaches('10.3.5.2'), true);

      await host.do('iptables -F DOCKER', 'iptables -t raw -F PREROUTING');
      firewall.markStale();
      await firewall.apply(desired);
      for (const table of ['raw', 'filter']) {
        assert.doesNotMatch((await programs('iptables-save', ['-t', table], {})).stdout, /TULLE-OVERLAY/);
      }
    });
  }
});
