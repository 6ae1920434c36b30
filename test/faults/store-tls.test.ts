/**
 * A store with a certificate that expires, or is of another authority: hosts refuse to talk to it, say why, and work on with
 * what they know until it has a good one.
 *
 *     agent ---> TcpProxy ---> store at https://127.0.0.1, whose certificate is changed under its feet
 */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Authority, type Certificate } from '../support/certificates.ts';
import { Etcd } from '../support/etcd.ts';
import { TulleStore } from '../support/tulle-store.ts';
import { needsFaultLab } from './fault-host.ts';
import { FaultLab } from './fault-lab.ts';

describe('the certificate of the store', needsFaultLab, () => {
  let directory: string;
  let authority: Authority;
  let stranger: Authority;
  after(() => rm(directory, { recursive: true, force: true }));
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tt-tls-'));
    authority = await Authority.create(directory);
    stranger = await Authority.create(directory, 'stranger');
  });

  for (const kind of ['etcd', 'tulle'] as const) {
    test(`has expired, and is of another authority: reported, and survived (${kind})`, async t => {
      const good = await authority.issue(`good-${kind}`);
      const used = await authority.issue(kind);
      const use = ({ certFile, keyFile }: Certificate) => {
        copyFileSync(certFile, used.certFile);
        copyFileSync(keyFile, used.keyFile);
      };
      const { caFile } = authority;
      const lab = new FaultLab({
        flags: [`--etcd-cafile=${caFile}`],
        open: () =>
          kind === 'etcd'
            ? Etcd.start({ certificate: used, caFile })
            : TulleStore.start({
                tls: true,
                caFile,
                flags: [`--cert-file=${used.certFile}`, `--key-file=${used.keyFile}`],
              }),
      });
      t.after(() => lab[Symbol.asyncDispose]());
      await lab.create();
      for (const [bad, reason] of [
        [await authority.issue(`expired-${kind}`, { expired: true }), /certificate has expired/],
        [await stranger.issue(kind), /unable to verify|self.signed|unknown/i],
        [
          await authority.issue(`elsewhere-${kind}`, { names: ['DNS:elsewhere'] }),
          /not in the cert|altnames/i,
        ],
      ] as const) {
        const lost = await lab.survive(async () => {
          use(bad);
          await lab.store.restart();
          for (const host of lab.hosts) {
            await host.until('it says what is wrong with the certificate', ({ conditions, agent }) => {
              const condition = conditions.find(({ name }) => name === 'store');
              return agent.ready && reason.test(condition?.reason ?? '');
            });
          }
          use(good);
          await lab.store.restart();
        });
        assert.equal(lost, 0);
      }
    });
  }
});
