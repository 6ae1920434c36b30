import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { familiesToTry } from './first-host.ts';

const site = (address: string) => ({ address, prefix: '/coreos.com/network' });
const ipv6 = Prefix.parse('fd5c:1e6:77b0::/48');

test('a first host is of the families asked for, then those of a former start, then IPv4 if it can', () => {
  const none = byFamily<Prefix>();
  assert.deepEqual(familiesToTry(none, undefined), [['ipv4'], ['ipv6']]);
  assert.deepEqual(familiesToTry(none, site('192.168.65.3:2379')), [['ipv4']]);
  assert.deepEqual(familiesToTry(none, site('[fd00:65::3]:2379')), [['ipv6']]);
  // A store that `tulle store init` gave a name.
  assert.deepEqual(familiesToTry(none, site('store.example:2379')), [['ipv4'], ['ipv6']]);
  assert.deepEqual(familiesToTry(byFamily(ipv6), site('192.168.65.3:2379')), [['ipv6']]);
  assert.deepEqual(familiesToTry(byFamily(ipv6, Prefix.parse('10.244.0.0/16')), undefined), [
    ['ipv4', 'ipv6'],
  ]);
});
