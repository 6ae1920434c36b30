/** `tulle store` with certificates: who gets in, and as whom. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Authority, type Certificate } from '../support/certificates.ts';
import { needsEtcd } from '../support/etcd.ts';
import { TulleStore } from '../support/tulle-store.ts';

const run = promisify(execFile);

test('a store with certificates serves those of its authority, over gRPC and HTTP', needsEtcd, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-tls-'));
  try {
    const authority = await Authority.create(directory, 'ca');
    const strange = await Authority.create(directory, 'other');
    const server = await authority.issue('server');
    const ann = await authority.issue('ann');
    const stranger = await strange.issue('stranger');
    await using store = await TulleStore.start({
      tls: true,
      flags: [
        `--cert-file=${server.certFile}`,
        `--key-file=${server.keyFile}`,
        `--trusted-ca-file=${authority.caFile}`,
        '--client-cert-auth',
      ],
    });
    const ctl = async (as: Certificate | undefined, ...args: string[]) => {
      const identity = as === undefined ? [] : [`--cert=${as.certFile}`, `--key=${as.keyFile}`];
      const { stdout } = await run(
        'etcdctl',
        [
          `--endpoints=${store.url}`,
          `--cacert=${authority.caFile}`,
          // Whoever is not let in tries until then.
          ...(as === ann ? ['--dial-timeout=30s', '--command-timeout=45s'] : ['--command-timeout=3s']),
          ...identity,
          ...args,
        ],
        { env: { PATH: process.env['PATH'], ETCDCTL_API: '3' } },
      );
      return stdout;
    };
    const curl = async (...args: string[]) =>
      (
        await run('curl', [
          '-s',
          '--max-time',
          '30',
          '--cacert',
          authority.caFile,
          ...args,
          `${store.url}/health`,
        ])
      ).stdout;

    assert.equal(await ctl(ann, 'put', 'a/1', 'x'), 'OK\n');
    assert.equal(await curl('--cert', ann.certFile, '--key', ann.keyFile), '{"health":"true"}');
    await assert.rejects(ctl(undefined, 'get', 'a/1'), 'a client without a certificate');
    await assert.rejects(ctl(stranger, 'get', 'a/1'), 'a certificate of another authority');
    await assert.rejects(curl(), 'HTTP without a certificate');

    // With authentication on, the name in the certificate is the user.
    await ctl(ann, 'user', 'add', 'root:secret');
    await ctl(ann, 'user', 'grant-role', 'root', 'root');
    await ctl(ann, 'user', 'add', 'ann', '--no-password');
    await ctl(ann, 'role', 'add', 'a-reader');
    await ctl(ann, 'role', 'grant-permission', '--prefix=true', 'a-reader', 'read', 'a/');
    await ctl(ann, 'user', 'grant-role', 'ann', 'a-reader');
    await ctl(ann, 'auth', 'enable');
    assert.equal(await ctl(ann, 'get', 'a/1', '--print-value-only'), 'x\n');
    await assert.rejects(ctl(ann, 'put', 'a/1', 'y'), /permission denied/);
    await assert.rejects(ctl(ann, 'get', 'b/1'), /permission denied/);
    assert.equal(await ctl(ann, '--user=root:secret', 'put', 'a/1', 'y'), 'OK\n', 'a token says more');
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
