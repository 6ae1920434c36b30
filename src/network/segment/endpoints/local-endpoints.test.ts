import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../../base/ip.ts';
import { Mac } from '../../../base/mac.ts';
import { Prefix } from '../../../base/prefix.ts';
import { LocalEndpoints } from './local-endpoints.ts';

const SUBNET = Prefix.parse('10.9.0.0/16');
const ip = (text: string) => Ip.parse(text);
const A = Mac.parse('02:00:00:00:00:0a');
const B = Mac.parse('02:00:00:00:00:0b');
const PORT = 7;
const FIVE = ip('10.9.0.5');

/** The endpoints of a host with these stations, and its time in milliseconds. */
function host(...stations: Mac[]) {
  const local = new Set(stations.map(({ key }) => key));
  let now = 0;
  const endpoints = new LocalEndpoints({
    isUsable: address => SUBNET.contains(address),
    isLocal: mac => local.has(mac.key),
  });
  return {
    endpoints,
    list: () => endpoints.endpoints.map(endpoint => `${endpoint.ip} ${endpoint.mac}`).sort(),
    say: (address: Ip, mac: Mac) => endpoints.said(address, mac, now),
    come: (mac: Mac) => {
      local.add(mac.key);
      endpoints.stationCame(mac);
    },
    go: (mac: Mac) => {
      local.delete(mac.key);
      endpoints.stationWent(mac, PORT, now);
    },
    /** Lets time pass, and gives each probe to `answer`. */
    pass(ms: number, answer: (probe: Ip) => void = () => undefined): string[] {
      const probes: string[] = [];
      const end = now + ms;
      for (;;) {
        const next = Math.max(now, endpoints.due);
        if (!(next <= end)) break;
        now = next;
        for (const probe of endpoints.probesDue(now)) {
          probes.push(`${probe}`);
          answer(probe);
        }
      }
      now = end;
      return probes;
    },
  };
}

describe('a station that says its address', () => {
  test('has it, whether the bridge or the frame is read first', () => {
    const one = host(A);
    one.say(FIVE, A);
    const other = host();
    other.say(FIVE, A);
    assert.deepEqual(other.list(), []);
    other.come(A);
    for (const { list } of [one, other]) assert.deepEqual(list(), [`10.9.0.5 ${A}`]);
  });

  test('behind the tunnel is not ours, nor is an address outside of the network', () => {
    const { say, list } = host(B);
    say(FIVE, A);
    say(ip('192.0.2.1'), B);
    assert.deepEqual(list(), []);
  });

  test('has as many as a station has, and no more', () => {
    const { say, list } = host(A);
    for (let last = 1; last <= 200; last++) say(ip(`10.9.1.${last}`), A);
    assert.equal(list().length, 32);
  });
});

describe('a station that the bridge has forgotten', () => {
  test('is asked, and stays when it answers', () => {
    const { say, go, come, pass, list } = host(A);
    say(FIVE, A);
    go(A);
    const probes = pass(10_000, () => {
      come(A);
      say(FIVE, A);
    });
    assert.deepEqual(probes, ['10.9.0.5']);
    assert.deepEqual(list(), [`10.9.0.5 ${A}`]);
  });

  test('is gone when it does not', () => {
    const { say, go, pass, list } = host(A);
    say(FIVE, A);
    go(A);
    assert.equal(pass(10_000).length, 3);
    assert.deepEqual(list(), []);
  });

  test('is replaced at once by one that has its address', () => {
    const { say, go, come, list, endpoints } = host(A);
    say(FIVE, A);
    go(A);
    come(B);
    say(FIVE, B);
    assert.deepEqual(list(), [`10.9.0.5 ${B}`]);
    assert.equal(endpoints.due, Number.POSITIVE_INFINITY);
  });
});

