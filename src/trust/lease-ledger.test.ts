import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeText, hostAttributes } from '../../test/support/registry.ts';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { encodeAttributes } from '../subnet/lease/attributes.ts';
import type { LeaseAttributes } from '../subnet/lease/lease.ts';
import { LeaseLedger } from './lease-ledger.ts';

function put(ledger: LeaseLedger, key: string, value: LeaseAttributes | string): void {
  const bytes = typeof value === 'string' ? encodeText(value) : encodeAttributes(value);
  const kv = { createRevision: 1n, modRevision: 1n, version: 1n, lease: 0n };
  ledger.put(key, { ...kv, key: `/coreos.com/network/subnets/${key}`, value: bytes });
}

const overlapping = (ledger: LeaseLedger, block: string) =>
  ledger.overlapping(Prefix.parse(block)).map(({ key }) => key);

test('a lease is found by its host, its address and its blocks, until it is another one or gone', () => {
  const ledger = new LeaseLedger();
  put(ledger, '10.5.3.0-24', hostAttributes(3));
  put(ledger, '10.5.4.0-24', { ...hostAttributes(3), hostId: 'host-4' });
  const address = Ip.parse('192.168.65.3');
  assert.deepEqual([...ledger.keysOfHost('host-3')], ['10.5.3.0-24']);
  assert.deepEqual([...ledger.keysOfAddress(address)], ['10.5.3.0-24', '10.5.4.0-24']);
  assert.deepEqual(overlapping(ledger, '10.5.0.0/16'), ['10.5.3.0-24', '10.5.4.0-24']);

  put(ledger, '10.5.3.0-24', hostAttributes(9));
  assert.deepEqual([...ledger.keysOfHost('host-3')], []);
  assert.deepEqual([...ledger.keysOfHost('host-9')], ['10.5.3.0-24']);
  assert.deepEqual([...ledger.keysOfAddress(address)], ['10.5.4.0-24']);

  ledger.delete('10.5.3.0-24');
  assert.equal(ledger.get('10.5.3.0-24'), undefined);
  assert.deepEqual(overlapping(ledger, '10.5.3.0/25'), []);
  ledger.clear();
  assert.deepEqual([[...ledger.keysOfAddress(address)], overlapping(ledger, '10.5.0.0/16')], [[], []]);
});

test('what is no good lease takes its block all the same, and is of no host', () => {
  const ledger = new LeaseLedger();
  put(ledger, '10.5.3.0-24', 'a printer');
  assert.deepEqual(overlapping(ledger, '10.5.3.0/24'), ['10.5.3.0-24']);
  assert.equal(ledger.get('10.5.3.0-24')?.key, '10.5.3.0-24');
  assert.deepEqual([...ledger.keysOfHost('')], []);
});
