import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeText, RegistryFixture } from '../../../test/support/registry.ts';
import { type ConfigReading, ConfigWatch } from './config-watch.ts';

const summary = (reading: ConfigReading) => {
  if (reading.state === 'valid') return `${reading.config.ipv4?.network} ${reading.warnings.length}`;
  return reading.state === 'invalid'
    ? `invalid ${reading.problems.map(({ path }) => path).join(' ')}`
    : reading.state;
};

test('every configuration is read as it comes, and contact lost or history compacted changes nothing', async t => {
  const fixture = new RegistryFixture();
  const { store, registry } = fixture.connect();
  const watch = new ConfigWatch(registry, ({ type }) => ({
    problems: type === 'odd' ? [{ path: 'Backend.Type', message: 'is odd' }] : [],
    warnings: [],
  }));
  const end = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const reading of watch.reading.changes(end.signal)) seen.push(summary(reading));
  })();
  const running = watch.run(end.signal);
  t.after(async () => {
    end.abort();
    await Promise.all([running, following]);
  });
  const write = async (text: string) => {
    await fixture.store.put(registry.configKey, encodeText(text));
    await fixture.clock.advance(0);
    return seen.splice(0);
  };
  await fixture.clock.advance(0);
  assert.deepEqual(seen.splice(0), ['unknown', 'missing']);

  assert.deepEqual(await write('{"Network":"10.5.0.0/16"}'), ['10.5.0.0/16 0']);
  assert.deepEqual(await write('{"Network":"10.5.0.0/16"}'), []);
  assert.deepEqual(await write('{"Network":"10.6.0.0/16","VNI":1}'), ['10.6.0.0/16 1']);
  assert.deepEqual(await write('{"Network":"10.6.0.0"}'), ['invalid Network']);
  assert.deepEqual(await write('{"Network":"10.6.0.0","Backend":{"Type":"odd"}}'), [
    'invalid Network Backend.Type',
  ]);
  assert.deepEqual(await write('\u0000'), ['invalid config']);
  assert.deepEqual(await write('\uFEFF{"Network":"10.6.0.0/16"}'), ['invalid config']);

  store.cut();
  assert.deepEqual(await write('{"Network":"10.7.0.0/16"}'), []);
  fixture.database.compact();
  store.heal();
  await fixture.clock.advance(0);
  assert.deepEqual(seen.splice(0), ['10.7.0.0/16 0']);

  await fixture.store.put(`${registry.configKey}-more`, encodeText('{}'));
  await fixture.store.delete(registry.configKey);
  await fixture.clock.advance(0);
  assert.deepEqual(seen.splice(0), ['missing']);
  assert.deepEqual(await write('{"Network":"10.7.0.0/16"}'), ['10.7.0.0/16 0']);
});
