import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '../../api/status.ts';
import { Ip } from '../../base/ip.ts';
import { toldObstacle } from './told-obstacle.ts';

const COUNTS = { flows: 0, sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0 };
const why = (text: string) => ({ code: 'CODE', text });
const ASKED = { hostEnd: 'veth1', protocol: 'tcp', remote: Ip.parse('10.5.2.2') } as const;

const told = (fastPath: Partial<Status['fastPath']>, ofPeer?: string, asked: Partial<typeof ASKED> = {}) =>
  toldObstacle(
    {
      fastPath: { used: true, networks: [], normalPackets: {}, ...fastPath },
      peers: [
        {
          key: '10.5.2.0-24',
          subnet: { ipv4: '10.5.2.0/24' },
          publicIp: {},
          state: 'ok',
          desired: [],
          actual: [],
          ...(ofPeer !== undefined && { fastPath: { ...COUNTS, obstacle: why(ofPeer) } }),
        } as unknown as Status['peers'][number],
      ],
    },
    { ...ASKED, ...asked },
  );

test('the reason of the host comes first, then that of the link, of the peer, of TCP', () => {
  const network = {
    name: 'overlay',
    links: ['veth2'],
    without: [{ link: 'veth1', ...why('a queue') }],
    ...COUNTS,
  };
  assert.equal(told({ obstacle: why('off'), networks: [network] }), 'off');
  assert.equal(told({ networks: [network] }), 'a queue');
  const open = { ...network, links: ['veth1'], without: [] };
  assert.equal(told({ networks: [open], tcpObstacle: 'no ctnetlink' }, 'direct'), 'direct');
  assert.equal(told({ networks: [open], tcpObstacle: 'no ctnetlink' }), 'no ctnetlink');
  assert.equal(told({ networks: [open] }), undefined);
  assert.equal(toldObstacle({ peers: [] }, ASKED), undefined, 'an agent that knows of none');
});
