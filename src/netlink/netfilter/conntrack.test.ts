import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHex, written } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { fc } from '../../testing/properties.ts';
import { acceptAnyWindow, conntrackMessage, decodeConnection, deleteConnection } from './conntrack.ts';
import { NFPROTO_IPV4 } from './constants.ts';

const port = fc.nat(65_535);
const tuple = fc.record({
  source: fc.nat(0xffffffff).map(key => Ip.fromKey(key)),
  destination: fc.nat(0xffffffff).map(key => Ip.fromKey(key)),
  sourcePort: port,
  destinationPort: port,
});

test('what is deleted is what was listed', () => {
  fc.assert(
    fc.property(tuple, tuple, fc.nat(0xffffffff), (original, reply, id) => {
      const listed = { protocol: 17, original, reply, id };
      const { attributes } = conntrackMessage.decode(
        written(writer => deleteConnection(listed).write(writer)),
      );
      const nested = ({ source, destination, sourcePort, destinationPort }: typeof original) => ({
        ip: { ipv4Source: source, ipv4Destination: destination },
        protocol: { number: 17, sourcePort, destinationPort },
      });
      assert.equal(attributes.id, id);
      assert.ok(attributes.original?.ip?.ipv4Source?.equals(original.source));
      const payload = conntrackMessage.encode(
        { family: NFPROTO_IPV4, version: 0, resource: 0 },
        { original: nested(original), reply: nested(reply), id },
      );
      const [read, ...more] = decodeConnection(payload);
      assert.equal(more.length, 0);
      const words = (one: typeof original | undefined) =>
        one && `${one.source} ${one.sourcePort} ${one.destination} ${one.destinationPort}`;
      assert.deepEqual(
        [read?.protocol, read?.id, words(read?.original), words(read?.reply)],
        [17, id, words(original), words(reply)],
      );
    }),
  );
});

test('the window is asked for of both directions, and nothing else of the connection', () => {
  const [source, destination] = [Ip.parse('10.3.5.2'), Ip.parse('10.3.6.7')];
  const change = acceptAnyWindow({ source, destination, sourcePort: 4711, destinationPort: 80 });
  assert.equal(change.flags, 0, 'what is not tracked is not made');
  // As conntrack(8) writes the tuple and flags of a new one.
  const theirs = parseHex(
    '02 00 00 00 ' +
      '34 00 01 80 14 00 01 80 08 00 01 00 0a 03 05 02 08 00 02 00 0a 03 06 07 ' +
      '1c 00 02 80 05 00 01 00 06 00 00 00 06 00 02 00 12 67 00 00 06 00 03 00 00 50 00 00 ' +
      '18 00 04 80 14 00 01 80 06 00 04 00 08 38 00 00 06 00 05 00 08 38 00 00',
  );
  assert.deepEqual(
    written(writer => change.write(writer)),
    theirs,
  );
});

test('one without ports is no connection that is looked for', () => {
  const header = { family: NFPROTO_IPV4, version: 0, resource: 0 };
  assert.deepEqual(decodeConnection(conntrackMessage.encode(header, {})), []);
});
