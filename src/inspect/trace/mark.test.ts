/** The mark on kernels that refuse what newer ones have, and its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writer } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { NetlinkError } from '../../netlink/errors.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import { NFT_TABLE_F_OWNER } from '../../netlink/netfilter/constants.ts';
import { nftTableMessage } from '../../netlink/netfilter/table.ts';
import type { Change } from '../../netlink/protocol.ts';
import { TraceMark } from './mark.ts';

const WANTED = { protocol: 'icmp', destination: Ip.parse('10.0.0.1') } as const;
const [ENOENT, EPERM, EOPNOTSUPP] = [2, 1, 95];

/** A kernel that refuses a transaction with the number that is given. */
function kernel(refuses: (changes: readonly Change[]) => number | undefined) {
  const done: string[][] = [];
  const netfilter: Netfilter = {
    commit(changes) {
      const errno = refuses(changes);
      if (errno !== undefined) throw new NetlinkError('NFT_MSG_NEWTABLE', 'add table', errno);
      done.push(changes.map(({ what }) => what.replace(/tulle-trace-[0-9a-f]{8}/, 'T')));
    },
    trace: () => assert.fail('nobody listens'),
    packetLog: () => assert.fail('nobody reads a log'),
    elements: () => assert.fail('no set is read'),
    counters: () => assert.fail('no counter is read'),
    connections: () => assert.fail('no connection is listed'),
    forget: () => assert.fail('no connection is deleted'),
    port: 0,
    [Symbol.dispose]: () => undefined,
  };
  return { done, netfilter };
}

const isOwned = ([first]: readonly Change[]): boolean => {
  const writer = new Writer();
  first?.write(writer);
  return ((nftTableMessage.decode(writer.finish()).attributes.flags ?? 0) & NFT_TABLE_F_OWNER) !== 0;
};

const PLANTED = [
  'add table inet T',
  'add chain inet T prerouting',
  'add chain inet T output',
  'add a rule to inet T prerouting',
  'add a rule to inet T output',
  'add chain inet T input',
  'add chain inet T postrouting',
];

test('is one transaction, and one more at its end', () => {
  const { done, netfilter } = kernel(() => undefined);
  TraceMark.plant(netfilter, WANTED)[Symbol.dispose]();
  assert.deepEqual(done, [PLANTED, ['delete table inet T']]);
});

test('is made without an owner where the kernel knows none', () => {
  const { done, netfilter } = kernel(changes => (isOwned(changes) ? EOPNOTSUPP : undefined));
  TraceMark.plant(netfilter, WANTED)[Symbol.dispose]();
  assert.deepEqual(done, [PLANTED, ['delete table inet T']]);
});

test('another refusal is not tried again; that somebody else removed the table is no failure', () => {
  const refused = kernel(() => EPERM);
  assert.throws(() => TraceMark.plant(refused.netfilter, WANTED), { name: 'NetlinkError', code: 'EPERM' });
  const gone = kernel(changes => (changes.length === 1 ? ENOENT : undefined));
  TraceMark.plant(gone.netfilter, WANTED)[Symbol.dispose]();
  const failing = kernel(changes => (changes.length === 1 ? EPERM : undefined));
  assert.throws(() => TraceMark.plant(failing.netfilter, WANTED)[Symbol.dispose](), { code: 'EPERM' });
});
