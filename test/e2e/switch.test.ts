/**
 * The backend of a network is changed while the containers of three hosts talk: every backend to every other, all agents at
 * work, one agent after the other, and an agent that is killed in between.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BackendLab, type BackendName } from '../support/backend-lab.ts';
import { isFastPathOff } from '../support/both-ways.ts';
import { needsRoot } from '../support/capabilities.ts';

/** Each of the three to each other one; with the fast path off those that can have one, on one side or the other. */
const ROUND: readonly BackendName[] = isFastPathOff
  ? ['vxlan', 'host-gw', 'vxlan', 'udp', 'vxlan']
  : ['vxlan', 'host-gw', 'udp', 'vxlan', 'udp', 'host-gw', 'vxlan'];

/** What is more than one of the three, and shares devices with them. */
const FURTHER: readonly BackendName[] = [
  'vxlan',
  'vxlan with DirectRouting',
  'host-gw',
  'auto',
  'udp',
  'auto',
  'vxlan',
];

const stepsOf = (round: readonly BackendName[]) =>
  round.slice(1).map((to, index) => [round[index] ?? to, to] as const);

const STEPS = stepsOf(ROUND);

/** Tests that follow each other in a lab of their own, which begins with vxlan. */
function inLab(what: string, declare: (lab: BackendLab) => void): void {
  describe(what, { concurrency: 1 }, () => {
    const lab = new BackendLab();
    before(() => lab.create('vxlan'));
    after(() => lab[Symbol.asyncDispose]());
    declare(lab);
  });
}

// A change is mostly waiting: for agents to see that the others have followed, and to end.
describe('another backend for a running network', { ...needsRoot, concurrency: 2 }, () => {
  inLab('all agents at work', lab => {
    for (const [from, to] of [...STEPS, ...stepsOf(FURTHER)]) {
      test(`${from} -> ${to}: no packet is lost, and nothing of the former one is left`, async t => {
        const lost = await lab.lossDuring(async () => {
          await lab.configure(to);
          await lab.assertOnly(to);
        });
        t.diagnostic(`${lost} packets lost`);
        assert.equal(lost, 0);
      });
    }
  });

  inLab('one host after the other', lab => {
    for (const [from, to] of STEPS) {
      test(`${from} -> ${to}, one host after the other: whoever has followed reaches whoever has not`, async t => {
        const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
        const lost = await lab.lossDuring(async () => {
          for (const host of [two, three]) {
            await host.untilKnown(from);
            await host.killAgent();
          }
          await lab.configure(to);
          await one.untilIn(to);
          await two.startAgent();
          await two.untilIn(to);
          await three.startAgent();
          await lab.assertOnly(to);
        });
        t.diagnostic(`${lost} packets lost`);
        assert.equal(lost, 0);
      });
    }
  });

  inLab('an agent is killed in the middle, and strict reverse path filtering', lab => {
    for (const [from, to] of STEPS) {
      test(`${from} -> ${to}, with an agent killed in the middle: the next one goes on`, async t => {
        const [one, three] = [lab.host(1), lab.host(3)];
        const lost = await lab.lossDuring(async () => {
          await three.untilKnown(from);
          await three.killAgent();
          await lab.configure(to);
          await one.untilIn(to);
          await one.untilKnown(to);
          await one.killAgent();
          await one.startAgent();
          await one.until(
            'it waits for the third',
            ({ warnings, agent }) =>
              agent.ready &&
              warnings.some(({ code, text }) => code === 'NETWORK_CHANGING' && text.includes('not followed')),
          );
          await three.startAgent();
          await lab.assertOnly(to);
        });
        t.diagnostic(`${lost} packets lost`);
        assert.equal(lost, 0);
      });
    }

    test('with strict reverse path filtering: the network comes through all of them', async t => {
      // The device that is made next has what is the default then.
      for (const host of lab.hosts)
        await host.sh('for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done');
      for (const [from, to] of STEPS) {
        const lost = await lab.lossDuring(async () => {
          await lab.configure(to);
          await lab.assertOnly(to);
        });
        t.diagnostic(`${from} -> ${to}: ${lost} packets lost`);
      }
    });
  });
});
