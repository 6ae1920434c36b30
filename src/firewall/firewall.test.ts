/** What the firewall makes of programs that do not do what they say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { recordingLogger } from '../base/log.ts';
import { Prefix } from '../base/prefix.ts';
import type { DesiredFirewall } from './desired.ts';
import type { RunProgram } from './engine.ts';
import { Firewall } from './firewall.ts';

const EMPTY = `*nat
:POSTROUTING ACCEPT [0:0]
COMMIT
*filter
:FORWARD ACCEPT [0:0]
COMMIT
`;

const desired = (network: string): DesiredFirewall => ({
  nftables: false,
  blocks: [{ network: Prefix.parse(network), subnet: Prefix.parse(network) }],
  masquerade: true,
  forward: true,
  randomFully: false,
});

/** A host whose iptables agrees to everything and changes nothing, and that has no nft. */
function stubborn({ saved = EMPTY, restores = 0 } = {}) {
  const started: string[] = [];
  const run: RunProgram = async (program, _args, options) => {
    if (program === 'nft') throw Object.assign(new Error('no such program'), { code: 'ENOENT' });
    const [network = ''] = /10\.\d+\.0\.0\/16/.exec(String(options?.input ?? '')) ?? [];
    started.push(`${program} ${network}`.trim());
    await setImmediate();
    const stdout = program.endsWith('-save') ? saved : 'iptables v1.8.9 (nf_tables)\n';
    return { status: program.endsWith('-restore') ? restores : 0, stdout, stderr: '' };
  };
  return { started, firewall: new Firewall({ log: recordingLogger(), run }) };
}

test('a program that agrees and changes nothing is an error, not a success', async () => {
  const { firewall } = stubborn();
  for (let time = 0; time < 2; time++) {
    await assert.rejects(firewall.apply(desired('10.3.0.0/16')), {
      name: 'FirewallError',
      code: 'NOT_APPLIED',
      message: /^iptables-restore: still /,
    });
  }
});

test('two changes at the same moment come one after the other', async () => {
  const wanted = [desired('10.3.0.0/16'), desired('10.4.0.0/16')];
  const alone = stubborn();
  for (const one of wanted) await assert.rejects(alone.firewall.apply(one));
  const together = stubborn();
  await Promise.allSettled(wanted.map(one => together.firewall.apply(one)));
  assert.deepEqual(together.started, alone.started);
  assert.ok(alone.started.includes('iptables-restore 10.4.0.0/16'));
});

test('a change of the rules that comes while they are compared is not missed', async () => {
  const { started, firewall } = stubborn();
  // Nothing to do, so that the program's word is true.
  const nothing = { ...desired('10.3.0.0/16'), masquerade: false, forward: false };
  const applying = firewall.apply(nothing);
  await setImmediate();
  firewall.markStale();
  await applying;
  started.length = 0;
  await firewall.apply(nothing);
  assert.notDeepEqual(started, []);
  started.length = 0;
  await firewall.apply(nothing);
  assert.deepEqual(started, [], 'until then nothing is compared again');
});

const LEFT = EMPTY.replace(
  'COMMIT',
  ':FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -j FLANNEL-POSTRTG\n-A FLANNEL-POSTRTG -s 10.3.0.0/16 -j MASQUERADE\nCOMMIT',
);

test('after a cleanup the same rules are compared again', async () => {
  const { started, firewall } = stubborn();
  const nothing = { ...desired('10.3.0.0/16'), masquerade: false, forward: false };
  await firewall.apply(nothing);
  assert.deepEqual(await firewall.cleanup({ networks: [Prefix.parse('10.3.0.0/16')], dryRun: false }), []);
  started.length = 0;
  await firewall.apply(nothing);
  assert.notDeepEqual(started, []);
});

test('a cleanup that a program refuses fails, and one that is only shown starts no such program', async () => {
  const options = { networks: [Prefix.parse('10.3.0.0/16')], dryRun: false };
  const refusing = stubborn({ saved: LEFT, restores: 1 });
  await assert.rejects(refusing.firewall.cleanup(options), { code: 'REFUSED' });
  const shown = stubborn({ saved: LEFT, restores: 1 });
  assert.equal((await shown.firewall.cleanup({ ...options, dryRun: true })).length > 0, true);
  assert.deepEqual(
    shown.started.filter(program => program.includes('-restore')),
    [],
  );
});
