import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Answers,
  ARRIVES,
  causes,
  checkCase,
  finding,
  insideDocker2,
  LEAVES,
  overlayOfDocker2,
  seen,
  toDocker2,
  watchedInside,
  watchedRung,
  withWatched,
} from '../../../../test/support/check-case.ts';
import { judge } from './judge.ts';

test('where everything answers nothing is found', () => {
  assert.deepEqual(judge(checkCase()), { ok: true, findings: [] });
});

test('a host that ignores pings, and whose containers answer, is not broken', () => {
  const ignores: Answers = ({ kind }) =>
    kind === 'underlay' || kind === 'tunnel' || kind === 'bridge' ? 0 : undefined;
  assert.deepEqual(judge(checkCase({ answers: ignores })), { ok: true, findings: [] });
});

test('a host that answers nothing is named, and that the others answer', () => {
  const { findings } = judge(checkCase({ answers: toDocker2, unasked: { docker2: 'no connection' } }));
  assert.deepEqual(
    findings.map(({ code, host }) => [code, host]),
    [['UNDERLAY_SILENT', 'docker2']],
  );
  assert.match(
    findings[0]?.reason ?? '',
    /192\.168\.65\.2, the address of docker2, does not answer; all other peers answer/,
  );
});

test('where no peer answers this host is alone', () => {
  const nobody: Answers = ({ peer }) => (peer === undefined ? undefined : 0);
  const { findings } = judge(checkCase({ answers: nobody, unasked: { docker2: 'x', docker3: 'x' } }));
  assert.deepEqual([...new Set(findings.map(({ host }) => host))], ['docker1']);
  assert.match(findings[0]?.reason ?? '', /no other peer answers docker1 either/);
});

test('only the tunnel is lost between the hosts', () => {
  const known = checkCase({ answers: overlayOfDocker2 });
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, ['tunnel out request', 'uplink out request']),
    there: seen(2, []),
  });
  const { findings } = judge(withWatched(known, watched));
  assert.deepEqual(
    findings.map(({ code, host }) => [code, host]),
    [['UNDERLAY_UDP_BLOCKED', 'docker2']],
  );
  assert.match(
    findings[0]?.reason ?? '',
    /UDP port 8472.*left eth0 of docker1, and never came to the underlay's link of docker2/,
  );
});

test('where the other host cannot be asked nothing is claimed about it', () => {
  const known = checkCase({ answers: overlayOfDocker2, unasked: { docker2: 'it runs flannel' } });
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, ['tunnel out request', 'uplink out request']),
    unwatched: 'it runs flannel',
  });
  const { findings } = judge(withWatched(known, watched));
  assert.deepEqual(
    findings.map(({ code }) => code),
    ['PACKET_LOST'],
  );
  assert.match(
    findings[0]?.reason ?? '',
    /left eth0 of docker1, and no answer came to .* of docker1.*docker2 could not be asked \(it runs flannel\)/,
  );
});

const forwardingOff = finding({ code: 'FORWARDING_OFF', host: 'docker2', layer: 'routing' });

test('what a host says of itself explains what ends at that place, and is proven by it', () => {
  const known = checkCase({ answers: insideDocker2, reports: { 2: { findings: [forwardingOff] } } });
  const watched = watchedInside(known, ['uplink in request', 'tunnel in request']);
  const { findings, ok } = judge(withWatched(known, watched));
  assert.equal(ok, false);
  assert.deepEqual(
    findings.map(({ code, host }) => [code, host]),
    [['FORWARDING_OFF', 'docker2']],
  );
  assert.ok(
    findings[0]?.evidence.some(line =>
      /came to flannel.1 of docker2, and never left the bridge of docker2/.test(line),
    ),
    findings[0]?.evidence.join('\n'),
  );
});

test('what is wrong elsewhere is no cause of what ends here', () => {
  const elsewhere = finding({
    code: 'FIREWALL_DROP',
    host: 'docker1',
    layer: 'firewall',
    severity: 'warning',
  });
  const known = checkCase({ answers: insideDocker2, reports: { 1: { findings: [elsewhere] } } });
  const watched = watchedInside(known, ['uplink in request', 'tunnel in request'], {
    drops: [{ reason: 'SOMETHING_NEW', place: 'ip_forward', packet: 'request', count: 4 }],
  });
  const { findings } = judge(withWatched(known, watched));
  assert.deepEqual(
    findings.map(({ code, host, severity }) => [code, host, severity]),
    [
      ['PACKET_LOST', 'docker2', 'error'],
      ['FIREWALL_DROP', 'docker1', 'warning'],
    ],
  );
  assert.match(findings[0]?.reason ?? '', /the kernel drops them as SOMETHING_NEW on docker2/);
});

