import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ParseError } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { AddressBook } from './address-book.ts';

const NETWORK = { name: 'blue', id: '9f0c41d2a7e35b68' };

/** What it should be: plain maps. */
class Model {
  readonly addresses = new Map<string, string>();
  readonly ranges = new Map<string, bigint>();
}

test('a book says what was written into it, also after it was a file', () => {
  const step = fc.record({
    act: fc.constantFrom('give', 'free', 'add', 'remove', 'reopen'),
    at: fc.nat(12),
    revision: fc.bigInt(0n, 2n ** 63n),
    container: fc.constantFrom('a', 'b', 'c'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const model = new Model();
      let book = new AddressBook(NETWORK);
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
        } else {
          const last = book.last('ipv4');
          book = AddressBook.parse(book.toText());
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
  const good = new AddressBook(NETWORK);
  good.give({ ip: Ip.parse('10.9.1.2'), mac: Mac.fromKey(7), container: 'web' });
  const value = JSON.parse(good.toText()) as Record<string, unknown>;
  const address = { ip: '10.9.1.2', mac: '02:00:00:00:00:01', container: 'web' };
  for (const wrong of [
    '',
    '[]',
    'null',
    good.toText().slice(0, -20),
    { ...value, version: 2 },
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
  ]) {
    const text = typeof wrong === 'string' ? wrong : JSON.stringify(wrong);
    assert.throws(() => AddressBook.parse(text), ParseError, text);
  }
});
