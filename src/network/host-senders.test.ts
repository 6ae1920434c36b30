import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostSenders, type SenderTarget } from './host-senders.ts';

const stated = (isAsked: boolean): readonly unknown[] => {
  const uses: unknown[] = [];
  const target: SenderTarget = { use: policy => void uses.push(policy), set: () => undefined };
  new HostSenders(target, isAsked).setSegments([]);
  return uses;
};

test('the filter of an earlier run stays until there is a plan, and goes at once where none is wanted', () => {
  assert.deepEqual(stated(true), []);
  assert.deepEqual(stated(false), [undefined]);
});
