/** What a store has, and what a host would write, as the authorizer of hosts sees them. */
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import type { Kv } from '../../src/etcdserver/sqlite/tables.ts';

/** Of L2 networks: JSON, or a text as it is. */
type Value = object | string;

const bytes = (value: Value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
export const path = (key: string) => bytes(`${NETWORK_PREFIX}/${key}`);

/** On a store lease unless it is 0n. */
export const kv = (key: string, value: Value, lease = 7n): Kv => ({
  key: path(key),
  value: bytes(value),
  lease,
  createRevision: 1n,
  modRevision: 1n,
  version: 1n,
});

export const put = (key: string, value: Value, lease = 7n) => ({
  key: path(key),
  next: { value: bytes(value), lease },
});

export const remove = (key: string) => ({ key: path(key), next: undefined });

/** The configuration of an L2 network. */
export const BLUE = {
  id: '9f0c41d2a7e35b68',
  vni: 4242,
  port: 4789,
  subnets: ['10.9.0.0/16'],
  gateways: ['10.9.0.1'],
  rangeLengths: [24],
  created: '2026-11-29T18:35:00.000Z',
};
