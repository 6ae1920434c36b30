import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { NetlinkError } from '../../netlink/errors.ts';
import { neededAddresses } from './needed-addresses.ts';
import { watchedFlow } from './watched-flow.ts';

type Reads = Parameters<typeof neededAddresses>[0];

const ENETUNREACH = 101;
const [TUNNEL, UPLINK, BRIDGE] = [1, 2, 3];
const FLOW = watchedFlow({ from: '10.5.1.2', to: '10.5.2.2', protocol: 'icmp' });
const MAC = '02:00:00:00:00:02';

/** A host whose routes are these: `DESTINATION GATEWAY LINK`, or without a gateway. */
function host(
  routes: Readonly<Record<string, readonly [gateway: string, link: number]>>,
  kind = 'vxlan',
): Reads {
  const reads = {
    lookup: (destination: Ip) => {
      const [gateway, link] = routes[`${destination}`] ?? [];
      if (link === undefined)
        return Promise.resolve({ refusal: new NetlinkError('RTM_GETROUTE', 'route', ENETUNREACH) });
      const via = gateway === undefined || gateway === '' ? {} : { gateway: Ip.parse(gateway) };
      return Promise.resolve({ route: { oif: link, ...via } });
    },
    links: () =>
      Promise.resolve([
        { index: TUNNEL, info: { kind } },
        { index: UPLINK },
        { index: BRIDGE, info: { kind: 'bridge' } },
      ]),
    neighbors: () => Promise.resolve([{ index: TUNNEL, ip: Ip.parse('10.5.2.0'), mac: Mac.parse(MAC) }]),
    fdb: () => Promise.resolve([{ mac: Mac.parse(MAC), destination: Ip.parse('192.0.2.2') }]),
  };
  return reads as unknown as Reads;
}

const needed = async (reads: Reads) => [...(await neededAddresses(reads, FLOW))];

test('the ends, and behind a tunnel the way to its other end', async () => {
  const local = { '10.5.1.2': ['', BRIDGE], '10.5.2.2': ['10.5.2.0', TUNNEL] } as const;
  assert.deepEqual(await needed(host({ ...local, '192.0.2.2': ['', UPLINK] })), [
    '10.5.1.2',
    '10.5.2.2',
    '10.5.2.0',
    '192.0.2.2',
  ]);
  // Another host of the underlay, behind a router.
  assert.deepEqual(
    (await needed(host({ ...local, '192.0.2.2': ['192.0.2.254', UPLINK] }))).at(-1),
    '192.0.2.254',
  );
  assert.deepEqual((await needed(host(local))).at(-1), '192.0.2.2', 'no route to the other end');
});

test('a gateway without a tunnel, IP in IP, and no route at all', async () => {
  assert.deepEqual(await needed(host({ '10.5.2.2': ['192.0.2.2', UPLINK] })), [
    '10.5.1.2',
    '10.5.2.2',
    '192.0.2.2',
  ]);
  const ipip = host({ '10.5.2.2': ['192.0.2.2', TUNNEL], '192.0.2.2': ['192.0.2.254', UPLINK] }, 'ipip');
  assert.deepEqual((await needed(ipip)).at(-1), '192.0.2.254');
  assert.deepEqual(await needed(host({})), ['10.5.1.2', '10.5.2.2']);
});
