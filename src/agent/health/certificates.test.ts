import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { recordingLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { makeAuthority } from '../../trust/x509.ts';
import { CertificateWatch } from './certificates.ts';
import { EventLog } from './event-log.ts';
import { Health } from './health.ts';

const DAY = 86_400_000;
const LIFE = 10 * 365.25 * DAY;

test('D3: a certificate is a warning 30 days before its end, until it is renewed', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-certificates-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = new ManualClock();
  const health = new Health(clock, new EventLog({ clock, logger: recordingLogger() }));
  const file = join(directory, 'host.pem');
  const watch = new CertificateWatch({ files: [file, join(directory, 'none.pem')], health, clock });
  const renew = async () => writeFileSync(file, (await makeAuthority(clock.now())).certificate);
  const warnings = async () => {
    await watch.look();
    return health.warnings().map(({ code, severity, text }) => ({ code, severity, text }));
  };
  assert.deepEqual(await warnings(), []);
  await renew();
  const end = new Date(clock.now() + LIFE).toISOString();

  assert.deepEqual(await warnings(), []);
  assert.deepEqual(watch.status, [{ file, subject: 'CN=Tulle authority', expires: end }]);
  await clock.advance(LIFE - 31 * DAY);
  assert.deepEqual(await warnings(), []);
  await clock.advance(2 * DAY);
  const text = `${file} (CN=Tulle authority) is valid until ${end}`;
  const code = 'CERTIFICATE_EXPIRES';
  assert.deepEqual(await warnings(), [{ code, severity: 'warning', text: `${text}, for 29 more days` }]);
  await clock.advance(29 * DAY);
  assert.deepEqual(await warnings(), [{ code, severity: 'error', text }]);
  await renew();
  assert.deepEqual(await warnings(), []);
});
