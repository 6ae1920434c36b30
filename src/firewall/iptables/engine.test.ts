/** The programs of iptables: which must be there, and which may be missing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import type { RunProgram } from '../engine.ts';
import { rulesFor } from '../rules.ts';
import { IptablesEngine } from './engine.ts';

const EMPTY = [
  '*nat',
  ':POSTROUTING ACCEPT [0:0]',
  'COMMIT',
  '*filter',
  ':FORWARD ACCEPT [0:0]',
  'COMMIT',
  '',
];

const DESIRED = {
  nftables: false,
  blocks: [{ network: Prefix.parse('10.3.0.0/16'), subnet: Prefix.parse('10.3.5.0/24') }],
  masquerade: true,
  forward: true,
  randomFully: false,
};
const WANTED = { ipv4: rulesFor(DESIRED, 'ipv4'), ipv6: rulesFor(DESIRED, 'ipv6') };
const NOTHING = { ipv4: WANTED.ipv6, ipv6: WANTED.ipv6 };

/** An engine on a host where one program fails so: with an error, or with a status. */
function engine(program: string, failure: Error | number, onlyNeeded = false) {
  const run: RunProgram = async name => {
    if (name !== program) return { status: 0, stdout: EMPTY.join('\n'), stderr: '' };
    if (failure instanceof Error) throw failure;
    return { status: failure, stdout: '', stderr: `${name}: no such table` };
  };
  return new IptablesEngine(run, { onlyNeeded });
}

const missing = Object.assign(new Error('spawn'), { code: 'ENOENT' });
const forbidden = Object.assign(new Error('spawn'), { code: 'EACCES' });

const programs = async (...given: Parameters<typeof engine>) =>
  (await engine(...given).plan(WANTED)).changes.map(({ program }) => program);

test('a program that nothing is wanted of may be missing, or find no tables', async () => {
  assert.deepEqual(await programs('ip6tables-save', missing), ['iptables-restore']);
  assert.deepEqual(await programs('ip6tables-save', 3), ['iptables-restore']);
  assert.deepEqual((await engine('iptables-save', missing).plan(NOTHING)).changes, []);
  assert.deepEqual(await programs('iptables-save', missing, true), []);
});

test('a program that is needed and missing is an error with what to install', async () => {
  await assert.rejects(engine('iptables-save', missing).plan(WANTED), {
    name: 'FirewallError',
    code: 'NO_PROGRAM',
    hint: /^install iptables/,
  });
  await assert.rejects(engine('iptables-save', 3).plan(WANTED), {
    code: 'REFUSED',
    message: 'iptables-save: iptables-save: no such table',
  });
});

test('a program that cannot be started for another reason is no missing one', async () => {
  await assert.rejects(engine('ip6tables-save', forbidden).plan(WANTED), forbidden);
});
