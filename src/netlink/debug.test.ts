import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { written } from '../base/bytes.ts';
import { Prefix } from '../base/prefix.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';
import { formatMessage, traced } from './debug.ts';
import { change } from './route/change.ts';
import { rtnetlinkOver } from './route/connect.ts';
import { ROUTE_PROTOCOL } from './route/protocol.ts';

const message = { flags: 0x505, sequence: 7, port: 0 };

test('a message is one line', () => {
  const replace = change.replaceRoute({ destination: Prefix.parse('10.3.2.0/24'), nexthopId: 5 });
  const payload = written(writer => replace.write(writer));
  assert.equal(
    formatMessage(ROUTE_PROTOCOL, { ...message, type: replace.type, payload }),
    '#7 RTM_NEWROUTE flags=0x505 {family=2 destinationLength=24 sourceLength=0 tos=0 table=254 protocol=3 scope=0 ' +
      'type=1 flags=0} {destination=10.3.2.0 nexthopId=5}',
  );
});

test('what does not decode is shown as it is', () => {
  assert.equal(
    formatMessage(ROUTE_PROTOCOL, { ...message, type: 24, payload: Uint8Array.of(1, 2) }),
    '#7 RTM_NEWROUTE flags=0x505 01 02 (rtmsg: want u8 at byte 2, got 0 bytes left)',
  );
  assert.equal(
    formatMessage(ROUTE_PROTOCOL, { ...message, type: 99, payload: Uint8Array.of(1) }),
    '#7 type 99 flags=0x505 01',
  );
});

test('a traced transport prints both directions and changes nothing', async () => {
  const lines: string[] = [];
  const kernel = new FakeKernel();
  await using rtnetlink = rtnetlinkOver(groups =>
    traced(kernel.open(groups), ROUTE_PROTOCOL, line => lines.push(line)),
  );
  await assert.rejects(rtnetlink.links.delete('nope'), { code: 'ENODEV' });
  assert.deepEqual(lines, [
    'netlink > #1 RTM_DELLINK flags=0x5 {family=0 type=0 index=0 flags=0 change=0} {name=nope}',
    'netlink < #1 NLMSG_ERROR flags=0x100 {errno=19 extendedAck={}}',
  ]);
});

test('messages are traced where TULLE_DEBUG names netlink, alone or among others', async t => {
  const before = process.env['TULLE_DEBUG'];
  t.after(() => {
    if (before === undefined) delete process.env['TULLE_DEBUG'];
    else process.env['TULLE_DEBUG'] = before;
  });
  const lines: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => lines.push(text) > 0);
  for (const [words, expected] of [
    [undefined, 0],
    ['http', 0],
    ['netlink', 2],
    ['http,netlink', 2],
  ] as const) {
    if (words === undefined) delete process.env['TULLE_DEBUG'];
    else process.env['TULLE_DEBUG'] = words;
    await using rtnetlink = new FakeKernel().connect();
    await assert.rejects(rtnetlink.links.delete('nope'), { code: 'ENODEV' });
    assert.equal(lines.splice(0).filter(line => line.startsWith('netlink ')).length, expected, words);
  }
});
