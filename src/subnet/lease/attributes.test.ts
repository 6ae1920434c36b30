import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defined } from '../../base/defined.ts';
import { ParseError } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { familiesOf, perFamily } from '../../base/per-family.ts';
import { fc } from '../../testing/properties.ts';
import { decodeAttributes, encodeAttributes } from './attributes.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);

describe('the value of a lease', () => {
  // What flannel stores for each backend.
  for (const [name, json] of [
    ['udp', '{"PublicIP":"1.2.3.4","PublicIPv6":null}'],
    ['host-gw', '{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendType":"host-gw"}'],
    [
      'vxlan',
      '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
    ],
    [
      'vxlan for both families',
      '{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"},"BackendV6Data":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:45"}}',
    ],
    ['extension', '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"extension","BackendData":"text"}'],
    ['IPv6 alone', '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1","BackendType":"vxlan"}'],
    [
      'ours, with members of a later version',
      '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","TulleHost":"5d1c","TulleHostName":"docker1","Later":[1]}',
    ],
    [
      'ours, reserved, and asked for by another host',
      '{"PublicIP":"1.2.3.4","PublicIPv6":null,"TulleHost":"5d1c","TulleMachine":"9f03","TulleReserved":true,"TulleClaim":{"TulleHost":"77ab","PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1"}}',
    ],
    [
      'auto',
      '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","TulleTunnelPort":4789,"TulleWays":{"direct":true,"udp":8285}}',
    ],
  ] as const) {
    test(`of ${name} is written as it was read`, () => {
      assert.equal(text(encodeAttributes(decodeAttributes(bytes(json)))), json);
    });
  }

  test('has names in any case, and no address for unspecified ones', () => {
    assert.deepEqual(
      decodeAttributes(bytes('{"publicip":"0.0.0.0","PUBLICIPV6":"::","backendtype":"","BackendData":null}')),
      { publicIp: {} },
    );
  });

  test('I5: has a name of its host that is one plain word, or none', () => {
    const nameIn = (name: unknown) =>
      decodeAttributes(bytes(JSON.stringify({ PublicIP: '1.2.3.4', TulleHostName: name })));
    assert.equal(nameIn('docker1.example.com').hostName, 'docker1.example.com');
    for (const none of ['', 'two words', '-v', '\u001b[2J', 'größe', 'x'.repeat(65), 7, null, ['a']]) {
      assert.deepEqual(Object.keys(nameIn(none)), ['publicIp'], JSON.stringify(none));
    }
  });

  test('names ways that make sense, or is none', () => {
    const waysIn = (ways: unknown) =>
      decodeAttributes(bytes(JSON.stringify({ PublicIP: '1.2.3.4', TulleWays: ways }))).ways;
    assert.deepEqual(waysIn({ direct: true, udp: 65_535 }), { direct: true, udp: 65_535 });
    assert.deepEqual(waysIn({ later: 1 }), { direct: false });
    assert.equal(waysIn(null), undefined);
    for (const wrong of ['direct', [], 7, { direct: 1 }, { udp: 0 }, { udp: 65_536 }, { udp: '8285' }]) {
      assert.throws(() => waysIn(wrong), /TulleWays/, JSON.stringify(wrong));
    }
  });

  test('keeps what nobody here knows', () => {
    const attributes = decodeAttributes(bytes('{"PublicIP":"1.2.3.4","Note":"rack 7","__proto__":{"a":1}}'));
    assert.deepEqual(Object.entries(attributes.extra ?? {}), [
      ['Note', 'rack 7'],
      ['__proto__', { a: 1 }],
    ]);
    assert.match(text(encodeAttributes(attributes)), /"Note":"rack 7","__proto__":\{"a":1\}\}$/);
  });

  // H6
  test('H6: has no number that flannel would refuse, and is written as it was read', () => {
    const json = '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendData":{"VNI":88.0},"Rack":7e0}';
    const attributes = decodeAttributes(bytes(json));
    assert.notDeepEqual(attributes.backendData?.ipv4, { VNI: 88 });
    assert.equal(text(encodeAttributes(attributes)), json);
    assert.throws(
      () => decodeAttributes(bytes('{"PublicIP":null}')),
      /PublicIP = null: must be an IPv4 address/,
    );
  });

  test('every value survives', () => {
    const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
    const address = (size: number) =>
      fc
        .uint8Array({ minLength: size, maxLength: size })
        .filter(value => value.some(byte => byte !== 0))
        .map(value => Ip.fromBytes(value));
    const perFamilyOf = <T>(ipv4: fc.Arbitrary<T | undefined>, ipv6: fc.Arbitrary<T | undefined>) =>
      fc.record({ ipv4, ipv6 }).map(record => perFamily(family => record[family]));
    const json = fc.jsonValue().filter(value => value !== null);
    fc.assert(
      fc.property(
        perFamilyOf(maybe(address(4)), maybe(address(16))),
        maybe(fc.string({ minLength: 1 })),
        perFamilyOf(maybe(json), maybe(json)),
        maybe(fc.uuid()),
        maybe(fc.uuid()),
        maybe(fc.constant(true as const)),
        (publicIp, backendType, data, hostId, machine, reserved) => {
          const backendData = familiesOf(data).length === 0 ? undefined : data;
          const given = { publicIp, ...defined({ backendType, backendData, hostId, machine, reserved }) };
          const read = decodeAttributes(encodeAttributes(given));
          assert.deepEqual(JSON.stringify(read), JSON.stringify(given));
        },
      ),
    );
  });
});

describe('what is not a lease value', () => {
  for (const [value, reason] of [
    ['', /want JSON$/],
    ['hello', /want JSON$/],
    ['null', /want a JSON object$/],
    ['[]', /want a JSON object$/],
    ['"1.2.3.4"', /want a JSON object$/],
    ['{"PublicIP":"1.2.3"}', /PublicIP = "1.2.3": must be an IPv4 address$/],
    ['{"PublicIP":""}', /PublicIP = "": must be an IPv4 address$/],
    ['{"PublicIP":16909060}', /PublicIP = 16909060: must be a string$/],
    ['{"PublicIP":"2001:db8::1"}', /PublicIP = "2001:db8::1": must be an IPv4 address$/],
    ['{"PublicIPv6":"1.2.3.4","BackendType":7}', /PublicIPv6 = .*; BackendType = 7: must be a string$/],
    ['{"PublicIP":"1.2.3.4","TulleClaim":7}', /TulleClaim = 7: must be a JSON object$/],
    ['{"TulleClaim":{"PublicIP":7}}', /TulleClaim\.PublicIP = 7: must be a string$/],
    ['{"PublicIP":"1.2.3.4","TulleHost":{}}', /TulleHost = \{\}: must be a string$/],
  ] as const) {
    test(JSON.stringify(value), () => {
      assert.throws(
        () => decodeAttributes(bytes(value)),
        (error: unknown) => error instanceof ParseError && reason.test(error.message),
      );
    });
  }

  test('any bytes are attributes or a ParseError of printable text', () => {
    const spoiled = fc.tuple(fc.nat(120), fc.uint8Array({ maxLength: 4 })).map(([at, noise]) => {
      const value = bytes(
        '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1},"TulleHost":"a"}',
      );
      return Uint8Array.from([...value.subarray(0, at), ...noise, ...value.subarray(at + noise.length)]);
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), spoiled, fc.json().map(bytes)), value => {
        try {
          decodeAttributes(value);
        } catch (error) {
          assert.ok(error instanceof ParseError);
          assert.ok(error.message.length > 0);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
