/** L2 networks: their keys and values in the store, and the file in which a host remembers its addresses. */
import assert from 'node:assert/strict';
import { ParseError } from '../../src/base/errors.ts';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { linesOfBook, parseBook } from '../../src/ipam/book-text.ts';
import {
  formatAttachmentAlias,
  parseAttachmentAlias,
} from '../../src/network/attachment/attachment-alias.ts';
import { linesOfAttachments, parseAttachments } from '../../src/network/attachment/attachment-record.ts';
import { parseSegmentKey, SegmentKeys } from '../../src/subnet/segment/segment-key.ts';
import {
  decodeEndpoint,
  decodeMember,
  decodeSegment,
  decodeSegmentRange,
  encodeEndpoint,
  encodeMember,
  encodeSegment,
  encodeSegmentRange,
} from '../../src/subnet/segment/segment-value.ts';
import type { FuzzTarget } from './fuzz.ts';
import { texts } from './texts.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const segmentTargets: readonly FuzzTarget[] = [
  texts(
    'keys of L2 networks',
    [
      'blue/config',
      'blue/members/5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11',
      'blue/endpoints/10.9.1.2',
      'a.b_c-d/endpoints/fd00::5',
      'blue/ranges/10.9.1.0-24',
      'blue/ranges/fd00::-96',
    ],
    ['INVALID_VALUE'],
    text => {
      const key = parseSegmentKey(text);
      if (key === undefined) throw new ParseError('a key of an L2 network', text, 'none');
      const keys = new SegmentKeys('/');
      const path = {
        config: () => keys.config(key.name),
        member: () => keys.member(key.name, 'hostId' in key ? key.hostId : ''),
        endpoint: () => ('ip' in key ? keys.endpoint(key.name, key.ip) : ''),
        range: () => ('block' in key ? keys.range(key.name, key.block) : ''),
      }[key.kind]();
      const canonical = keys.below(path) ?? '';
      assert.equal(canonical, text, 'a key has one spelling');
      return canonical;
    },
  ),
  texts(
    'L2 networks',
    [
      '{"id":"9f0c41d2a7e35b68","vni":14811337,"port":4789,"subnets":["10.9.0.0/16"],"gateways":["10.9.0.1"],"rangeLengths":[24],"internal":false,"docker":false,"floodLimit":2000,"mtu":1450,"created":"2026-11-29T18:35:00.000Z"}',
      '{"id":"9f0c41d2a7e35b68","vni":1,"port":1,"subnets":["10.9.0.0/24","fd00:9::/64"],"gateways":[],"rangeLengths":[28,96],"internal":true,"docker":true,"floodLimit":1,"created":"2026-11-29T18:35:00.000Z"}',
    ],
    ['INVALID_VALUE'],
    text => decoder.decode(encodeSegment(decodeSegment(encoder.encode(text)))),
  ),
  texts(
    'members of L2 networks',
    [
      '{"hostName":"docker1","addresses":["192.168.65.3","fd00::3"],"mac":"02:00:00:00:00:01"}',
      '{"addresses":["fd00::3"]}',
    ],
    ['INVALID_VALUE'],
    text => decoder.decode(encodeMember(decodeMember('h', encoder.encode(text)))),
  ),
  texts(
    'endpoints of L2 networks',
    ['{"hostId":"5d1c","hostName":"docker1","container":"web","mac":"02:00:00:00:00:01"}'],
    ['INVALID_VALUE'],
    text => decoder.decode(encodeEndpoint(decodeEndpoint(Ip.parse('10.9.1.2'), encoder.encode(text)))),
  ),
  texts(
    'ranges of L2 networks',
    ['{"hostId":"5d1c","hostName":"docker1","machine":"9f03"}'],
    ['INVALID_VALUE'],
    text => {
      const block = Prefix.parse('10.9.1.0/24');
      return decoder.decode(encodeSegmentRange(decodeSegmentRange(block, encoder.encode(text))));
    },
  ),
  texts(
    'aliases of attachments',
    [
      'tulle attachment docker blue 9f0c41d2a7e35b68 02:00:00:00:00:01 10.9.1.2,fd00:9::1:2 web 5f2c',
      'tulle attachment cni default - 02:00:00:00:00:01 10.3.4.2 web c1/eth0',
    ],
    ['INVALID_VALUE'],
    text => {
      const alias = parseAttachmentAlias(text);
      if (alias === undefined) throw new ParseError('an alias of an attachment', text, 'none');
      return formatAttachmentAlias(alias);
    },
  ),
  texts(
    'records of attachments',
    [
      '{"version":1}\n{"id":"a","engine":"docker","network":"blue","networkId":"9f0c41d2a7e35b68","ips":["10.9.1.2"],"mac":"02:00:00:00:00:01","container":"web","names":["web"],"ports":[{"protocol":"tcp","containerPort":80,"hostPort":8080,"hostIp":"10.0.0.1"}],"published":{"bridge":"tb-blue","subnets":["10.9.0.0/16"],"gateways":["10.9.0.1"]}}',
      '{"version":1}\n{"id":"b","engine":"cni","network":"default","ips":["10.3.4.2"],"mac":"02:00:00:00:00:01","container":"web","names":[],"ports":[],"sandbox":{"path":"/run/netns/b","link":"eth0"},"begun":true}\n{"gone":"b"}',
    ],
    ['INVALID_VALUE'],
    text => linesOfAttachments(parseAttachments(text.split('\n')).values()).join('\n'),
  ),
  texts(
    'files of addresses',
    [
      '{"version":1,"network":"blue","id":"9f0c41d2a7e35b68","ranges":[{"block":"10.9.1.0/24","revision":"812"}],"last":{"ipv4":"10.9.1.3","ipv6":"fd00::1"},"addresses":[{"ip":"10.9.1.2","mac":"02:00:00:00:00:01","container":"web"}]}',
      '{"version":1,"network":"blue","id":"9f0c41d2a7e35b68","ranges":[],"last":{},"addresses":[]}',
      '{"version":2,"network":"default","id":"overlay"}\n{"last":"10.3.4.9"}\n{"kept":"10.3.4.2","container":"web"}\n{"notKept":"10.3.4.2"}',
      '{"version":2,"network":"blue","id":"9f0c41d2a7e35b68"}\n{"range":"10.9.1.0/24","revision":"812"}\n{"ip":"10.9.1.2","mac":"02:00:00:00:00:01","container":"web","engine":"cni"}\n{"free":"10.9.1.2"}\n{"noRange":"10.9.1.0/24"}',
    ],
    ['INVALID_VALUE'],
    text => linesOfBook(parseBook(text.split('\n'))).join('\n'),
  ),
];
