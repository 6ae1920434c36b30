import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configOf, hostAttributes } from '../../../test/support/registry.ts';
import { formatProblem, type Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { planSegment, type SegmentRequest } from './check-segment.ts';
import { contextOf, drawSegmentVni, type SegmentContext } from './segment-context.ts';
import { decodeSegment, encodeSegment } from './segment-value.ts';

const leaseOf = (number: number) => ({
  key: '',
  subnet: {},
  attributes: hostAttributes(number),
  storeLease: 1n,
  createRevision: 1n,
  modRevision: 1n,
});

const OVERLAY = configOf({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan', vni: 88 } });
const EMPTY = contextOf(undefined, [], [], new Map());
const BLUE = {
  name: 'blue',
  ...planSegment({ name: 'blue', subnets: ['10.9.0.0/16'] }, EMPTY, []),
  id: '0'.repeat(16),
  vni: 4242,
  created: new Date(0),
  createRevision: 1n,
};
const CONTEXT = contextOf(OVERLAY, [leaseOf(3)], [BLUE], new Map([[4243, 'gone']]));

function plan(request: Partial<SegmentRequest>, context: SegmentContext = CONTEXT) {
  const problems: Problem[] = [];
  const planned = planSegment({ name: 'green', subnets: ['10.8.0.0/16'], ...request }, context, problems);
  return { planned, problems: problems.map(formatProblem) };
}

describe('an L2 network that is wanted', () => {
  test('gets a gateway, and ranges by its size', () => {
    const { planned, problems } = plan({ subnets: ['10.8.0.0/16', 'fd00:8::/64'] });
    assert.deepEqual(problems, []);
    assert.deepEqual(valuesOf<unknown>(planned.gateways).map(String), ['10.8.0.1', 'fd00:8::1']);
    assert.deepEqual(planned.rangeLengths, { ipv4: 24, ipv6: 96 });
    for (const [subnet, length] of [
      ['10.0.0.0/8', 20],
      ['10.8.0.0/24', 28],
      ['10.8.0.0/23', 27],
      ['10.8.0.0/28', 30],
    ] as const) {
      assert.equal(plan({ subnets: [subnet] }, EMPTY).planned.rangeLengths.ipv4, length, subnet);
    }
  });

  test('has the lengths, gateways and MTU that are given, in whatever order', () => {
    const { planned, problems } = plan({
      subnets: ['fd00:8::/64', '10.8.0.0/16'],
      rangeLengths: [80, 26],
      gateways: ['10.8.9.9', 'fd00:8::9'],
      mtu: 1280,
      vni: 5,
      floodLimit: 10,
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(planned.rangeLengths, { ipv4: 26, ipv6: 80 });
    assert.deepEqual(valuesOf<unknown>(planned.gateways).map(String), ['10.8.9.9', 'fd00:8::9']);
    assert.deepEqual([planned.mtu, planned.vni, planned.port], [1280, 5, 4789]);
    assert.deepEqual(plan({ gateways: 'none' }).planned.gateways, {});
    assert.deepEqual(plan({ internal: true }).planned.gateways, {});
  });

  for (const [request, ...reasons] of [
    [{ name: '' }, /name = "": must be 1 to 32/],
    [{ name: 'x'.repeat(33) }, /must be 1 to 32/],
    [{ name: 'a/b' }, /must be 1 to 32/],
    [{ name: '-a' }, /must be 1 to 32/],
    [{ name: 'host' }, /name of a network that Docker has/],
    [{ subnets: [] }, /subnet: is missing/],
    [{ subnets: ['x'] }, /subnet = "x": must be an address with a prefix length/],
    [{ subnets: ['10.8.0.7/16'] }, /is an address inside of a subnet \(the subnet is 10\.8\.0\.0\/16\)/],
    [{ subnets: ['10.5.3.0/24'] }, /overlaps 10\.5\.0\.0\/16, the network of the overlay/],
    [{ subnets: ['10.0.0.0/8'] }, /overlaps/],
    [{ subnets: ['10.9.3.0/24'] }, /overlaps 10\.9\.0\.0\/16, the subnet of the network blue/],
    [{ subnets: ['192.168.65.0/24'] }, /contains addresses of hosts: 192\.168\.65\.3/],
    [{ subnets: ['127.1.0.0/16'] }, /must not overlap 127\.0\.0\.0\/8, which is loopback/],
    [{ subnets: ['224.1.0.0/16'] }, /multicast/],
    [{ subnets: ['240.1.0.0/16'] }, /reserved/],
    [{ subnets: ['0.1.0.0/16'] }, /this host/],
    [{ subnets: ['169.254.0.0/20'] }, /link-local/],
    [{ subnets: ['fe80::/64'] }, /link-local/],
    [{ subnets: ['ff02::/64'] }, /multicast/],
    [{ subnets: ['::/64'] }, /loopback|no address/],
    [{ subnets: ['0.0.0.0/0'] }, /whole address space/],
    [{ subnets: ['10.8.0.0/29'] }, /too small for the ranges of several hosts: must be \/28 or shorter/],
    [{ subnets: ['fd00::/125'] }, /must be \/124 or shorter/],
    [{ subnets: ['10.8.0.0/16', '10.7.0.0/16'] }, /is a second IPv4 subnet, beside 10\.8\.0\.0\/16/],
    [{ vni: 0 }, /vni = 0: must be a whole number/],
    [{ vni: 2 ** 24 }, /must be a whole number between 1 and 16777215/],
    [{ vni: 88 }, /is that of the overlay/],
    [{ vni: 4242 }, /vni/],
    [{ vni: 4243 }, /is that of the network gone/],
    [{ gateways: ['10.8.0.0'] }, /must be an address that a host can have in 10\.8\.0\.0\/16/],
    [{ gateways: ['10.8.255.255'] }, /must be an address that a host can have/],
    [{ gateways: ['10.7.0.1'] }, /must be an address that a host can have/],
    [{ gateways: ['fd00::1'] }, /must be an address that a host can have/],
    [{ gateways: ['x'] }, /must be an address, or none/],
    [{ gateways: ['10.8.0.1', '10.8.0.2'] }, /is a second IPv4 gateway/],
    [{ gateways: ['10.8.0.1'], internal: true }, /no place in an internal network/],
    [{ rangeLengths: [17] }, /rangeLength = 17: must be between 18 and 30 for 10\.8\.0\.0\/16/],
    [{ rangeLengths: [31] }, /between 18 and 30/],
    [{ rangeLengths: [24, 96] }, /is one more than there are subnets/],
    [{ mtu: 67 }, /mtu = 67: must be a whole number between 68/],
    [{ mtu: 1279, subnets: ['fd00:8::/64'] }, /between 1280/],
    [{ port: 0 }, /port = 0/],
    [{ name: 'A', subnets: ['x'], vni: 1.5, mtu: 1, port: 70_000 }, /name/, /vni/, /port/, /subnet/, /mtu/],
  ] as const satisfies readonly (readonly [Partial<SegmentRequest>, ...RegExp[]])[]) {
    test(`is refused: ${JSON.stringify(request)}`, () => {
      const { problems } = plan(request);
      assert.equal(problems.length, reasons.length, problems.join('\n'));
      for (const reason of reasons)
        assert.ok(
          problems.some(problem => reason.test(problem)),
          problems.join('\n'),
        );
    });
  }

  test('whatever is planned can be stored', () => {
    const text = fc.oneof(
      fc.tuple(fc.ipV4(), fc.nat(33)).map(([ip, length]) => `${ip}/${length}`),
      fc.tuple(fc.ipV4(), fc.nat(32)).map(([ip, length]) => `${Prefix.of(Ip.parse(ip), length)}`),
      fc.constantFrom('fd00:8::/64', 'fd00:8::/124', 'x'),
    );
    const request = fc.record(
      {
        subnets: fc.array(text, { maxLength: 3 }),
        rangeLengths: fc.array(fc.integer({ min: 0, max: 130 }), { maxLength: 3 }),
        gateways: fc.array(fc.oneof(fc.ipV4(), fc.constantFrom('fd00:8::7', 'x')), { maxLength: 2 }),
        internal: fc.boolean(),
        mtu: fc.nat(70_000),
      },
      { requiredKeys: ['subnets'] },
    );
    fc.assert(
      fc.property(request, wanted => {
        const { planned, problems } = plan(wanted, EMPTY);
        if (problems.length > 0) return;
        const value = { ...planned, id: '0'.repeat(16), vni: 7, created: new Date(0) };
        assert.deepEqual(decodeSegment(encodeSegment(value)).subnets, planned.subnets);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a VNI', () => {
  test('is one that nobody has, of a range that others leave alone', () => {
    const taken = new Map<number, string>();
    for (let count = 0; count < 50; count++) {
      const vni = drawSegmentVni({ ...CONTEXT, vnis: taken }, () => 0.999_999_9) ?? assert.fail();
      assert.ok(vni >= 0xe00000 && vni < 0xf00000 && !taken.has(vni), `${vni}`);
      taken.set(vni, 'x');
    }
  });
});
