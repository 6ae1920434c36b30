import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ParseError } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { fc } from '../testing/properties.ts';
import { AddressBook } from './address-book.ts';
import { lineOfChange, linesOfBook, parseBook, readBook } from './book-text.ts';

const FIRST_VERSION = `{
 "version": 1,
 "network": "blue",
 "id": "9f0c41d2a7e35b68",
 "ranges": [{ "block": "10.9.1.0/24", "revision": "812" }],
 "last": { "ipv4": "10.9.1.3" },
 "addresses": [{ "ip": "10.9.1.2", "mac": "02:00:00:00:00:01", "container": "web" }]
}`;
const NETWORK = { name: 'blue', id: '9f0c41d2a7e35b68' };

/** What it should be: plain maps. */
class Model {
  readonly addresses = new Map<string, string>();
  readonly ranges = new Map<string, bigint>();
}

test('a book says what was written into it, also after it was a file', () => {
  const step = fc.record({
    act: fc.constantFrom('give', 'free', 'add', 'remove', 'reopen', 'replay'),
    at: fc.nat(12),
    revision: fc.bigInt(0n, 2n ** 63n),
    container: fc.constantFrom('a', 'b', 'c'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const model = new Model();
      let book = new AddressBook(NETWORK);
      const said: string[] = [];
      for (const { act, at, revision, container } of steps) {
        const ip = Ip.parse(at % 2 === 0 ? '10.9.1.0' : 'fd00::').plus(at);
        const block = Prefix.of(Ip.parse('10.9.0.0').plus(at * 256), 24);
        if (act === 'give') {
          book.give({ ip, mac: Mac.fromKey(at + 1), container });
          book.remember(ip);
          model.addresses.set(`${ip}`, container);
        } else if (act === 'free') {
          book.free(ip);
          model.addresses.delete(`${ip}`);
        } else if (act === 'add') {
          book.addRange({ block, revision });
          model.ranges.set(`${block}`, revision);
        } else if (act === 'remove') {
          book.removeRange(block);
          model.ranges.delete(`${block}`);
        } else if (act === 'replay') {
          const changes = book.takeChanges();
          const again = parseBook([
            ...linesOfBook(new AddressBook(NETWORK)),
            ...said,
            ...changes.map(lineOfChange),
          ]);
          said.push(...changes.map(lineOfChange));
          assert.deepEqual(linesOfBook(again).toSorted(), linesOfBook(book).toSorted());
        } else {
          book.takeChanges().forEach(change => said.push(lineOfChange(change)));
          const last = book.last('ipv4');
          book = parseBook(linesOfBook(book));
          assert.equal(`${book.last('ipv4')}`, `${last}`);
        }
        assert.equal(book.at(ip)?.container, model.addresses.get(`${ip}`));
        const used = [...model.addresses.keys()].some(one => block.contains(Ip.parse(one)));
        assert.equal(book.isUsed(block), used);
      }
      assert.deepEqual(new Map(book.addresses().map(one => [`${one.ip}`, one.container])), model.addresses);
      assert.deepEqual(new Map(book.ranges().map(one => [`${one.block}`, one.revision])), model.ranges);
      for (const container of ['a', 'b', 'c']) {
        const wanted = [...model.addresses.values()].filter(one => one === container).length;
        assert.equal(book.of(container).length, wanted);
      }
    }),
  );
});

test('a file with anything wrong is none', () => {
  const value = JSON.parse(FIRST_VERSION) as Record<string, unknown>;
  const address = { ip: '10.9.1.2', mac: '02:00:00:00:00:01', container: 'web' };
  const head = '{"version":2,"network":"blue","id":"9f0c41d2a7e35b68"}';
  for (const wrong of [
    '',
    '[]',
    'null',
    FIRST_VERSION.slice(0, -20),
    { ...value, version: 3 },
    { ...value, network: '../x' },
    { ...value, id: 'x' },
    { ...value, ranges: {} },
    { ...value, ranges: [{ block: '10.9.1.0/24' }] },
    { ...value, ranges: [{ block: '10.9.1.0/24', revision: '-1' }] },
    { ...value, addresses: [7] },
    { ...value, addresses: [{ ...address, ip: 'x' }] },
    { ...value, addresses: [{ ...address, mac: '01:00:00:00:00:01' }] },
    { ...value, addresses: [{ ...address, container: '' }] },
    { ...value, last: { ipv4: 'fd00::1' } },
    '{"version":2,"network":"default","id":"9f0c41d2a7e35b68"}',
    `${head}\n{"free":"x"}`,
    `${head}\n{"free":"10.9.1.2"`,
    `${head}\n{}`,
    `${head}\n{"range":"10.9.1.0/24"}`,
    `${head}\n{"kept":"10.9.1.2","container":"a b"}`,
    `${head}\n${JSON.stringify({ ...address, engine: 'No Engine' })}`,
  ]) {
    const text = typeof wrong === 'string' ? wrong : JSON.stringify(wrong);
    assert.throws(() => parseBook(text.split('\n')), ParseError, text);
  }
});

test('a line that cannot be read costs what it says, and no other line', () => {
  const book = new AddressBook(NETWORK);
  for (const at of [2, 3, 4])
    book.give({ ip: Ip.parse(`10.9.1.${at}`), mac: Mac.fromKey(at), container: 'web' });
  const lines = linesOfBook(book);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), fc.string(), (at, text) => {
      const { book: read, unreadable } = readBook(lines.with(at, `x${text}`));
      assert.deepEqual(linesOfBook(read), lines.toSpliced(at, 1));
      assert.match(unreadable?.message ?? '', new RegExp(`line ${at + 1}: must be`));
    }),
  );
  assert.throws(() => readBook(lines.with(0, '{"version":2}')), ParseError);
});

test('a file of the first version is read', () => {
  const book = parseBook(FIRST_VERSION.split('\n'));
  assert.deepEqual(
    book.ranges().map(({ block, revision }) => `${block} ${revision}`),
    ['10.9.1.0/24 812'],
  );
  assert.deepEqual(
    book.of('web').map(({ ip }) => `${ip}`),
    ['10.9.1.2'],
  );
  assert.equal(`${book.last('ipv4')}`, '10.9.1.3');
});

test('an address is kept for one container, and a container has one of each family', () => {
  const book = new AddressBook(NETWORK);
  const [first, second, third] = ['10.9.1.2', '10.9.1.3', 'fd00::2'].map(Ip.parse) as [Ip, Ip, Ip];
  book.keep('web', first);
  book.keep('web', third);
  book.keep('web', second);
  assert.equal(book.isKept(first), false);
  assert.equal(book.keptFor('web', 'ipv4'), second);
  assert.equal(book.keptFor('web', 'ipv6'), third);
  book.keep('db', second);
  assert.equal(book.keptFor('web', 'ipv4'), undefined);
  assert.deepEqual(
    [...parseBook(linesOfBook(book)).kept()].map(({ ip, container }) => `${container} ${ip}`),
    ['web fd00::2', 'db 10.9.1.3'],
  );
});
