import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseHex } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { formatTracedPacket, markRule, readTracedPacket } from './packet.ts';

const IP = '45 00 00 3c 50 8c 40 00 40 06 ec 25 7f 00 00 01 7f 00 00 09';
const TCP = 'd2 ec 27 60 e3 19 3d 1b 00 00 00 00 a0 02 ff d7 fe 38 00 00';

const read = (ip: string, transport = '') => readTracedPacket(parseHex(ip), parseHex(transport));

describe('the packet in the headers of an event', () => {
  test('has addresses and ports', () => {
    assert.equal(
      formatTracedPacket(read(IP, TCP)?.packet ?? assert.fail()),
      'tcp 127.0.0.1:53996 -> 127.0.0.9:10080',
    );
  });

  test('is known again after a router and a translation, and differs from the next of its connection', () => {
    const first = read(IP, TCP);
    const translated = read(
      '45 00 00 3c 50 8c 40 00 3f 06 00 00 c0 a8 41 03 ac 11 00 02',
      '9c 40 00 50 e3 19 3d 1b 00 00 00 00 a0 02 ff d7 00 00 00 00',
    );
    assert.equal(translated?.fingerprint, first?.fingerprint);
    const again = read(IP.replace('50 8c', '50 8d'), TCP);
    assert.notEqual(again?.fingerprint, first?.fingerprint);
    assert.notEqual(read(IP, TCP.replace('e3 19', 'e3 1a'))?.fingerprint, first?.fingerprint);
  });

  test('of another protocol has its number; what is no IP packet is none', () => {
    assert.equal(read(IP.replace('40 06', '40 2f'))?.packet.protocol, 'protocol 47');
    for (const header of ['', '00', '45 00', 'ff ff ff ff']) assert.equal(read(header), undefined);
  });

  test('IPv6 has its ports in brackets', () => {
    const ip = `60 00 00 00 00 14 06 40 fd ${'00 '.repeat(14)}01 fd ${'00 '.repeat(14)}02`;
    assert.equal(
      formatTracedPacket(read(ip, TCP)?.packet ?? assert.fail()),
      'tcp [fd00::1]:53996 -> [fd00::2]:10080',
    );
  });
});

describe('a selector', () => {
  const destination = Ip.parse('10.0.0.1');

  test('that no packet can meet is refused', () => {
    assert.throws(() => markRule({ protocol: 'icmp', destination, destinationPort: 80 }), RangeError);
    assert.throws(() => markRule({ protocol: 'tcp', source: Ip.parse('fd00::1'), destination }), RangeError);
  });

  test('compares what is given only', () => {
    assert.equal(markRule({ protocol: 'tcp', destination }).length, 4);
    assert.equal(
      markRule({ protocol: 'udp', source: destination, destination, sourcePort: 0, destinationPort: 53 })
        .length,
      7,
    );
  });
});
