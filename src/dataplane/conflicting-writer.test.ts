import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Prefix } from '../base/prefix.ts';
import { change } from '../netlink/route/change.ts';
import { FakeHost, fakePeer } from '../testing/dataplane/fake-host.ts';

const PEERS = [1, 2, 3].map(n => fakePeer(n));
const ROUTE = Prefix.parse('10.3.1.0/24');

describe('a program that undoes repairs', () => {
  test('is answered less and less often, reported at intervals, and forgotten when it stops', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const before = host.show();
    const rounds = host.rounds.length;
    for (let action = 0; action < 300; action++) {
      if (host.show() === before) host.interject(change.deleteRoute({ destination: ROUTE }));
      await host.pass(50);
    }
    const { conflict, driftRepairs } = host.plane.report();
    assert.ok(conflict, 'there is a conflict');
    assert.equal(conflict.latest.object, 'route');
    // 20 at once, and two a second for 15 seconds.
    const answers = host.rounds.length - rounds;
    assert.ok(answers >= 40 && answers <= 55, `${answers} rounds`);
    assert.ok((driftRepairs.route ?? 0) >= 40, 'every repair is counted');
    assert.ok(host.repairs.length <= 22, `${host.repairs.length} were reported`);
    await host.pass(15_000);
    assert.equal(host.plane.report().conflict, undefined);
    assert.equal(host.show(), before);
    const reported = host.repairs.reduce((sum, { others = 0 }) => sum + 1 + others, 0);
    assert.equal(reported, host.plane.report().driftRepairs.route, 'all were reported in the end');
  });
});
