import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { familiesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { isLeasable, parseNetworkConfig, subnetCount } from './config.ts';

const parse = (value: unknown) => parseNetworkConfig(JSON.stringify(value));

/** One family as flannel's tests write it: network, length, first and last subnet. */
function family(value: unknown, name: 'ipv4' | 'ipv6' = 'ipv4'): string[] {
  const found = parse(value).config[name];
  assert.ok(found);
  return [found.network, found.subnetLength, found.subnetMin, found.subnetMax].map(String);
}

function problemsOf(value: unknown): string[] {
  try {
    parseNetworkConfig(typeof value === 'string' ? value : JSON.stringify(value));
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}

describe("flannel's defaults and arithmetic", () => {
  for (const [given, want] of [
    [{ network: '10.3.0.0/16' }, ['10.3.0.0/16', '24', '10.3.1.0', '10.3.255.0']],
    [{ Network: '10.3.4.5/16' }, ['10.3.0.0/16', '24', '10.3.1.0', '10.3.255.0']],
    [{ Network: '10.3.0.0/22' }, ['10.3.0.0/22', '24', '10.3.1.0', '10.3.3.0']],
    [{ Network: '10.3.0.0/23' }, ['10.3.0.0/23', '25', '10.3.0.128', '10.3.1.128']],
    [{ Network: '10.3.7.0/24' }, ['10.3.7.0/24', '26', '10.3.7.64', '10.3.7.192']],
    [{ Network: '10.3.7.0/28' }, ['10.3.7.0/28', '30', '10.3.7.4', '10.3.7.12']],
    [{ Network: '255.255.0.0/16' }, ['255.255.0.0/16', '24', '255.255.1.0', '255.255.255.0']],
    [{ Network: '188.172.0.0/16', SubnetLen: 0 }, ['188.172.0.0/16', '24', '188.172.1.0', '188.172.255.0']],
    [
      { Network: '10.3.0.0/16', SubnetMin: '0.0.0.0', SubnetMax: '0.0.0.0' },
      ['10.3.0.0/16', '24', '10.3.1.0', '10.3.255.0'],
    ],
    [
      { Network: '10.3.0.0/16', SubnetMin: '10.3.5.0', SubnetMax: '10.3.8.0', SubnetLen: 28 },
      ['10.3.0.0/16', '28', '10.3.5.0', '10.3.8.0'],
    ],
    [
      { Network: '10.3.0.0/16', SubnetMin: '10.3.0.0', SubnetLen: 18 },
      ['10.3.0.0/16', '18', '10.3.0.0', '10.3.192.0'],
    ],
  ] as const) {
    test(JSON.stringify(given), () => assert.deepEqual(family(given), want));
  }

  const off = { enableIPv4: false, enableIPv6: true };
  for (const [given, want] of [
    [{ ipv6Network: 'fc00::/48' }, ['fc00::/48', '64', 'fc00:0:0:1::', 'fc00:0:0:ffff::']],
    [{ IPv6Network: 'fc00::/62' }, ['fc00::/62', '64', 'fc00:0:0:1::', 'fc00:0:0:3::']],
    [{ IPv6Network: 'fc00::/63' }, ['fc00::/63', '65', 'fc00::8000:0:0:0', 'fc00:0:0:1:8000::']],
    [{ IPv6Network: 'fc00::/124' }, ['fc00::/124', '126', 'fc00::4', 'fc00::c']],
    [
      {
        IPv6Network: 'fc00::/48',
        IPv6SubnetMin: 'fc00:0:0:1::',
        IPv6SubnetMax: 'fc00:0:0:f::',
        IPv6SubnetLen: 124,
      },
      ['fc00::/48', '124', 'fc00:0:0:1::', 'fc00:0:0:f::'],
    ],
    [
      { IPv6Network: 'fc00::/48', IPv6SubnetMin: '::', IPv6SubnetMax: null },
      ['fc00::/48', '64', 'fc00:0:0:1::', 'fc00:0:0:ffff::'],
    ],
  ] as const) {
    test(JSON.stringify(given), () => assert.deepEqual(family({ ...off, ...given }, 'ipv6'), want));
  }

  test('both families', () => {
    const both = { Network: '10.3.0.0/16', EnableIPv6: true, IPv6Network: 'fc00::/48' };
    assert.deepEqual(familiesOf(parse(both).config), ['ipv4', 'ipv6']);
    assert.deepEqual(familiesOf(parse({ Network: '10.3.0.0/16' }).config), ['ipv4']);
    assert.deepEqual(familiesOf(parse({ ...off, IPv6Network: 'fc00::/48' }).config), ['ipv6']);
  });

  test('whatever the network, the subnets tile it without the first one', () => {
    const given = fc
      .record({
        // What is neither loopback, link-local nor multicast.
        address: fc.bigInt(170n << 24n, (224n << 24n) - 1n),
        length: fc.integer({ min: 8, max: 28 }),
        extra: fc.integer({ min: 2, max: 30 }),
      })
      .filter(({ length, extra }) => length + extra <= 30);
    fc.assert(
      fc.property(given, fc.boolean(), ({ address, length, extra }, explicit) => {
        const network = Prefix.of(Ip.fromBigInt('ipv4', address), length);
        const subnetLength = explicit ? length + extra : length <= 22 ? 24 : length + 2;
        const { ipv4 } = parse({
          Network: `${network}`,
          ...(explicit ? { SubnetLen: subnetLength } : {}),
        }).config;
        assert.ok(ipv4);
        assert.equal(ipv4.subnetLength, subnetLength);
        assert.equal(subnetCount(ipv4), 2n ** BigInt(subnetLength - length) - 1n);
        const [first, last] = [ipv4.subnetMin, ipv4.subnetMax].map(ip => Prefix.of(ip, subnetLength));
        assert.ok(first && last);
        assert.equal(first.ip.plus(-1).compare(Prefix.of(network.ip, subnetLength).last), 0);
        assert.ok(last.last.equals(network.last));
        assert.ok(isLeasable(ipv4, first) && isLeasable(ipv4, last));
        assert.ok(!isLeasable(ipv4, Prefix.of(network.ip, subnetLength)));
      }),
    );
  });
});

describe('the backend', () => {
  const withBackend = (Backend: unknown) => ({ Network: '10.3.0.0/16', Backend });

  test('is udp when it is missing, as in flannel', () => {
    assert.deepEqual(parse({ Network: '10.3.0.0/16' }).config.backend, { type: 'udp', options: {} });
  });

  test('has its type in lower case and its options as written', () => {
    const options = { tYpE: 'VXLAN', VNI: 88, Port: 4789 };
    assert.deepEqual(parse(withBackend(options)).config.backend, { type: 'vxlan', options });
  });

  for (const wrong of [{}, { VNI: 1 }, { Type: '' }, { Type: 7 }, null, 'vxlan', ['vxlan']]) {
    test(`${JSON.stringify(wrong)} is refused`, () => {
      assert.match(problemsOf(withBackend(wrong)).join(), /^Backend: /);
    });
  }
});

describe('problems', () => {
  for (const [given, want] of [
    ['', ['config: is not JSON: Unexpected end of JSON input']],
    ['[]', ['config: must be a JSON object']],
    ['null', ['config: must be a JSON object']],
    [{}, ['Network: is missing']],
    [{ Network: '' }, ['Network: is missing']],
    [{ Network: null }, ['Network: must be a string']],
    [{ Network: '10.3.0.0' }, ['Network: must be an address with a prefix length, such as 10.5.0.0/16']],
    [{ Network: 'fc00::/48' }, ['Network: must be an IPv4 network']],
    // A4
    [{ Network: '127.5.0.0/16' }, ['Network: must not overlap 127.0.0.0/8, which is loopback']],
    [{ Network: '169.254.0.0/16' }, ['Network: must not overlap 169.254.0.0/16, which is link-local']],
    [{ Network: '128.0.0.0/1' }, ['Network: must not overlap 169.254.0.0/16, which is link-local']],
    [{ Network: '239.0.0.0/8' }, ['Network: must not overlap 224.0.0.0/4, which is multicast']],
    [
      { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fe80::/48' },
      ['IPv6Network: must not overlap fe80::/10, which is link-local'],
    ],
    [
      { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'ff05::/16' },
      ['IPv6Network: must not overlap ff00::/8, which is multicast'],
    ],
    [{ Network: '0.0.0.0/0' }, ['Network: must not be the whole address space']],
    [{ Network: '10.3.0.0/29' }, ['Network: is too small: must be /28 or shorter']],
    [{ Network: '10.3.0.0/31', SubnetLen: 30 }, ['Network: is too small: must be /28 or shorter']],
    [{ Network: '10.3.0.0/16', SubnetLen: 17 }, ['SubnetLen: must be at least 18 for 10.3.0.0/16']],
    [{ Network: '10.3.0.0/16', SubnetLen: 31 }, ['SubnetLen: must be between 0 and 30']],
    [{ Network: '10.3.0.0/16', SubnetLen: '24' }, ['SubnetLen: must be a whole number']],
    [{ Network: '10.3.0.0/16', SubnetMin: '10.4.0.0' }, ['SubnetMin: must be inside 10.3.0.0/16']],
    [{ Network: '10.3.0.0/16', SubnetMax: '10.3.8.1' }, ['SubnetMax: must be the first address of a /24']],
    [{ Network: '10.3.0.0/16', SubnetMin: 'fc00::' }, ['SubnetMin: must be an IPv4 address']],
    [
      { Network: '10.3.0.0/16', SubnetMin: '10.3.8.0', SubnetMax: '10.3.5.0' },
      ['SubnetMin: is 10.3.8.0, after SubnetMax, which is 10.3.5.0'],
    ],
    [{ Network: '10.3.0.0/16', EnableIPv6: true }, ['IPv6Network: is missing']],
    [
      { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/125' },
      ['IPv6Network: is too small: must be /124 or shorter'],
    ],
    [
      { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/48', IPv6SubnetLen: 127 },
      ['IPv6SubnetLen: must be between 0 and 126'],
    ],
    [{ Network: '10.3.0.0/16', EnableIPv4: false }, ['EnableIPv4: IPv4 and IPv6 are both off']],
    [{ Network: '10.3.0.0/16', EnableNFTables: 'yes' }, ['EnableNFTables: must be true or false']],
    [{ Network: '10.3.0.0/16', FastPath: 'on' }, ['FastPath: must be "auto" or "off"']],
    [{ Network: '10.3.0.0/16', FastPath: false }, ['FastPath: must be a string']],
  ] as const) {
    test(typeof given === 'string' ? JSON.stringify(given) : JSON.stringify(given), () => {
      assert.deepEqual(problemsOf(given), want);
    });
  }

  test('all at once, each with its value', () => {
    const given = {
      Network: '10.3.0.0/16',
      SubnetLen: 17,
      SubnetMin: 'x',
      EnableIPv6: 1,
      Backend: { type: 5 },
    };
    assert.throws(
      () => parse(given),
      (error: ConfigError) => {
        assert.deepEqual(
          error.problems.map(({ path, value }) => [path, value]),
          [
            ['EnableIPv6', 1],
            ['SubnetMin', 'x'],
            ['SubnetLen', 17],
            ['Backend', { type: 5 }],
          ],
        );
        return true;
      },
    );
  });
});

// H6: what flannel's Go types do not take was taken here, so that hosts of one network would not agree.
describe('H6: values are read as encoding/json reads them for flannel', () => {
  const integers: readonly ((text: string) => string)[] = [
    text => `{"Network": "10.3.0.0/16", "SubnetLen": ${text}}`,
    text => `{"Network": "10.3.0.0/16", "IPv6SubnetLen": ${text}}`,
    text => `{"IPv6Network": "fc00::/48", "EnableIPv4": false, "EnableIPv6": true, "SubnetLen": ${text}}`,
  ];
  const digits = fc.integer({ min: 18, max: 30 });
  const spelled = fc.oneof(
    digits.map(number => ({ text: `${number}`, isInteger: true })),
    fc
      .tuple(digits, fc.constantFrom('.0', '.5', 'e0', 'E+0', '.0e0', 'e-1'))
      .map(([number, tail]) => ({ text: `${number}${tail}`, isInteger: false })),
    fc
      .constantFrom('2.4e1', '-0', '-24', '"24"', 'true', '[]', '{}')
      .map(text => ({ text, isInteger: false })),
    fc.constant({ text: 'null', isInteger: true }),
  );

  test('an integer has neither point nor exponent', () => {
    fc.assert(
      fc.property(fc.constantFrom(...integers), spelled, (configWith, { text, isInteger }) => {
        const problems = problemsOf(configWith(text));
        assert.equal(problems.length, isInteger ? 0 : 1, `${configWith(text)}: ${problems.join()}`);
      }),
    );
  });

  test('a number is shown as it was written', () => {
    assert.throws(() => parseNetworkConfig('{"Network": "10.3.0.0/16", "SubnetLen": 2.40e1}'), {
      message: 'network configuration: SubnetLen = 2.40e1: must be a whole number',
    });
  });

  for (const [text, want] of [
    ['{"Network": "10.3.0.0/16", "SubnetMin": null}', ['SubnetMin: must be an IPv4 address']],
    ['{"Network": "10.3.0.0/16", "SubnetMax": ""}', ['SubnetMax: must be an IPv4 address']],
    ['{"Network": "10.3.0.0/16", "IPv6SubnetMin": null, "SubnetLen": null, "EnableIPv6": null}', []],
    ['{"Network": "10.3.0.0/16", "IPv6SubnetMin": "nonsense"}', ['IPv6SubnetMin: must be an IPv6 address']],
    ['{"Network": "10.3.0.0/16", "IPv6SubnetLen": "64"}', ['IPv6SubnetLen: must be a whole number']],
    ['{"Network": "10.3.0.0/16", "IPv6Network": null}', ['IPv6Network: must be a string']],
    [
      '{"Network": "10.3.0.0/16", "IPv6Network": "nonsense"}',
      ['IPv6Network: must be an address with a prefix length, such as fd00:5::/48'],
    ],
    [
      '{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fc00::/48", "Network": "10.3.0.0", "SubnetMin": null}',
      [
        'SubnetMin: must be an IPv4 address',
        'Network: must be an address with a prefix length, such as 10.5.0.0/16',
      ],
    ],
    ['{"Network": "10.3.0.0/16", "\u017fubnetLen": "24"}', ['SubnetLen: must be a whole number']],
  ] as const) {
    test(text, () => assert.deepEqual(problemsOf(text), want));
  }
});

describe('warnings', () => {
  const warningsOf = (value: unknown) =>
    parse(value).warnings.map(({ path, message }) => `${path} ${message}`);

  test('a key nobody knows is named, as it was spelled', () => {
    const { warnings } = parse({ Network: '10.3.0.0/16', SubnetLenght: 24 });
    assert.deepEqual(warnings, [
      {
        path: 'SubnetLenght',
        message: 'is not a key of the network configuration and has no effect',
        hint: 'did you mean SubnetLen?',
      },
    ]);
  });

  test('a network of a family that is off is named', () => {
    assert.deepEqual(warningsOf({ Network: '10.3.0.0/16', IPv6Network: 'fc00::/48', IPv6SubnetLen: 200 }), [
      'IPv6Network has no effect while EnableIPv6 is false',
      'IPv6SubnetLen has no effect while EnableIPv6 is false',
    ]);
  });

  test('what flannel writes itself is no mistake', () => {
    assert.deepEqual(warningsOf({ Network: '10.3.0.0/16', Networks: [], IPv6SubnetMin: null }), []);
  });
});

test('any text either parses or is refused with problems', () => {
  const keys = [
    'Network',
    'network',
    'SubnetLen',
    'SubnetMin',
    'SubnetMax',
    'EnableIPv4',
    'EnableIPv6',
    'IPv6Network',
    'IPv6SubnetLen',
    'IPv6SubnetMin',
    'Backend',
  ];
  const values = fc.oneof(
    fc.constantFrom(
      '10.3.0.0/16',
      'fc00::/48',
      '10.3.1.0',
      '0.0.0.0/0',
      '255.255.255.255/32',
      '::/0',
      'fc00:0:0:1::',
    ),
    fc.integer({ min: -1, max: 130 }),
    fc.boolean(),
    fc.jsonValue(),
  );
  const nearly = fc.dictionary(fc.constantFrom(...keys), values).map(value => JSON.stringify(value));
  fc.assert(
    fc.property(fc.oneof(nearly, nearly, fc.json(), fc.string()), text => {
      let config: ReturnType<typeof parseNetworkConfig>['config'];
      try {
        config = parseNetworkConfig(text).config;
      } catch (error) {
        assert.ok(error instanceof ConfigError && error.problems.length > 0);
        return;
      }
      for (const name of familiesOf(config)) {
        const found = config[name];
        assert.ok(
          found && found.network.contains(found.subnetMin) && found.network.contains(found.subnetMax),
        );
        assert.ok(subnetCount(found) >= 1n);
      }
    }),
    { numRuns: 2000 },
  );
});
