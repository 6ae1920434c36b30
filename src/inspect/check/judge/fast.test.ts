import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Observation } from '../../../api/inspection.ts';
import { Ip } from '../../../base/ip.ts';
import type { FastHost } from '../../path/journey.ts';
import type { FastProbe } from '../fast-probe.ts';
import { pairsOf } from '../fast-probes.ts';
import type { RungResult } from '../rung.ts';
import { fastFindings } from './fast.ts';

const [C1, C2] = [Ip.parse('10.5.1.2'), Ip.parse('10.5.2.2')];
const PAIR = { peer: 'docker2', target: 'c1 of docker2', container: 'c1', source: C1, to: C2 };

const host = (name: string, packets: number, reason?: string): FastHost => ({
  host: name,
  state: 'ready',
  text: 'A flow goes it.',
  flows: [
    {
      protocol: 'udp',
      local: '10.5.1.2',
      localPort: 1,
      remote: '10.5.2.2',
      remotePort: 2,
      sent: false,
      delivered: false,
      ...(reason !== undefined && { reason }),
      sentPackets: packets,
      sentBytes: 0,
      deliveredPackets: packets,
      deliveredBytes: 0,
    },
  ],
});

const probe = (more: Partial<FastProbe>): FastProbe => ({
  pair: PAIR,
  normal: { sent: 8, answered: 8 },
  fast: { sent: 48, answered: 48 },
  hosts: [host('docker1', 40), host('docker2', 40)],
  views: [],
  ...more,
});

const codes = (one: FastProbe) => fastFindings([one], 'docker1').map(({ code, host: at }) => `${code} ${at}`);

test('a flow that was carried, or that cannot be, is no finding', () => {
  assert.deepEqual(codes(probe({})), []);
  assert.deepEqual(codes(probe({ fast: { sent: 48, answered: 45 } })), [], 'an accident');
  const normal: FastHost = { host: 'docker2', state: 'normal', text: 'It is off.', flows: [] };
  assert.deepEqual(codes(probe({ hosts: [host('docker1', 40), normal] })), []);
});

test('a flow that stays on the normal path is a finding of the host where it does', () => {
  const hosts = [host('docker1', 40), host('docker2', 0, 'it is being proven: 3 of 8')];
  const [finding, ...others] = fastFindings([probe({ hosts })], 'docker1');
  assert.deepEqual(
    [finding?.code, finding?.severity, finding?.host, others],
    ['FAST_PATH_UNUSED', 'warning', 'docker2', []],
  );
  assert.match(
    finding?.reason ?? '',
    /between c1 and c1 of docker2 .* over docker2, .*: it is being proven: 3 of 8$/,
  );
});

test('what is lost on the fast path is an error, with whoever has dropped it', () => {
  const fast = { sent: 10, answered: 4 };
  const [unknown] = fastFindings([probe({ fast })], 'docker1');
  assert.deepEqual([unknown?.code, unknown?.host], ['FAST_PATH_LOSS', 'docker1']);
  assert.match(unknown?.remedy ?? '', /--fast-path=off/);
  const dropped = (...programs: string[]) => {
    const drop = { reason: 'TC_INGRESS', link: 'eth0', packet: 'request', count: 3, programs } as const;
    const view = { host: 'docker2', drops: [drop] } as unknown as Observation;
    return fastFindings([probe({ fast, views: [view] })], 'docker1')[0];
  };
  const foreign = dropped(
    'tulle_receive (id 1) at the ingress of eth0',
    'evil (id 2) at the ingress of eth0',
  );
  assert.equal(foreign?.host, 'docker2');
  assert.match(
    foreign?.reason ?? '',
    /docker2 drops them on eth0 \(TC_INGRESS\), where there is .*, evil \(id 2\)/,
  );
  assert.match(foreign?.remedy ?? '', /^bpftool net show dev eth0/);
  assert.match(dropped('tulle_receive (id 1) at the ingress of eth0')?.remedy ?? '', /--fast-path=off/);
});

test('one flow for each peer, where pings pass between containers and nothing else is lost', () => {
  const rung = (more: Partial<RungResult>): RungResult => ({
    kind: 'container',
    size: 'small',
    bytes: 28,
    peer: 'docker2',
    container: 'c1',
    source: C1,
    to: C2,
    target: 'c1 of docker2',
    sent: 3,
    answered: 3,
    ...more,
  });
  const peers = (...rungs: RungResult[]) => pairsOf(rungs).map(({ peer, to }) => `${peer} ${to}`);
  assert.deepEqual(peers(rung({}), rung({ to: Ip.parse('10.5.2.3') }), rung({ peer: 'docker3' })), [
    'docker2 10.5.2.2',
    'docker3 10.5.2.2',
  ]);
  assert.deepEqual(peers(rung({ answered: 0 }), rung({ kind: 'host' }), rung({ size: 'full' })), []);
  assert.deepEqual(peers(rung({}), rung({ kind: 'tcp', answered: 0 }), rung({ peer: 'docker3' })), [
    'docker3 10.5.2.2',
  ]);
  const { peer: _, ...ofThisHost } = rung({ kind: 'gateway', answered: 0 });
  assert.deepEqual(peers(rung({}), ofThisHost), []);
  assert.deepEqual(peers(rung({ to: Ip.parse('fd00::2'), source: Ip.parse('fd00::1') })), []);
});
