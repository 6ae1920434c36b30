/** When the underlay is asked, for its answers to be known before they matter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EchoKind, PathAnswers } from './path-answers.ts';

/** Asks every two seconds; echoes inside the tunnel are answered. @param over the underlay: what becomes of the next one */
function asker(hasTunnel = true) {
  const answers = new PathAnswers(hasTunnel, 0);
  let now = 0;
  const ask = (over: 'answered' | 'lost' | 'without a result' = 'answered'): EchoKind => {
    now += 2000;
    const kind = answers.ask(now);
    const isAnswered = kind !== 'underlay' || over === 'answered';
    if (isAnswered || over === 'lost') answers.result(kind, now, isAnswered ? 1 : undefined, now + 1);
    return kind;
  };
  /** How many echoes go in the tunnel before the next one over the underlay. */
  const untilUnderlay = (over?: Parameters<typeof ask>[0]): number => {
    for (let count = 0; count < 100; count++) if (ask(over) === 'underlay') return count;
    assert.fail('the underlay is never asked');
  };
  return { answers, ask, untilUnderlay };
}

test('the underlay is asked at once, and now and then where it answers', () => {
  const { answers, untilUnderlay } = asker();
  assert.equal(untilUnderlay(), 1);
  assert.equal(answers.underlay, true);
  assert.deepEqual([untilUnderlay(), untilUnderlay()], [15, 15]);
});

for (const outcome of ['lost', 'without a result'] as const) {
  test(`an echo over the underlay that is ${outcome} is soon followed by another`, () => {
    const { answers, untilUnderlay } = asker();
    assert.equal(untilUnderlay(outcome), 1);
    assert.equal(untilUnderlay(outcome), 3);
    assert.notEqual(answers.underlay, true);
    assert.equal(untilUnderlay(), 3);
    assert.equal(answers.underlay, true);
    assert.ok(untilUnderlay() > 3);
  });
}

test('where there is no tunnel there is nothing else to ask', () => {
  const { ask } = asker(false);
  assert.ok(Array.from({ length: 40 }, () => ask()).every(kind => kind !== 'underlay'));
});
