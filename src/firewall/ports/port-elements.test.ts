import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADDRESS_BITS, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { bridgeElements, elementId, forwardElement, type PortForward, readForward } from './port-elements.ts';

const port = fc.integer({ min: 1, max: 65_535 });
const address = (bits: 32 | 128) =>
  bits === 32
    ? fc.nat(0xffffffff).map(key => Ip.fromKey(key))
    : fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map(key => Ip.fromKey(key));
const forward = fc
  .constantFrom(32 as const, 128 as const)
  .chain(bits =>
    fc.record({
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
      hostIp: fc.option(address(bits), { nil: undefined }),
      hostPort: port,
      target: address(bits),
      targetPort: port,
      comment: fc.string({ unit: 'binary', maxLength: 300 }),
    }),
  )
  .map(({ hostIp, ...rest }): PortForward => ({ ...rest, ...(hostIp && { hostIp }) }));

test('an element says what it was made from', () => {
  fc.assert(
    fc.property(forward, ({ comment, ...wanted }) => {
      const { set, element } = forwardElement({ ...wanted, comment });
      const read = readForward(set, element);
      assert.deepEqual(
        [read?.protocol, `${read?.hostIp}`, read?.hostPort, `${read?.target}`, read?.targetPort],
        [wanted.protocol, `${wanted.hostIp}`, wanted.hostPort, `${wanted.target}`, wanted.targetPort],
      );
    }),
  );
});

test('two ports have one place in the table exactly if they are the same port at the same address', () => {
  fc.assert(
    fc.property(forward, forward, (one, other) => {
      const place = ({ target, hostIp, protocol, hostPort }: PortForward) =>
        `${target.family} ${hostIp} ${protocol} ${hostPort}`;
      assert.equal(
        elementId(forwardElement(one)) === elementId(forwardElement(other)),
        place(one) === place(other),
      );
    }),
  );
});

test('no comment ends the text around it, or is too long for nft', () => {
  fc.assert(
    fc.property(forward, wanted => {
      const { text, element } = forwardElement(wanted);
      const { comment = '' } = element;
      assert.match(comment, /^[\x20-\x7e]{0,127}$/);
      assert.ok(!/["\\\n]/.test(comment));
      assert.equal(text.split('"').length, 3);
    }),
  );
});

test('elements are written as nft reads them', () => {
  const target = Ip.parse('10.88.0.2');
  const tcp = { protocol: 'tcp', hostPort: 8080, target, targetPort: 80, comment: 'web on "blue"' } as const;
  const elements = [
    forwardElement(tcp),
    forwardElement({ ...tcp, hostIp: Ip.parse('192.0.2.1') }),
    forwardElement({ ...tcp, protocol: 'udp', target: Ip.parse('fd88::2') }),
    ...bridgeElements('tb-blue', { ipv4: Prefix.parse('10.88.0.0/16'), ipv6: Prefix.parse('fd88::/64') }),
  ];
  assert.deepEqual(
    elements.map(({ set, text }) => `${set} ${text}`),
    [
      'ip-any tcp . 8080 comment "web on ?blue?" : 10.88.0.2 . 80',
      'ip-one 192.0.2.1 . tcp . 8080 comment "web on ?blue?" : 10.88.0.2 . 80',
      'ip6-any udp . 8080 comment "web on ?blue?" : fd88::2 . 80',
      'bridges "tb-blue"',
      'masquerade-ip "tb-blue" . 10.88.0.0/16',
      'masquerade-ip6 "tb-blue" . fd88::/64',
      'masquerade-ip "tb-blue" . 127.0.0.0/8',
    ],
  );
  assert.equal(ADDRESS_BITS.ipv4 / 8 + 4, elements[0]?.element.data?.byteLength);
});
