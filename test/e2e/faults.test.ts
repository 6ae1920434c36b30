/**
 * Every fault of the catalogue, planted in a lab: it breaks what it says, `tulle check` names it on the host at fault and on
 * another one, and `mend` heals it.
 *
 * One of them: node --test --test-name-pattern 'one-way-out' test/e2e/faults.test.ts
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { FAULTS } from '../../src/lab/faults/catalogue.ts';
import type { Fault } from '../../src/lab/faults/fault.ts';
import { isFastPathOff } from '../support/both-ways.ts';
import { eventually } from '../support/eventually.ts';
import { AT_FAULT, FaultLab, HEALTHY } from '../support/fault-lab.ts';
import { detailsOf, judge, readReport } from '../support/fault-verdict.ts';
import { needsLab } from '../support/lab.ts';

/**
 * Labs of each kind that are worked in at the same time. Much of the time is waiting for packets that do not come; but a check
 * that a busy machine answers late is made again, so that more labs at once take longer.
 */
const LABS = { namespace: 2, docker: 1 } as const;
type Kind = keyof typeof LABS;

/** Labs that are free. One in which a fault could not be mended is not used again. */
class Pool {
  readonly #kind: Kind;
  readonly #free: FaultLab[] = [];
  readonly #labs = new Set<FaultLab>();

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  async work(what: (lab: FaultLab) => Promise<void>): Promise<void> {
    const lab = this.#free.pop() ?? (await FaultLab.create(this.#kind));
    this.#labs.add(lab);
    try {
      await what(lab);
      this.#free.push(lab);
    } catch (error) {
      this.#labs.delete(lab);
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  async end(): Promise<void> {
    await Promise.all([...this.#labs].map(lab => lab[Symbol.asyncDispose]()));
  }
}

async function plantAndMend(lab: FaultLab, fault: Fault): Promise<void> {
  await lab.plant(fault);
  await lab.untilBroken(fault);
  await Promise.all([named(lab, fault, 'here'), named(lab, fault, 'there')]);
  await lab.mend();
  await lab.untilWhole();
}

/** Asks `tulle check` until it names the cause: a fault that loses nothing is noticed after a while. */
async function named(lab: FaultLab, fault: Fault, side: 'here' | 'there'): Promise<void> {
  // Who asks from elsewhere asks about the host that is at fault, where there is something to say about it.
  const isAboutHost = side === 'there' && fault.finds.there.length > 0;
  const host = side === 'here' ? AT_FAULT : HEALTHY;
  await eventually(
    `tulle check on ${host} names ${fault.name}`,
    async () => {
      const { text } = await lab.check(host, ...(isAboutHost ? [AT_FAULT] : []));
      const report = readReport(text);
      const verdict = judge(fault, side, report);
      assert.equal(verdict, 'right', detailsOf(report));
      return true;
    },
    // One check takes three seconds, and ten where the machine has much else to do.
    fault.effect === 'later' ? 90_000 : 60_000,
  );
}

/** Only agents and the store are asked: no packet of a container is lost, and none is the way by which it is found. */
const isOfPackets = ({ place, effect }: Fault) =>
  !(effect === 'later' && (place === 'agent' || place === 'store'));

const planted = FAULTS.filter(fault => !isFastPathOff || isOfPackets(fault));

for (const [kind, concurrency] of Object.entries(LABS) as [Kind, number][]) {
  const isDocker = kind === 'docker';
  const options = { ...needsLab({ docker: isDocker }), concurrency };
  describe(isDocker ? 'faults of Docker' : 'faults', options, () => {
    const pool = new Pool(kind);
    after(() => pool.end());
    for (const fault of planted.filter(({ docker = false }) => docker === isDocker)) {
      test(`${fault.name}: ${fault.title}`, () => pool.work(lab => plantAndMend(lab, fault)));
    }
  });
}
