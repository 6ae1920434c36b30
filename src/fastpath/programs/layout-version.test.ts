import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { CONFIG_LAYOUT, FLOW_KEY, FLOW_LAYOUT, LAYOUT_VERSION, MAPS, REASONS, tunnelKey } from './layout.ts';

test('an agent goes on with the maps of an earlier one only if they mean the same', () => {
  const layout = [FLOW_KEY.at, FLOW_LAYOUT.at, CONFIG_LAYOUT.at, MAPS, REASONS];
  const tunnel = tunnelKey({ port: 0x0102, vni: 0x030405 });
  const hash = createHash('sha256')
    .update(JSON.stringify([layout, [...tunnel]]))
    .digest('hex');
  assert.deepEqual(
    [LAYOUT_VERSION, hash.slice(0, 16)],
    [1, 'eff367706b1e79b2'],
    'the layout has changed: raise LAYOUT_VERSION if a version with the former one was released, and write the hash here',
  );
});
