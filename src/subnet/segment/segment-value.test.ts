import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defined } from '../../base/defined.ts';
import { ParseError } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { byFamily, mapFamilies } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { isSegmentName } from './segment.ts';
import { formatRange, parseRange, parseSegmentKey, parseVniKey, SegmentKeys } from './segment-key.ts';
import {
  decodeEndpoint,
  decodeMember,
  decodeSegment,
  decodeSegmentRange,
  encodeEndpoint,
  encodeMember,
  encodeSegment,
  encodeSegmentRange,
  isHostAddress,
} from './segment-value.ts';

const bytes = (value: unknown) =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

const addressOf = (size: 4 | 16) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map(value => Ip.fromBytes(value));
const anyAddress = fc.oneof(addressOf(4), addressOf(16));
const mac = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map(value => Mac.fromBytes(value))
  .filter(({ isUnicast }) => isUnicast);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const host = fc
  .record({ hostId: fc.uuid(), hostName: maybe(fc.constantFrom('docker1', 'a.example.com')) })
  .map(({ hostId, hostName }) => ({ hostId, ...defined({ hostName }) }));

const segment = fc
  .record({
    id: fc.bigInt(0n, 2n ** 64n - 1n).map(id => id.toString(16).padStart(16, '0')),
    vni: fc.integer({ min: 1, max: 2 ** 24 - 1 }),
    port: fc.integer({ min: 1, max: 65_535 }),
    subnets: fc
      .tuple(addressOf(4), addressOf(16), fc.integer({ min: 1, max: 3 }))
      .map(([v4, v6, which]) =>
        byFamily(...[Prefix.of(v4, 20), Prefix.of(v6, 64)].filter((_, at) => which & (1 << at))),
      ),
    hasGateway: fc.boolean(),
    internal: fc.boolean(),
    docker: fc.boolean(),
    floodLimit: fc.integer({ min: 1, max: 1_000_000 }),
    mtu: maybe(fc.integer({ min: 68, max: 65_535 })),
    created: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-01-01') }),
  })
  .map(({ hasGateway, mtu, ...rest }) => ({
    ...rest,
    ...defined({ mtu }),
    gateways: hasGateway ? mapFamilies(rest.subnets, ({ ip }) => ip.plus(1)) : {},
    rangeLengths: mapFamilies(rest.subnets, ({ length }) => length + 4),
  }));

const same = (a: unknown, b: unknown) => assert.equal(JSON.stringify(a), JSON.stringify(b));

