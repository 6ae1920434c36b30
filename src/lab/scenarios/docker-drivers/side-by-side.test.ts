import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseView, viewsTable } from './side-by-side.ts';

const LINKS = JSON.stringify([
  { ifname: 'lo', addr_info: [{ family: 'inet', local: '127.0.0.1', prefixlen: 8 }] },
  {
    ifname: 'eth0',
    linkinfo: { info_kind: 'veth' },
    addr_info: [
      { family: 'inet', local: '172.17.0.2', prefixlen: 16 },
      { family: 'inet6', local: 'fe80::1', prefixlen: 64 },
    ],
  },
]);
const ROUTES = JSON.stringify([
  { dst: 'default', gateway: '172.17.0.1', dev: 'eth0' },
  { dst: '172.17.0.0/16', dev: 'eth0' },
]);

test('what a container sees is read from what ip prints', () => {
  assert.deepEqual(
    parseView('c1', {
      links: LINKS,
      routes: ROUTES,
      resolv: '# nameserver 1.1.1.1\nnameserver 127.0.0.11\n',
    }),
    {
      container: 'c1',
      links: [
        { name: 'lo', addresses: ['127.0.0.1/8'] },
        { name: 'eth0 veth', addresses: ['172.17.0.2/16'] },
      ],
      routes: ['default via 172.17.0.1', '172.17.0.0/16 dev eth0'],
      nameServers: ['127.0.0.11'],
    },
  );
});

test('the table has a line for each thing that is seen, and fits a screen of 80', () => {
  const view = parseView('c1', { links: LINKS, routes: ROUTES, resolv: '' });
  const host = {
    ...view,
    container: 'host',
    links: [
      { name: 'lo', addresses: ['127.0.0.1/8', '169.254.53.53/32'] },
      { name: 'eth0', addresses: ['192.168.65.3/24'] },
      ...['veth1', 'tv0123456789ab veth', 'a-very-long-link-name vxlan'].map(name => ({
        name,
        addresses: [],
      })),
    ],
  };
  const lines = viewsTable([{ ...view, container: 'none', routes: [] }, view, host]).split('\n');
  assert.ok(lines.every(line => line.length <= 77));
  assert.match(lines[1] ?? '', /^none +lo +127\.0\.0\.1\/8 +- +-$/);
  assert.match(lines[2] ?? '', /^ +eth0 veth +172\.17\.0\.2\/16$/);
  // Each address is beside its link.
  assert.ok(lines.some(line => /^ +169\.254\.53\.53\/32\b/.test(line)));
  assert.ok(lines.some(line => /^ +eth0 +192\.168\.65\.3\/24\b/.test(line)));
  assert.match(lines.at(-1) ?? '', /^ +2 veth ends$/);
});
