import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noRules } from '../rules.ts';
import { NftablesEngine } from './engine.ts';

const CHAINS = {
  nftables: [
    {
      chain: {
        family: 'inet',
        table: 'tulle-trace-1',
        name: 'prerouting',
        type: 'filter',
        hook: 'prerouting',
        prio: -301,
        policy: 'accept',
      },
    },
  ],
};

test('a table that is gone before it is listed is no obstacle, whatever nft makes of it', async () => {
  const wanted = { ipv4: noRules([]), ipv6: noRules([]) };
  for (const gone of [
    { status: 0, stdout: '', stderr: '' },
    { status: 1, stdout: '', stderr: 'Error: No such file or directory' },
  ]) {
    const asked: string[] = [];
    const engine = new NftablesEngine((_, args) => {
      asked.push(args.join(' '));
      const isList = args.includes('chains');
      return Promise.resolve(isList ? { status: 0, stdout: JSON.stringify(CHAINS), stderr: '' } : gone);
    });
    assert.deepEqual(await engine.obstacles(wanted, { isInUse: true, hasIptables: true }), []);
    assert.ok(asked.includes('-j list table inet tulle-trace-1'), asked.join());
  }
});
