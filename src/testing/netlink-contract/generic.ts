/** Generic netlink: families are found by name. */
import assert from 'node:assert/strict';
import type { NetlinkCase } from './tools.ts';

export const genericCases: readonly NetlinkCase[] = [
  {
    name: 'a family of generic netlink has a number and multicast groups',
    async run({ generic }) {
      assert.deepEqual(await generic.family('nlctrl'), {
        id: 16,
        name: 'nlctrl',
        version: 2,
        groups: new Map([['notify', 16]]),
      });
    },
  },
  {
    name: 'a family that the kernel does not have is none, and the next question is answered',
    async run({ generic }) {
      assert.equal(await generic.family('no-such-family'), undefined);
      assert.equal((await generic.family('nlctrl'))?.id, 16);
    },
  },
];
