import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HERE } from './check.ts';
import { type CniConfigFacts, judgeCniConfig } from './cni-config.ts';

const L2 = { vni: 1, state: 'ready', member: true, members: 1, endpoints: 0 } as const;

const judge = (plugins: readonly object[], facts: Partial<CniConfigFacts> = {}) =>
  judgeCniConfig({
    lists: new Map([['/etc/cni/net.d/10-tulle.conflist', JSON.stringify({ name: 'tulle', plugins })]]),
    hasProgram: true,
    isThere: () => true,
    status: { l2Networks: [{ ...L2, name: 'blue' }] },
    ...facts,
  }).map(({ reason }) => reason.replace('/etc/cni/net.d/10-tulle.conflist ', ''));

test('a list of which everything is there, and lists of others: nothing to find', () => {
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  assert.deepEqual(judge([{ type: 'tulle' }, portmap]), []);
  assert.deepEqual(judge([{ type: 'tulle', network: 'blue' }]), []);
  assert.deepEqual(judge([{ type: 'bridge' }, portmap], { hasProgram: false, isThere: () => false }), []);
  for (const text of ['', 'null', '[]', '{"plugins":[null,1]}', '{"plugins":{}}'])
    assert.deepEqual(judge([], { lists: new Map([['x', text]]), hasProgram: false }), []);
});

test('what is missing is named', () => {
  assert.deepEqual(judge([{ type: 'tulle' }], { hasProgram: false }), [
    'names a plugin that is not there: no container starts with it',
  ]);
  assert.deepEqual(judge([{ type: 'tulle' }], { isThere: () => false, status: undefined }), [
    'names an agent that does not run: no container starts with it',
  ]);
  assert.deepEqual(judge([{ type: 'tulle', network: 'red' }]), [
    `is for the network red, which ${HERE} does not have`,
  ]);
  assert.deepEqual(judge([{ type: 'tulle', network: 'red' }], { status: undefined }), [], 'nobody can say');
  const twice = { capabilities: { portMappings: true } };
  assert.deepEqual(
    judge([
      { type: 'tulle', ...twice },
      { type: 'portmap', ...twice },
    ]),
    ['publishes each port twice'],
  );
});
