/** `tulle cleanup` where programs of the fast path run beside those of others. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { BpfMap } from '../../src/bpf/map.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { FastPath } from '../../src/fastpath/fast-path.ts';
import { readSeenAtLink } from '../../src/fastpath/seen-at-link.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { run } from '../../src/sys/process.ts';
import { needsBpf } from '../support/bpftool.ts';
import { eventually } from '../support/eventually.ts';
import { countingPrograms } from '../support/fast-path-programs.ts';
import { plantForeign } from '../support/foreign-programs.ts';
import { Namespace } from '../support/neighbourhood.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const LOOPBACK = { name: 'lo', index: 1 };

async function cleanup(t: TestContext, { namespaces }: Namespace, ...flags: string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-cleanup-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [socket, file] = [join(directory, 'none.sock'), join(directory, 'subnet.env')];
  const places = [`--socket=${socket}`, `--subnet-file=${file}`, `--state-dir=${directory}/none`];
  const { stdout } = await run(process.execPath, [MAIN, 'cleanup', '--json', ...places, ...flags], {
    namespaces,
  });
  return (JSON.parse(stdout) as { readonly found: readonly string[] }).found;
}

function isThere(map: number): boolean {
  using found = BpfMap.open(map);
  return found !== undefined;
}

for (const mechanism of ['tcx', 'clsact'] as const) {
  test(`what ${mechanism} runs of ours goes with its maps; what others have stays`, needsBpf, async t => {
    const host = new Namespace(t);
    const open = (owner: string) =>
      FastPath.open({ netns: host.netns, owner, mechanism, build: countingPrograms() });
    await using rtnetlink = connectRoute({ netns: host.netns });
    const seen = () => readSeenAtLink(LOOPBACK.index, { netns: host.netns, rtnetlink });
    await rtnetlink.traffic.addClsact(LOOPBACK.index);
    await plantForeign(host.netns, LOOPBACK.index, 'theirs');
    let map = 0;
    for (const owner of [NETWORK_PREFIX, '/another/network']) {
      await using fastPath = await open(owner);
      await fastPath.attach(LOOPBACK, 'ingress', 'receive');
      await fastPath.attach(LOOPBACK, 'egress', 'sent');
      map ||= fastPath.maps.flows.id;
    }
    assert.equal((await seen()).length, 6);
    const found = ['fast path at lo: tulle_receive, tulle_sent'];
    assert.deepEqual(await cleanup(t, host, '--dry-run'), found);
    assert.equal((await seen()).length, 6);
    assert.deepEqual(await cleanup(t, host), found);
    const left = (await seen()).map(({ point, program }) => `${point} ${program?.name}`);
    assert.deepEqual(left.toSorted(), [
      'egress tulle_sent',
      'ingress theirs',
      'ingress theirs',
      'ingress tulle_receive',
    ]);
    // The kernel frees it when no processor can be in it any more.
    await eventually('its maps are gone', async () => !isThere(map));
    assert.deepEqual(await cleanup(t, host), []);
  });
}

test('our clsact goes too', needsBpf, async t => {
  const host = new Namespace(t);
  {
    await using fastPath = await FastPath.open({
      netns: host.netns,
      owner: NETWORK_PREFIX,
      mechanism: 'clsact',
      build: countingPrograms(),
    });
    await fastPath.attach(LOOPBACK, 'egress', 'sent');
  }
  assert.deepEqual(await cleanup(t, host), ['fast path at lo: tulle_sent']);
  await using rtnetlink = connectRoute({ netns: host.netns });
  assert.deepEqual(await rtnetlink.traffic.qdiscs(), []);
});
