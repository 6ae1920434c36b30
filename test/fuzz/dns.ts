/** Queries of containers, what other servers answer, and resolv.conf. */
import assert from 'node:assert/strict';
import { Prefix } from '../../src/base/prefix.ts';
import { MOST_UDP } from '../../src/dns/constants.ts';
import { parseResolvConf } from '../../src/dns/resolv-conf.ts';
import { Responder } from '../../src/dns/responder.ts';
import { MessageFrames } from '../../src/dns/tcp-frames.ts';
import { Upstream } from '../../src/dns/upstream.ts';
import { queryBytes, readAnswer } from '../support/dns.ts';
import { namesInMemory } from '../support/names.ts';
import type { FuzzTarget } from './fuzz.ts';

const responder = new Responder({
  names: namesInMemory('blue 10.9.1.2 web', 'blue fd00::2 web'),
  networks: () => [{ name: 'blue', networks: { ipv4: Prefix.parse('10.9.0.0/16') } }],
  networksOf: () => ['blue'],
  upstream: new Upstream({ servers: () => [] }),
});

export const dnsTargets: readonly FuzzTarget[] = [
  {
    name: 'queries of DNS',
    seeds: [
      queryBytes('web', 'A'),
      queryBytes('web.blue.tulle', 'AAAA', { size: 4096 }),
      queryBytes('2.1.9.10.in-addr.arpa', 'PTR', { size: 512 }),
      queryBytes('example.com', 'ANY', { size: 1232, version: 1 }),
    ],
    accepts: input => {
      const answer = responder.answer(input, '10.9.1.9', 'udp');
      // A promise is what has to be asked of others.
      if (answer instanceof Promise || answer === undefined) return answer !== undefined;
      assert.ok(answer.byteLength <= MOST_UDP);
      const { id, rcode } = readAnswer(answer);
      assert.equal(id, (input[0] ?? 0) * 256 + (input[1] ?? 0));
      if (rcode === 1 || rcode === 4) assert.ok(answer.byteLength <= input.byteLength);
      return rcode === 0 || rcode === 3;
    },
  },
  {
    name: 'messages in a stream of TCP',
    lenient: true,
    seeds: [
      MessageFrames.frame(queryBytes('web')),
      Buffer.concat([MessageFrames.frame(queryBytes('a')), MessageFrames.frame(new Uint8Array())]),
    ],
    accepts: input => {
      const whole = new MessageFrames().push(input);
      const frames = new MessageFrames();
      const bytewise = [...input].flatMap(byte => frames.push(Uint8Array.of(byte)));
      assert.deepEqual(bytewise, whole);
      return true;
    },
  },
  {
    name: 'resolv.conf',
    lenient: true,
    seeds: [Buffer.from('nameserver 10.0.0.1\nsearch a b\nnameserver fe80::1%eth0\n')],
    accepts: input => parseResolvConf(Buffer.from(input).toString('latin1')).length <= 3,
  },
];
