import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseHex } from './bytes.ts';
import { CodecError } from './errors.ts';
import { Ip } from './ip.ts';
import { Mac } from './mac.ts';
import { neighborAnnouncement, neighborProbe, readNeighborMessage } from './neighbor-messages.ts';

const STATION = '020000000003';
const ARP = '0001 0800 06 04';
const SENDER = `${STATION} 0a090003`;

function said(hex: string) {
  const { claim, wanted } = readNeighborMessage(parseHex(hex)) ?? {};
  return { claim: claim && `${claim.ip} ${claim.mac}`, wanted: wanted && `${wanted}` };
}

describe('an ARP message', () => {
  test('says where its sender is, and whom it looks for', () => {
    assert.deepEqual(said(`ffffffffffff ${STATION} 0806 ${ARP} 0001 ${SENDER} 000000000000 0a090004`), {
      claim: '10.9.0.3 02:00:00:00:00:03',
      wanted: '10.9.0.4',
    });
  });

  test('says only where its sender is when it announces or answers', () => {
    const announced = `ffffffffffff ${STATION} 0806 ${ARP} 0001 ${SENDER} 000000000000 0a090003`;
    const answered = `020000000004 ${STATION} 0806 ${ARP} 0002 ${SENDER} 020000000004 0a090004`;
    const claim = '10.9.0.3 02:00:00:00:00:03';
    for (const hex of [announced, answered]) assert.deepEqual(said(hex), { claim, wanted: undefined });
  });

  test('claims nothing for another station, for no address, or for a group', () => {
    const of = (mac: string, ip: string) =>
      said(`ffffffffffff ${STATION} 0806 ${ARP} 0001 ${mac} ${ip} 000000000000 0a090004`).claim;
    assert.equal(of('020000000009', '0a090003'), undefined);
    assert.equal(of(STATION, '00000000'), undefined);
    assert.equal(of(STATION, 'e0000001'), undefined);
    assert.equal(
      said(`ffffffffffff 030000000003 0806 ${ARP} 0001 030000000003 0a090003 000000000000 0a090004`).claim,
      undefined,
    );
  });

  test('of another kind is none', () => {
    assert.equal(
      readNeighborMessage(parseHex(`ffffffffffff ${STATION} 0806 0006 0800 06 04 0001`)),
      undefined,
    );
  });
});

const IP6 = 'fd000000000000000000000000000003';
const OTHER6 = 'fd000000000000000000000000000004';
const ipv6 = (source: string, message: string, hopLimit = 'ff', next = '3a') =>
  `3333ff000004 ${STATION} 86dd 60000000 0020 ${next} ${hopLimit} ${source} ff0200000000000000000001ff000004 ${message}`;

describe('neighbor discovery', () => {
  test('says where its sender is, and whom it looks for', () => {
    assert.deepEqual(said(ipv6(IP6, `8700 0000 00000000 ${OTHER6} 0101 ${STATION}`)), {
      claim: 'fd00::3 02:00:00:00:00:03',
      wanted: 'fd00::4',
    });
  });

  test('says with an advertisement where its target is', () => {
    assert.deepEqual(
      said(ipv6('fe800000000000000000000000000003', `8800 0000 60000000 ${IP6} 0201 ${STATION}`)),
      {
        claim: 'fd00::3 02:00:00:00:00:03',
        wanted: undefined,
      },
    );
  });

  test('claims nothing while an address is still tried, or without an address of the link', () => {
    const none = '00000000000000000000000000000000';
    assert.deepEqual(said(ipv6(none, `8700 0000 00000000 ${OTHER6}`)), {
      claim: undefined,
      wanted: 'fd00::4',
    });
    assert.deepEqual(said(ipv6(IP6, `8700 0000 00000000 ${OTHER6}`)), {
      claim: undefined,
      wanted: 'fd00::4',
    });
    assert.deepEqual(said(ipv6(IP6, `8700 0000 00000000 ${OTHER6} 0100 ${STATION}`)).claim, undefined);
  });

  test('that crossed a router, or is another message, is none', () => {
    const message = `8700 0000 00000000 ${OTHER6} 0101 ${STATION}`;
    assert.equal(readNeighborMessage(parseHex(ipv6(IP6, message, 'fe'))), undefined);
    assert.equal(readNeighborMessage(parseHex(ipv6(IP6, message, 'ff', '11'))), undefined);
    assert.equal(readNeighborMessage(parseHex(ipv6(IP6, '8000 0000 00000000'))), undefined);
  });
});

test('a frame that is cut off is an error', () => {
  const whole = parseHex(`ffffffffffff ${STATION} 0806 ${ARP} 0001 ${SENDER} 000000000000 0a090004`);
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => readNeighborMessage(whole.subarray(0, length)), CodecError);
  }
});

test('a probe looks for an address, and claims none of the network', () => {
  const mac = Mac.parse('02:00:00:00:00:01');
  for (const ip of ['10.9.0.4', 'fd00::4'].map(Ip.parse)) {
    const message = readNeighborMessage(neighborProbe(ip, mac));
    assert.ok(message?.wanted?.equals(ip));
    assert.equal(message?.claim?.ip.isLinkLocal ?? true, true);
  }
});

test('an announcement claims an address for the station that has it, and is sent by another one', () => {
  const [mac, from] = ['02:00:00:00:00:01', '02:00:00:00:00:02'].map(text => Mac.parse(text)) as [Mac, Mac];
  for (const ip of ['10.9.0.4', 'fd00::4'].map(Ip.parse)) {
    const claimed = readNeighborMessage(neighborAnnouncement(ip, mac, mac))?.claim;
    assert.ok(claimed?.ip.equals(ip) && claimed.mac.equals(mac));
    // Of another sender it proves nothing to us.
    assert.equal(readNeighborMessage(neighborAnnouncement(ip, mac, from))?.claim, undefined);
  }
});
