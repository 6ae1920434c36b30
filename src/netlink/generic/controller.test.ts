/** The controller's messages against those of `genl`, by captured bytes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseVector } from '../../../test/support/netlink-vector.ts';
import { controllerMessage, decodeFamily, encodeFamilyQuery } from './controller.ts';

const VECTOR = join(import.meta.dirname, '../../../test/vectors/netlink/reply-family.txt');
const [request, reply] = parseVector(readFileSync(VECTOR, 'utf8')).messages;

test('we ask for a family as genl does', () => {
  assert.ok(request !== undefined);
  const ours = controllerMessage.decode(encodeFamilyQuery('nlctrl'));
  const theirs = controllerMessage.decode(request.message.payload);
  assert.deepEqual(ours.attributes, theirs.attributes);
  assert.equal(ours.header.command, theirs.header.command);
});

test('a family is its number, its name and its multicast groups', () => {
  assert.ok(reply !== undefined);
  const family = decodeFamily(reply.message.payload);
  assert.deepEqual(family, { id: 16, name: 'nlctrl', version: 2, groups: new Map([['notify', 16]]) });
});

test('an answer without a number is no family', () => {
  assert.equal(decodeFamily(encodeFamilyQuery('nlctrl')), undefined);
});
