import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Undo } from './undo.ts';

test('without commit, every step runs, the last one first', async () => {
  const done: string[] = [];
  {
    await using undo = new Undo();
    undo.push('first', () => done.push('first'));
    undo.push('second', async () => {
      await Promise.resolve();
      done.push('second');
    });
  }
  assert.deepEqual(done, ['second', 'first']);
});

test('after commit nothing runs', async () => {
  const done: string[] = [];
  {
    await using undo = new Undo();
    undo.push('first', () => done.push('first'));
    undo.commit();
  }
  assert.deepEqual(done, []);
});

test('a step that fails does not keep the others from running, and is reported by name', async () => {
  const done: string[] = [];
  const undo = new Undo();
  undo.push('first', () => done.push('first'));
  undo.push('second', () => {
    throw new Error('stuck');
  });
  undo.push('third', () => Promise.reject(new Error('gone')));
  await assert.rejects(undo[Symbol.asyncDispose](), (error: AggregateError) => {
    assert.deepEqual(
      error.errors.map((each: Error) => [each.message, (each.cause as Error).message]),
      [
        ['third', 'gone'],
        ['second', 'stuck'],
      ],
    );
    return true;
  });
  assert.deepEqual(done, ['first']);
});

test('steps run once', async () => {
  let runs = 0;
  const undo = new Undo();
  undo.push('count', () => runs++);
  await undo[Symbol.asyncDispose]();
  await undo[Symbol.asyncDispose]();
  assert.equal(runs, 1);
});