describe('values of L2 networks', () => {
  test('survive, whatever they say', () => {
    fc.assert(
      fc.property(segment, value => {
        const read = decodeSegment(encodeSegment(value));
        assert.deepEqual(read.subnets, value.subnets);
        assert.deepEqual({ ...read, created: +read.created }, { ...value, created: +value.created });
      }),
    );
    fc.assert(
      fc.property(host, anyAddress.filter(isHostAddress), maybe(mac), (of, address, vtep) => {
        const member = { ...of, addresses: byFamily(address), ...defined({ mac: vtep }) };
        same(decodeMember(of.hostId, encodeMember(member)), member);
      }),
    );
    fc.assert(
      fc.property(host, anyAddress, mac, (of, ip, own) => {
        const endpoint = { ip, mac: own, ...of, container: 'web' };
        same(decodeEndpoint(ip, encodeEndpoint(endpoint)), endpoint);
      }),
    );
    fc.assert(
      fc.property(host, anyAddress, maybe(fc.constantFrom('9f03', 'a')), (of, ip, machine) => {
        const range = { block: Prefix.of(ip, 24), ...of, ...defined({ machine }) };
        same(decodeSegmentRange(range.block, encodeSegmentRange(range)), range);
      }),
    );
  });

  const GOOD = {
    id: '9f0c41d2a7e35b68',
    vni: 7,
    port: 4789,
    subnets: ['10.9.0.0/16'],
    gateways: ['10.9.0.1'],
    rangeLengths: [24],
    created: '2026-11-29T18:35:00.000Z',
  };

  test('have what a later version adds, and not what is null', () => {
    const read = decodeSegment(bytes({ ...GOOD, later: { a: 1 }, mtu: null, internal: null }));
    assert.deepEqual([read.mtu, read.internal, read.docker], [undefined, false, false]);
    // A name that nobody could have is no reason to do without the rest.
    const member = decodeMember('a', bytes({ hostName: '\u001b[2J', addresses: ['192.0.2.1'] }));
    assert.deepEqual(Object.keys(member), ['hostId', 'addresses']);
  });

  for (const [name, value, reason] of [
    ['no JSON', '{', /want JSON$/],
    ['no object', '[]', /want a JSON object$/],
    ['no UTF-8', Uint8Array.of(0xff), /want JSON$/],
    ['too much', { ...GOOD, x: 'x'.repeat(2100) }, /has \d+ bytes, and 2048 are the most$/],
    [
      'everything missing',
      {},
      /id.*16 hex.*vni.*missing.*port.*missing.*subnets.*list.*gateways.*list.*created/,
    ],
    ['another id', { ...GOOD, id: '9F' }, /id = "9F"/],
    ['VNI 0', { ...GOOD, vni: 0 }, /vni = 0: must be between 1 and 16777215/],
    ['a fraction', { ...GOOD, port: 1.5 }, /port = 1.5: must be a whole number/],
    ['no subnet', { ...GOOD, subnets: [], gateways: [], rangeLengths: [] }, /subnets.*must hold a block/],
    ['two of a family', { ...GOOD, subnets: ['10.9.0.0/16', '10.8.0.0/16'] }, /one of each family/],
    ['three', { ...GOOD, subnets: ['a', 'b', 'c'] }, /list of at most two/],
    ['a gateway elsewhere', { ...GOOD, gateways: ['10.8.0.1'] }, /gateways.*inside the subnets/],
    ['a short range', { ...GOOD, rangeLengths: [15] }, /rangeLengths.*between 16 and 32/],
    ['no range', { ...GOOD, rangeLengths: [] }, /rangeLengths/],
    ['no time', { ...GOOD, created: 'now' }, /created = "now": must be a time/],
  ] as const) {
    test(`are refused with ${name}`, () => {
      assert.throws(
        () => decodeSegment(value instanceof Uint8Array ? value : bytes(value)),
        (error: unknown) => error instanceof ParseError && reason.test(error.message),
      );
    });
  }
});

describe('keys of L2 networks', () => {
  const keys = new SegmentKeys('/coreos.com/network');

  test('are read as they are written', () => {
    fc.assert(
      fc.property(anyAddress, fc.nat(32), fc.uuid(), (ip, length, hostId) => {
        const block = Prefix.of(ip, length);
        const read = (path: string) => parseSegmentKey(keys.below(path) ?? '');
        same(read(keys.endpoint('blue', ip)), { kind: 'endpoint', name: 'blue', ip });
        same(read(keys.range('blue', block)), { kind: 'range', name: 'blue', block });
        same(read(keys.member('blue', hostId)), { kind: 'member', name: 'blue', hostId });
        assert.ok(parseRange(formatRange(block))?.equals(block));
      }),
    );
    same(parseSegmentKey('blue/config'), { kind: 'config', name: 'blue' });
    assert.equal(parseVniKey('16777215'), 16_777_215);
  });

  test('are nothing else', () => {
    const wrong = [
      '',
      'blue',
      'blue/',
      'blue/config/',
      'blue/config/x',
      'Blue/config',
      'none/config',
      `${'x'.repeat(33)}/config`,
      'blue/endpoints/10.9.1.02',
      'blue/endpoints/FD00::1',
      'blue/endpoints/10.9.1.2/x',
      'blue/ranges/10.9.1.1-24',
      'blue/ranges/10.9.1.0/24',
      'blue/ranges/10.9.1.0-024',
      'blue/ranges/10.9.1.0',
      'blue/members/',
      'blue/members/a b',
      '../config/members/a',
    ];
    for (const key of wrong) assert.equal(parseSegmentKey(key), undefined, key);
    for (const key of ['0', '01', '16777216', 'x', '']) assert.equal(parseVniKey(key), undefined, key);
    fc.assert(
      fc.property(fc.string(), key => {
        const parsed = parseSegmentKey(key);
        assert.ok(parsed === undefined || isSegmentName(parsed.name));
      }),
    );
  });
});
