import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sees } from './judges.ts';
import type { Stage } from './scenario.ts';

const STAGE = { known: {} } as unknown as Stage;

test('how much is shown of a line does not depend on the subnet that was drawn', async () => {
  const line = (part: string) =>
    `docker0: ARP, Request who-has 10.5.${part}.2 (ff:ff:ff:ff:ff:ff) tell 10.5.${part}.3, length 28 bytes`;
  const seen = async (part: string) =>
    (await sees(/ARP, Request/)(line(part), STAGE)).seen.replaceAll(part, 'N');
  assert.equal(await seen('1'), await seen('176'));
});
