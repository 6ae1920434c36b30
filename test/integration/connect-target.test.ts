/** What `tulle network connect` takes for a container, with real namespaces. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openTarget } from '../../src/network/segment/endpoints/target.ts';
import { Netns } from '../../src/sys/netns.ts';
import { start } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';

const NONE = async () => undefined;

describe('a target', needsRoot, () => {
  test('is a namespace by its name, with or without its kind, and by its path', () =>
    withNamespace(async ({ name, netns, home }) => {
      for (const text of [name, `netns:${name}`, `/run/netns/${name}`]) {
        using target = await openTarget(text, home, NONE);
        assert.deepEqual([target.container, target.netns.inode], [name, netns.inode]);
      }
    }));

  test('is the namespace of a process', () =>
    withNamespace(async ({ name, netns, home }) => {
      const child = await start('sleep', ['60'], { namespaces: { net: `/run/netns/${name}` } });
      try {
        // It enters the namespace a moment after it has begun; until then it is refused.
        using target = await eventually('the process is in its namespace', () =>
          openTarget(`${child.pid}`, home, NONE),
        );
        assert.deepEqual([target.container, target.netns.inode], [`pid-${child.pid}`, netns.inode]);
      } finally {
        child.kill('SIGKILL');
        await child.exited;
      }
    }));

  test('is a Docker container, and asks which is meant when a namespace has its name', () =>
    withNamespace(async ({ name, netns, home }) => {
      const find = async () => `/run/netns/${name}`;
      using target = await openTarget('docker:web', home, find);
      assert.deepEqual([target.container, target.netns.inode], ['web', netns.inode]);
      await assert.rejects(openTarget(name, home, find), { code: 'AMBIGUOUS_TARGET' });
    }));

  test('that is none is refused with what was looked for', () =>
    withNamespace(async ({ home }) => {
      for (const [text, code] of [
        ['nowhere', 'NO_TARGET'],
        ['netns:nowhere', 'NO_TARGET'],
        ['docker:nowhere', 'NO_TARGET'],
        ['/run/netns/nowhere', 'NO_TARGET'],
        ['4194304', 'NO_TARGET'],
        ['/etc/passwd', 'UNUSABLE_TARGET'],
        ['/proc/self/ns/net', 'UNUSABLE_TARGET'],
        ['/a path', 'UNUSABLE_TARGET'],
        ['../../etc', 'NO_TARGET'],
      ] as const) {
        await assert.rejects(openTarget(text, home, NONE), { code }, text);
      }
    }));
});

async function withNamespace(
  body: (place: { readonly name: string; readonly netns: Netns; readonly home: Netns }) => Promise<void>,
): Promise<void> {
  const name = `tt-endpoint-${Math.random().toString(36).slice(2, 10)}`;
  using home = Netns.current();
  using netns = Netns.create(name);
  try {
    await body({ name, netns, home });
  } finally {
    Netns.delete(name);
  }
}
