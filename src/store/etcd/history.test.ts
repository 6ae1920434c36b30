import assert from 'node:assert/strict';
import { test } from 'node:test';
import { follows, History } from './history.ts';

const header = (revision: bigint, { clusterId = 7n, term = 2n } = {}) => ({ clusterId, term, revision });

test('the first answer is of the store', () => {
  assert.ok(follows(new History().mark, header(1n)));
});

test('a store that is behind, of an earlier term or of another name is another one', () => {
  const history = new History();
  history.note(header(5n));
  history.reached(9n);
  assert.ok(follows(history.mark, header(9n)));
  assert.ok(follows(history.mark, header(10n, { term: 3n })));
  assert.ok(!follows(history.mark, header(8n)));
  assert.ok(!follows(history.mark, header(10n, { term: 1n })));
  assert.ok(!follows(history.mark, header(10n, { clusterId: 8n })));
});

test('an answer that was under way while others came is judged by what was known when it was asked for', () => {
  const history = new History();
  history.note(header(5n));
  const { mark } = history;
  history.reached(9n);
  assert.ok(follows(mark, header(6n)));
});

test('the newest revision seen never decreases, unless the store is replaced, which every listener is notified of', () => {
  const history = new History();
  let replaced = 0;
  {
    using _listening = history.onReplaced(() => replaced++);
    history.note(header(5n, { term: 4n }));
    history.note(header(3n));
    history.reached(2n);
    assert.deepEqual(history.mark, { generation: 0, seen: header(5n, { term: 4n }) });
    history.beginAnew(header(1n));
    assert.deepEqual([history.mark, replaced], [{ generation: 1, seen: header(1n) }, 1]);
  }
  history.beginAnew(header(1n));
  assert.equal(replaced, 1);
});
