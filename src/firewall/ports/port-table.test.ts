import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasAllRules, isPortTable, portScript, portTableName } from './port-table.ts';

test('each network of a host has a table of its own', () => {
  const [plain, other] = [portTableName('/coreos.com/network'), portTableName('/other')];
  assert.equal(plain, 'tulle-ports');
  assert.notEqual(other, portTableName('/third'));
  assert.deepEqual([plain, other, 'tulle-ports-x', 'ports'].map(isPortTable), [true, true, false, false]);
});

test('a listing that another program has emptied meanwhile is known by its rules', () => {
  const script = portScript('tulle-ports', new Map([['ip-any', ['tcp . 80 : 10.0.0.2 . 80']]]));
  assert.ok(hasAllRules(script), 'what is in maps does not matter');
  const [rule = ''] = /^.*th dport map @ip-any$/m.exec(script) ?? [];
  assert.ok(!hasAllRules(script.replace(`${rule}\n`, '')));
  assert.ok(!hasAllRules(''));
});
