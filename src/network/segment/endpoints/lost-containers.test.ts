import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LostContainers } from './lost-containers.ts';

const C1 = { name: 'blue', container: 'c1' };
const C2 = { name: 'blue', container: 'c2' };
const C3 = { name: 'red', container: 'c3' };

const isHere = () => true;

function fixture(onFree: (container: string) => void = () => undefined) {
  const freed: string[] = [];
  const lost = new LostContainers(async (_, container) => {
    onFree(container);
    freed.push(container);
  });
  return { lost, freed };
}

test('those that are gone are freed once, those that are there are not', async () => {
  const { lost, freed } = fixture();
  lost.add(C1, C2);
  await lost.freeAllBut([C2], isHere);
  await lost.freeAllBut([], isHere);
  assert.deepEqual(freed, ['c1']);
});

test('a network in which one is being connected waits, also when that began meanwhile', async () => {
  const { lost, freed } = fixture(container => {
    if (container === 'c3') held = lost.hold('blue', () => ended++);
  });
  let held: Disposable | undefined;
  let ended = 0;
  lost.add(C3, C1);
  await lost.freeAllBut([], isHere);
  assert.deepEqual(freed, ['c3']);
  held?.[Symbol.dispose]();
  assert.equal(ended, 1);
  await lost.freeAllBut([], isHere);
  assert.deepEqual(freed, ['c3', 'c1']);
});

test('what could not be freed is tried again, with all behind it', async () => {
  let isBroken = true;
  const { lost, freed } = fixture(() => {
    if (isBroken) throw new Error('no space left');
  });
  lost.add(C1, C2);
  await assert.rejects(lost.freeAllBut([], isHere), /no space/);
  isBroken = false;
  await lost.freeAllBut([], isHere);
  assert.deepEqual(freed, ['c1', 'c2']);
});

test('those of a network that is not here are forgotten: they are looked at when it is here again', async () => {
  const { lost, freed } = fixture();
  lost.add(C1, C3);
  await lost.freeAllBut([], name => name === 'red');
  await lost.freeAllBut([], isHere);
  assert.deepEqual(freed, ['c3']);
});
