/** What `tulle config` prints beside the stored text: effective values for scripts, and what is odd in a configuration. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printed } from '../../test/support/output.ts';
import { encodeText, RegistryFixture } from '../../test/support/registry.ts';
import { checkConfig, showConfig } from './config.ts';

test('a configuration that was written with other ends of line is printed with ours', async t => {
  const { registry, store } = new RegistryFixture();
  await store.put(registry.configKey, encodeText('{\r\n  "Network": "10.5.0.0/16"\r\n}\r\n'));
  const { out } = await printed(t, () => showConfig(registry, {}));
  assert.equal(out, '{\n  "Network": "10.5.0.0/16"\n}\n');
});

test('--effective --json prints the effective values as one document', async t => {
  const { registry, store } = new RegistryFixture();
  await store.put(registry.configKey, encodeText('{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}'));
  const { out } = await printed(t, () => showConfig(registry, { effective: true, json: true }));
  assert.partialDeepStrictEqual(JSON.parse(out), {
    ipv4: { network: '10.5.0.0/16', subnetLength: 24, subnetMin: '10.5.1.0' },
    backend: { type: 'vxlan' },
  });
});

test('what is only odd in a configuration is a warning', async t => {
  const text = '{"Network": "10.5.0.0/16", "SubnetLenght": 24, "Backend": {"Type": "vxlan"}}';
  const { result, lines } = await printed(t, async () => checkConfig(text));
  assert.match(lines.join('\n'), /^tulle: warning: SubnetLenght.*SubnetLen/);
  assert.equal(result.config.ipv4?.subnetLength, 24);
});
