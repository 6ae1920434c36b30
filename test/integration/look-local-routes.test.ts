/** The check of local routes, each removed in a namespace of its own; what the finding says brings it back. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { checkLocalRoutes } from '../../src/inspect/checks/local-routes.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { lookWith, readWith, STATUS } from '../support/look-host.ts';

const dual = {
  underlay: { ...STATUS.underlay, ip: { ipv4: '192.168.65.3', ipv6: 'fd65::3' } },
  lease: { ...STATUS.lease, subnet: { ipv4: '10.3.1.0/24', ipv6: 'fd03:1::/64' } },
} as typeof STATUS;
const SIX = 'ip addr add fd03:1::1/64 dev docker0 nodad';
/** The kernel makes it in a worker of its own (addrconf_dad_work), and later than the address. */
const untilRouted = (ip: string) =>
  `for i in $(seq 1000); do ip -6 route show table local | grep -q 'local ${ip} ' && break; sleep 0.02; done`;

const REMOVED = {
  'of the bridge': ['ip route del local 10.3.1.1 table local', 'bridge', 'docker0', '10.3.1.1'],
  'of the bridge, IPv6': [
    `${SIX}; ${untilRouted('fd03:1::1')}; ip -6 route del local fd03:1::1 dev docker0 table local`,
    'bridge',
    'docker0',
    'fd03:1::1',
  ],
  'of the tunnel': ['ip route del local 10.3.1.0 table local', 'routing', 'flannel.88', '10.3.1.0'],
  'of the underlay': ['ip route del local 192.168.65.3 table local', 'routing', 'eth0', '192.168.65.3'],
  'of the underlay, IPv6': [
    `${untilRouted('fd65::3')}; ip -6 route del local fd65::3 dev eth0 table local`,
    'routing',
    'eth0',
    'fd65::3',
  ],
} as const;

describe('local routes', needsRoot, () => {
  for (const [name, plant] of Object.entries({
    gone: 'ip rule del pref 0',
    'behind the table main': 'ip rule del pref 0; ip rule add lookup local pref 40000',
  })) {
    test(`the rule that leads to them, ${name}: named once, and made again`, async () => {
      await readWith(
        async host => {
          const [cause, ...others] = await checkLocalRoutes(host);
          assert.deepEqual([cause?.code, cause?.severity, others], ['POLICY_RULE', 'error', []]);
          host.netns.run(() => execFileSync('sh', ['-ec', cause?.remedy ?? 'false']));
          assert.deepEqual(await checkLocalRoutes(host), []);
        },
        { plant, status: dual },
      );
    });
  }

  for (const [name, [plant, layer, link, ip]] of Object.entries(REMOVED)) {
    test(`${name}: named, and made again as the kernel makes it`, async () => {
      const shown = `ip ${ip.includes(':') ? '-6 ' : ''}route show table local`;
      await readWith(
        async host => {
          const inside = (command: string) =>
            host.netns.run(() => execFileSync('sh', ['-ec', command], { encoding: 'utf8' }));
          const [cause, ...others] = await checkLocalRoutes(host);
          assert.deepEqual(
            [cause?.code, cause?.severity, cause?.layer],
            ['LOCAL_ROUTE_MISSING', 'error', layer],
          );
          assert.ok(cause?.reason.startsWith(`${link} has the address ${ip} without its local route`));
          assert.deepEqual(others, []);
          inside(cause?.remedy ?? '');
          // The route of an IPv6 address comes later than the address here too.
          await eventually('the kernel takes packets for it again', async () => {
            return (await checkLocalRoutes(host)).length === 0;
          });
          // With the address the kernel takes the route away: it is the one that it would have made.
          inside(`ip addr del ${ip}/${{ docker0: 24, 'flannel.88': 32, eth0: 24 }[link]} dev ${link} 2>&1 ||
            ip addr del ${ip}/64 dev ${link}`);
          assert.ok(!inside(shown).includes(`local ${ip} `), inside(shown));
        },
        { plant, status: dual },
      );
    });
  }

  test('no finding on a healthy host', async () => {
    assert.deepEqual(
      await lookWith(checkLocalRoutes, { plant: `${SIX}; ${untilRouted('fd03:1::1')}`, status: dual }),
      [],
    );
  });

  test('no finding for a tunnel with the address that is the anycast one of the bridge', async () => {
    const shown = 'ip -6 route get fd03:1::';
    await readWith(
      async host => {
        const inside = host.netns.run(() => execFileSync('sh', ['-ec', shown], { encoding: 'utf8' }));
        assert.match(inside, /^anycast /);
        assert.deepEqual(await checkLocalRoutes(host), []);
      },
      {
        // The bridge's entry is there first, as after a tunnel that was set down and up.
        plant: `${SIX}; ${untilRouted('fd03:1::1')}
          ip addr add fd03:1::/128 dev flannel.88 nodad; ${untilRouted('fd03:1::')}`,
        status: dual,
      },
    );
  });

  test('no finding for what is not of the overlay, not in use yet, or on a link that is down', async () => {
    const plant = `ip link add other up type bridge; ip addr add 10.9.0.1/24 dev other
      ip route del local 10.9.0.1 table local
      sysctl -qw net.ipv6.conf.docker0.accept_dad=1 net.ipv6.conf.docker0.dad_transmits=200
      ip addr add fd03:1::1/64 dev docker0
      ip link set flannel.88 down`;
    assert.deepEqual(await lookWith(checkLocalRoutes, { plant, status: dual }), []);
  });
});