test("the kernel's reason decides between two findings of one host", () => {
  const filter = finding({
    code: 'STRICT_RP_FILTER',
    host: 'docker2',
    layer: 'routing',
    severity: 'warning',
  });
  const drop = finding({ code: 'FIREWALL_DROP', host: 'docker2', layer: 'firewall' });
  const known = checkCase({ answers: insideDocker2, reports: { 2: { findings: [drop, filter] } } });
  const watched = watchedInside(known, ['uplink in request', 'tunnel in request'], {
    drops: [{ reason: 'IP_RPFILTER', link: 'flannel.1', packet: 'request', count: 4 }],
  });
  assert.equal(causes(withWatched(known, watched))[0], 'STRICT_RP_FILTER docker2');
});

test('a finding about another container explains nothing', () => {
  const other = finding({
    code: 'CONTAINER_NO_DEFAULT_ROUTE',
    host: 'docker2',
    layer: 'container',
    reason: 'c2 (10.5.2.3) has no default route',
  });
  const containers = [
    { name: 'c1', addresses: ['10.5.2.2'], hostLink: 'veth-c1', bridge: 'docker0' },
    { name: 'c2', addresses: ['10.5.2.3'], hostLink: 'veth-c2', bridge: 'docker0' },
  ];
  const toC1: Answers = ({ to }) => (String(to) === '10.5.2.2' ? 0 : undefined);
  const known = checkCase({ answers: toC1, reports: { 2: { findings: [other], containers } } });
  const watched = watchedRung(known, ({ kind, to }) => kind === 'container' && String(to) === '10.5.2.2', {
    here: seen(1, LEAVES),
    there: seen(2, ARRIVES),
  });
  const { findings } = judge(withWatched(known, watched));
  assert.equal(findings[0]?.code, 'PACKET_LOST');
  assert.match(
    findings[0]?.reason ?? '',
    /they left veth-c1 of docker2, and no answer came to veth-c1 of docker2/,
  );
});

test('one cause of many failures is one finding', () => {
  const off = finding({ code: 'FORWARDING_OFF', host: 'docker1', layer: 'routing' });
  const all: Answers = ({ kind }) => (kind === 'container' ? 0 : undefined);
  assert.deepEqual(causes(checkCase({ answers: all, reports: { 1: { findings: [off] } } })), [
    'FORWARDING_OFF docker1',
  ]);
});

test('what has nothing to do with size does not explain that only large packets are lost', () => {
  const large: Answers = ({ size, peer, kind }) =>
    size === 'full' && peer === 'docker2' && kind !== 'underlay' ? 0 : undefined;
  const mtu = finding({ code: 'BRIDGE_MTU', host: 'docker2', layer: 'mtu', severity: 'warning' });
  const known = checkCase({ answers: large, reports: { 2: { findings: [forwardingOff, mtu] } } });
  assert.equal(causes(known)[0], 'BRIDGE_MTU docker2');
});

test('a route that leads packets away explains what the link drops that they went to', () => {
  const captures = finding({ code: 'ROUTE_CAPTURES', host: 'docker2', layer: 'routing' });
  const known = checkCase({ answers: insideDocker2, reports: { 2: { findings: [captures] } } });
  const watched = watchedInside(known, [...ARRIVES, 'port in reply', 'bridge in reply'], {
    drops: [{ reason: 'QDISC_DROP', link: 'tun0', packet: 'reply', count: 4 }],
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['ROUTE_CAPTURES docker2']);
});

test('of findings that explain a failure as well, the one that explains the most is the cause', () => {
  const containers = [
    { name: 'c1', addresses: ['10.5.2.2'], hostLink: 'veth-c1', bridge: 'docker0' },
    { name: 'c2', addresses: ['10.5.2.3'], hostLink: 'veth-c2', bridge: 'docker0' },
  ];
  const gateway = (container: string, ip: string) =>
    finding({
      code: 'CONTAINER_WRONG_GATEWAY',
      host: 'docker2',
      layer: 'bridge',
      reason: `${container} (${ip}) sends to nobody`,
    });
  const bridge = finding({ code: 'BRIDGE_NO_ADDRESS', host: 'docker2', layer: 'bridge' });
  const reports = {
    2: { containers, findings: [gateway('c1', '10.5.2.2'), gateway('c2', '10.5.2.3'), bridge] },
  };
  const answers: Answers = ({ peer, kind }) => (peer === 'docker2' && kind === 'container' ? 0 : undefined);
  assert.equal(causes(checkCase({ answers, reports }))[0], 'BRIDGE_NO_ADDRESS docker2');
});
