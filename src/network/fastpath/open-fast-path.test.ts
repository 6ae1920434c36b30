import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLogger } from '../../base/log.ts';
import { BpfError } from '../../bpf/errors.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { SysError } from '../../sys/errors.ts';
import type { Netns } from '../../sys/netns.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { type OpenFastPath, openFastPath } from './open-fast-path.ts';

const EAGAIN = 11;
const EINVAL = 22;
/** More than all tries take. */
const LONG = 60_000;

const OPENED: OpenFastPath = {
  choice: { obstacle: { code: 'OPENED', text: 'stands for one that is there' } },
  [Symbol.asyncDispose]: async () => undefined,
};

/** What comes of it where the kernel fails in these ways, one after the other, and then does not; how often it was asked. */
async function openedAfter(...failures: readonly Error[]) {
  const [clock, logger] = [new ManualClock(), recordingLogger()];
  let tries = 0;
  const opening = openFastPath(
    {
      mode: 'auto',
      prefix: '/test',
      netns: {} as Netns,
      rtnetlink: {} as Rtnetlink,
      clock,
      logger,
    },
    async () => {
      const failure = failures[tries++];
      if (failure !== undefined) throw failure;
      return OPENED;
    },
  );
  await clock.advance(LONG);
  const { choice } = await opening;
  const code = 'obstacle' in choice ? choice.obstacle.code : undefined;
  return { code, tries, warnings: logger.records.filter(({ level }) => level === 'warn').length };
}

const interrupted = () => new SysError('BPF_PROG_LOAD', EAGAIN);

test('what a busy machine cannot do at first is tried again', async () => {
  assert.deepEqual(await openedAfter(), { code: 'OPENED', tries: 1, warnings: 0 });
  assert.deepEqual(await openedAfter(interrupted(), interrupted()), {
    code: 'OPENED',
    tries: 3,
    warnings: 0,
  });
});

test('but not for ever, and it is never said to be the kernel’s', async () => {
  const { code, tries, warnings } = await openedAfter(...Array.from({ length: 100 }, interrupted));
  assert.deepEqual([code, warnings], ['FAILED', 1]);
  assert.ok(tries > 2 && tries < 20, `${tries} tries`);
});

test('what a kernel lacks it lacks, and another failure is one', async () => {
  assert.deepEqual(await openedAfter(new BpfError('UNSUPPORTED', 'this kernel has no such thing')), {
    code: 'KERNEL',
    tries: 1,
    warnings: 0,
  });
  assert.deepEqual(await openedAfter(new SysError('BPF_MAP_CREATE', EINVAL)), {
    code: 'FAILED',
    tries: 1,
    warnings: 1,
  });
});
