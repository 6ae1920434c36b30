import assert from 'node:assert/strict';
import { BlockList, isIP, SocketAddress } from 'node:net';
import { describe, test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { CodecError, ParseError } from './errors.ts';
import { ADDRESS_BITS, type Family, Ip } from './ip.ts';

const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(bytes => Ip.fromBytes(bytes));
/** Groups of zeros are what the shortened text is about, so they are common here. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map(groups => Ip.fromBytes(Uint8Array.from(groups.flatMap(group => [group >> 8, group & 0xff]))));
const anyIp = fc.oneof(ipv4, ipv6);

describe('Ip as text', () => {
  for (const [text, canonical] of [
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['FC00:0:0:1::', 'fc00:0:0:1::'],
    // RFC 5952 section 4.2: a single zero group is not shortened, and of two equal runs the first is.
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::0001', '2001:db8::1'],
    ['::ffff:10.1.2.3', '::ffff:a01:203'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ] as const) {
    test(`${text} is ${canonical}`, () => assert.equal(Ip.parse(text).toString(), canonical));
  }

  for (const text of [
    '',
    ' ',
    '10',
    '10.1.2',
    '10.1.2.3.4',
    '10.1.2.256',
    '10.1.2.-3',
    '10.01.2.3',
    '10.1.2.3 ',
    '0x0a.1.2.3',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    'fe80::1%eth0',
    '20011::',
    '::10.1.2',
    '10.1.2.3::',
    'g::',
  ]) {
    test(`${JSON.stringify(text)} is refused`, () => {
      assert.throws(() => Ip.parse(text), ParseError);
      assert.equal(Ip.tryParse(text), undefined);
    });
  }

  test('every address survives text, bytes and number', () => {
    fc.assert(
      fc.property(anyIp, ip => {
        assert.ok(Ip.parse(ip.toString()).equals(ip));
        assert.ok(Ip.fromBytes(ip.bytes).equals(ip));
        assert.ok(Ip.fromBigInt(ip.family, ip.toBigInt()).equals(ip));
        assert.ok(Ip.fromKey(ip.key).equals(ip));
      }),
    );
  });

  test('the canonical text of an IPv6 address is the one Node.js prints', () => {
    fc.assert(
      fc.property(ipv6, ip => {
        // Node.js (inet_ntop) writes addresses that embed an IPv4 one in its notation; RFC 5952 leaves it open.
        fc.pre(ip.toBigInt() >> 48n !== 0n);
        const node = new SocketAddress({ address: ip.toString().toUpperCase(), family: 'ipv6' });
        assert.equal(ip.toString(), node.address);
      }),
    );
  });

  test('what we accept, Node.js accepts too, and whatever the text, it never crashes', () => {
    const nearly = fc.string({ unit: fc.constantFrom(...'0123456789abcdefF:.%/ '.split('')), maxLength: 24 });
    fc.assert(
      fc.property(fc.oneof(fc.string(), nearly), text => {
        const ip = Ip.tryParse(text);
        if (ip !== undefined) assert.equal(isIP(text), ip.family === 'ipv4' ? 4 : 6);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('Ip as a value', () => {
  test('does not alias the bytes it came from or gives away', () => {
    const bytes = Uint8Array.of(10, 1, 2, 3);
    const ip = Ip.fromBytes(bytes);
    bytes[0] = 99;
    ip.bytes[1] = 99;
    assert.equal(ip.toString(), '10.1.2.3');
  });

  test('other lengths are no address', () => {
    for (const length of [0, 3, 5, 15, 17]) {
      assert.throws(() => Ip.fromBytes(new Uint8Array(length)), CodecError);
    }
  });

  test('order is the order of the numbers, IPv4 before IPv6', () => {
    fc.assert(
      fc.property(anyIp, anyIp, (a, b) => {
        const key = (ip: Ip) => ip.toBigInt() + (ip.family === 'ipv6' ? 1n << 128n : 0n);
        const want = key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0;
        assert.equal(Math.sign(a.compare(b)), want);
        assert.equal(a.equals(b), want === 0);
      }),
    );
  });

  test('keys are equal for equal addresses only, whatever the family', () => {
    const near = fc
      .bigInt(0n, 2n)
      .chain(value => fc.constantFrom(Ip.fromBigInt('ipv4', value), Ip.fromBigInt('ipv6', value)));
    fc.assert(fc.property(near, near, (a, b) => assert.equal(a.key === b.key, a.equals(b))));
    for (const key of [-1, 2 ** 32, 1.5, Number.NaN, -1n, 1n << 128n]) {
      assert.throws(() => Ip.fromKey(key), RangeError, `${key}`);
    }
  });

  test('counting on is addition and never wraps', () => {
    fc.assert(
      fc.property(anyIp, fc.bigInt(-(1n << 33n), 1n << 33n), (ip, count) => {
        const sum = ip.toBigInt() + count;
        if (sum < 0n || sum >> BigInt(ADDRESS_BITS[ip.family]))
          assert.throws(() => ip.plus(count), RangeError);
        else {
          assert.equal(ip.plus(count).toBigInt(), sum);
          assert.equal(ip.plus(Number(count)).toBigInt(), sum);
        }
      }),
    );
  });

  test('the kinds of addresses are those of the registries', () => {
    const kinds: [keyof Ip & `is${string}`, Family, string, number][] = [
      ['isLoopback', 'ipv4', '127.0.0.0', 8],
      ['isLoopback', 'ipv6', '::1', 128],
      ['isMulticast', 'ipv4', '224.0.0.0', 4],
      ['isMulticast', 'ipv6', 'ff00::', 8],
      ['isLinkLocal', 'ipv4', '169.254.0.0', 16],
      ['isLinkLocal', 'ipv6', 'fe80::', 10],
      ['isReserved', 'ipv4', '240.0.0.0', 4],
      ['isUnspecified', 'ipv4', '0.0.0.0', 32],
      ['isUnspecified', 'ipv6', '::', 128],
    ];
    for (const [kind, family, network, length] of kinds) {
      const list = new BlockList();
      list.addSubnet(network, length, family);
      const inside = Ip.parse(network);
      const near = [inside, ...(inside.toBigInt() > 0n ? [inside.plus(-1)] : []), inside.plus(1)];
      fc.assert(
        fc.property(fc.oneof(family === 'ipv4' ? ipv4 : ipv6, fc.constantFrom(...near)), ip => {
          assert.equal(ip[kind], list.check(ip.toString(), family), `${kind} of ${ip}`);
        }),
      );
    }
  });

  test('an address is a string in JSON', () => {
    assert.equal(JSON.stringify({ ip: Ip.parse('10.0.0.1') }), '{"ip":"10.0.0.1"}');
  });
});
