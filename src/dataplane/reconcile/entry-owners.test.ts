import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import type { Entry, Key } from '../tables/entry.ts';
import { EntryOwners, type OwnedTable } from './entry-owners.ts';

const subnet = Prefix.parse('10.3.1.0/24');
const NETWORKS = [
  { name: 'first', rank: 0 },
  { name: 'second', rank: 1 },
];

/** The table of a link: what it has desired, and what it was given from the table of another link. */
class TestTable implements OwnedTable<Entry> {
  readonly link: string;
  now: Entry | undefined;
  found: Entry | undefined;
  displaced: Entry | undefined;

  constructor(link: string) {
    this.link = link;
  }

  desired(): Entry | undefined {
    return this.now;
  }

  actual(): Entry | undefined {
    return this.found;
  }

  want(_: Key, value: Entry | undefined): void {
    this.now = value;
  }

  displace(_: Key, found: Entry): void {
    this.displaced = found;
  }

  entry(network: number, peer: string, revision: bigint): Entry {
    const rank = NETWORKS[network];
    assert.ok(rank);
    return { owner: { network: rank, link: this.link, peer, subnet, revision } };
  }
}

const step = fc.record({
  network: fc.nat(1),
  link: fc.nat(1),
  peer: fc.constantFrom('a', 'b', 'c'),
  // Undefined: the peer takes its claim back.
  revision: fc.option(fc.bigInt(1n, 4n), { nil: undefined }),
});
type Claim = Required<
  Pick<(typeof step extends fc.Arbitrary<infer T> ? T : never) & object, 'network' | 'link' | 'peer'>
> & {
  readonly revision: bigint;
};

/** Who precedes whom, as text that sorts. */
const order = ({ network, revision, peer, link }: Claim) => `${network} ${9n - revision} ${peer} ${link}`;

test('of two networks the first has the entry, then the highest revision, then the first name and link, in any order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.boolean(), (steps, isShared) => {
      const owners = new EntryOwners<Entry>(isShared);
      const tables = isShared ? [new TestTable('a'), new TestTable('b')] : [new TestTable('a')];
      const wanted = new Map<string, Claim>();
      for (const { network, peer, revision, ...rest } of steps) {
        const link = isShared ? rest.link : 0;
        const table = tables[link];
        assert.ok(table);
        const path = `${network} ${peer} ${link}`;
        if (revision === undefined) {
          wanted.delete(path);
          owners.remove('key', table, table.entry(network, peer, 0n));
        } else {
          wanted.set(path, { network, link, peer, revision });
          owners.add('key', table, table.entry(network, peer, revision));
        }
        const [first] = [...wanted.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
        for (const [index, { now }] of tables.entries()) {
          const isHere = first !== undefined && first.link === index;
          assert.deepEqual(
            now,
            isHere ? tables[index]?.entry(first.network, first.peer, first.revision) : undefined,
          );
        }
      }
    }),
  );
});

test('what one link holds is known to the other that has the entry from now on, until it is gone', () => {
  const owners = new EntryOwners<Entry>(true);
  const [one, other] = [new TestTable('a'), new TestTable('b')];
  const entry = one.entry(0, 'a', 1n);
  owners.add('key', one, entry);
  one.found = entry;
  owners.remove('key', one, entry);
  owners.add('key', other, other.entry(0, 'a', 1n));
  assert.equal(other.displaced, entry);
  owners.remove('key', other, other.entry(0, 'a', 1n));
  other.displaced = undefined;
  one.found = undefined;
  owners.forget('key', one);
  owners.add('key', other, other.entry(0, 'a', 2n));
  assert.equal(other.displaced, undefined);
});
