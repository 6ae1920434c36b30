import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { ECHO_HEADER, echoRequest, IP_HEADERS, parseAnswer } from './icmp.ts';

const families = fc.constantFrom('ipv4', 'ipv6');
const word = fc.nat(0xffff);

test('a request has the size that was asked for, and the checksum of RFC 1071', () => {
  const request = echoRequest('ipv4', { id: 0x1234, sequence: 1 }, 20 + 8 + 2);
  assert.deepEqual([...request], [8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1, 0, 0]);
});

test('a reply, and an error that quotes the request, name the request', () => {
  fc.assert(
    fc.property(families, word, word, fc.integer({ min: 0, max: 1500 }), (family, id, sequence, size) => {
      const request = echoRequest(family, { id, sequence }, size);
      assert.equal(request.byteLength, Math.max(ECHO_HEADER, size - IP_HEADERS[family]));
      assert.equal(parseAnswer(family, request), undefined, 'a request answers nothing');
      const reply = request.with(0, family === 'ipv4' ? 0 : 129);
      assert.deepEqual(parseAnswer(family, reply), { kind: 'reply', id, sequence });
      const header = new Uint8Array(IP_HEADERS[family]).fill(0x45, 0, 1);
      const quoted = (...begin: number[]) => Uint8Array.from([...begin, ...header, ...request]);
      const [tooBig, gone, late] =
        family === 'ipv4'
          ? [
              quoted(3, 4, 0, 0, 0, 0, 0x05, 0x78),
              quoted(3, 1, 0, 0, 0, 0, 0, 0),
              quoted(11, 0, 0, 0, 0, 0, 0, 0),
            ]
          : [
              quoted(2, 0, 0, 0, 0, 0, 0x05, 0x78),
              quoted(1, 1, 0, 0, 0, 0, 0, 0),
              quoted(3, 0, 0, 0, 0, 0, 0, 0),
            ];
      assert.deepEqual(parseAnswer(family, tooBig), { kind: 'too big', mtu: 1400, id, sequence });
      assert.deepEqual(parseAnswer(family, gone), { kind: 'unreachable', code: 1, id, sequence });
      assert.deepEqual(parseAnswer(family, late), { kind: 'time exceeded', id, sequence });
    }),
  );
});

test('any input is read without a failure', () => {
  fc.assert(
    fc.property(families, fc.uint8Array({ maxLength: 100 }), (family, bytes) => {
      parseAnswer(family, bytes);
    }),
  );
});