describe('two stations that say they have an address', () => {
  test('the first keeps it while it answers; the other is its rival', () => {
    const { say, pass, list, endpoints } = host(A, B);
    say(FIVE, A);
    say(FIVE, B);
    const probes = pass(10_000, () => {
      say(FIVE, B);
      say(FIVE, A);
    });
    assert.equal(probes.length, 1);
    assert.deepEqual(list(), [`10.9.0.5 ${A}`]);
    assert.deepEqual(
      endpoints.rivals.map(({ mac, owner }) => `${mac} ${owner.mac}`),
      [`${B} ${A}`],
    );
  });

  test('it moves when the first has it no more, also to another host', () => {
    const local = host(A, B);
    local.say(FIVE, A);
    local.say(FIVE, B);
    local.pass(10_000, () => local.say(FIVE, B));
    assert.deepEqual(local.list(), [`10.9.0.5 ${B}`]);

    const remote = host(A);
    remote.say(FIVE, A);
    remote.say(FIVE, B);
    remote.pass(10_000);
    assert.deepEqual(remote.list(), []);
  });

  test('it moves at once when the link of the first is deleted', () => {
    const { say, go, list, endpoints } = host(A, B);
    say(FIVE, A);
    say(FIVE, B);
    go(A);
    endpoints.portDeleted(PORT);
    assert.deepEqual(list(), [`10.9.0.5 ${B}`]);
  });

  test('a rival that goes is none', () => {
    const { say, go, endpoints } = host(A, B);
    say(FIVE, A);
    say(FIVE, B);
    go(B);
    assert.deepEqual(endpoints.rivals, []);
  });
});

test('what was behind a deleted link is gone, unless it is behind another one by now', () => {
  const { say, go, come, list, pass, endpoints } = host(A, B);
  say(FIVE, A);
  say(ip('10.9.0.6'), B);
  go(A);
  go(B);
  come(B);
  endpoints.portDeleted(PORT + 1);
  assert.equal(list().length, 2);
  endpoints.portDeleted(PORT);
  assert.deepEqual(list(), [`10.9.0.6 ${B}`]);
  assert.deepEqual(
    pass(0).filter(probe => probe === `${FIVE}`),
    [],
  );
});

test('what was attached needs no answer, and is gone when it is detached', () => {
  const { go, say, pass, list, endpoints } = host(A);
  endpoints.setAttached([{ ip: FIVE, mac: A, container: 'web' }]);
  go(A);
  say(FIVE, B);
  assert.deepEqual(pass(60_000), []);
  assert.deepEqual(list(), [`10.9.0.5 ${A}`]);
  endpoints.setAttached([]);
  assert.deepEqual(list(), []);
});

test('what an earlier run knew stays while its station is there or answers', () => {
  const { endpoints, pass, list } = host(A);
  endpoints.remember({ ip: FIVE, mac: A, container: 'web' }, 0);
  endpoints.remember({ ip: ip('10.9.0.6'), mac: B, container: 'gone' }, 0);
  assert.deepEqual(pass(10_000), ['10.9.0.6', '10.9.0.6', '10.9.0.6']);
  assert.deepEqual(list(), [`10.9.0.5 ${A}`]);
  assert.equal(endpoints.get(FIVE)?.container, 'web');
});

test('an address that is looked for is searched here once, and again later', () => {
  const { endpoints, pass, say, list } = host(A);
  endpoints.wanted(FIVE, 0);
  endpoints.wanted(FIVE, 0);
  assert.deepEqual(
    pass(500, () => say(FIVE, A)),
    ['10.9.0.5'],
  );
  assert.deepEqual(list(), [`10.9.0.5 ${A}`]);
  endpoints.wanted(FIVE, 500);
  assert.deepEqual(pass(5000), []);
});

test('what strangers say and want takes bounded memory', () => {
  const { endpoints, say, pass } = host();
  for (let at = 0; at < 5000; at++) {
    const address = ip(`10.9.${at >> 8}.${at & 255}`);
    say(address, Mac.fromKey(0x020000000000 + at));
    endpoints.wanted(address, 0);
  }
  assert.equal(pass(10_000).length, 64);
  for (let at = 0; at < 5000; at++) endpoints.stationCame(Mac.fromKey(0x020000000000 + at));
  assert.equal(endpoints.endpoints.length, 512);
});
