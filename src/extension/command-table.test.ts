/** What becomes of entries whose commands take long, fail, or were run before. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { recordingLogger } from '../base/log.ts';
import { Prefix } from '../base/prefix.ts';
import type { HostCommand, HostCommandEntry } from '../dataplane/tables/commands.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { CommandTable } from './command-table.ts';

const LINK = { name: 'eth0', index: 2 };
const SUBNET = Prefix.parse('10.3.7.0/24');

const command = (name: string): HostCommand => ({
  name,
  words: [name],
  variables: {},
  input: '\n',
  timeout: 1,
});

const entryOf = (add = 'add', after = ''): HostCommandEntry => ({
  subnet: SUBNET,
  add: command(add),
  remove: command('remove'),
  after,
});

function tableOf() {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const ran: string[] = [];
  /** What becomes of the commands of a name; they succeed at once without. */
  const outcomes = new Map<string, Promise<void>>();
  const table = new CommandTable({
    clock,
    logger,
    run: async ({ name }) => {
      ran.push(name);
      await outcomes.get(name);
    },
    loaded: async () => undefined,
    remember: async () => undefined,
  });
  table.setObstacle(undefined);
  const write = async (entry: HostCommandEntry | undefined) => {
    const change =
      entry === undefined
        ? { link: LINK, entry, former: entryOf() }
        : { link: LINK, entry, former: undefined };
    const [error] = await table.write([change]);
    return error?.message;
  };
  const states = async (name = LINK.name) =>
    (await table.read({ ...LINK, name })).map(({ isFormer }) => (isFormer === true ? 'former' : 'made'));
  return { clock, logger, ran, outcomes, table, write, states };
}

describe('a table of commands', () => {
  test('has what was added, on its link alone', async () => {
    const { write, states, ran } = tableOf();
    assert.equal(await write(entryOf()), undefined);
    assert.deepEqual([await states(), await states('flannel.88')], [['made'], []]);
    assert.equal(await write(undefined), undefined);
    assert.deepEqual([await states(), ran], [[], ['add', 'remove']]);
    assert.equal(await write(undefined), undefined, 'there is nothing left to remove');
  });

  test('adds nothing before this host is set up, and says why', async () => {
    const { table, write, ran } = tableOf();
    table.setObstacle('PostStartupCommand ended with status 1');
    assert.equal(await write(entryOf()), 'PostStartupCommand ended with status 1');
    const losses: string[] = [];
    table.watch(({ reason }) => losses.push(reason));
    table.setObstacle(undefined);
    assert.deepEqual([ran, losses], [[], ['this host was set up for peers']]);
  });

  test('undoes what has failed or had other values before it adds it again', async () => {
    const { write, outcomes, ran, states } = tableOf();
    outcomes.set('add', Promise.reject(new Error('no')));
    assert.equal(await write(entryOf()), 'no');
    assert.deepEqual(await states(), ['former']);
    outcomes.clear();
    assert.equal(await write(entryOf()), undefined);
    assert.equal(await write(entryOf('other')), undefined);
    assert.deepEqual(ran, ['add', 'remove', 'add', 'remove', 'other']);
  });

  test('adds again what was made before, without undoing it, and what stands on something new', async () => {
    const { table, write, states, ran } = tableOf();
    table.adopt([entryOf()]);
    assert.deepEqual(await states(), [], 'its link is not known yet');
    table.assign(LINK.name);
    assert.deepEqual(await states(), ['former']);
    await write(entryOf());
    await write(entryOf('add', 'PreStartupCommand ran again'));
    assert.deepEqual([await states(), ran], [['made'], ['add', 'add']]);
  });

  test('does not wait for a command that takes long, and says when it has ended', async () => {
    const { clock, table, write, outcomes, states, ran } = tableOf();
    const { promise, resolve } = Promise.withResolvers<void>();
    outcomes.set('add', promise);
    const stop = new AbortController();
    const losses: string[] = [];
    table.watch(({ reason }) => losses.push(reason));
    const running = table.run(stop.signal);
    const writing = write(entryOf());
    await clock.advance(1_000);
    assert.equal(await writing, 'add is still running');
    resolve();
    await clock.advance(1);
    assert.deepEqual([losses, await states()], [['a command has ended'], ['made']]);
    assert.equal(await write(entryOf()), undefined);
    assert.deepEqual(ran, ['add'], 'it is not run again');
    stop.abort();
    await running;
  });

  test('gives up to remove what cannot be removed, and says so', async () => {
    const { write, outcomes, logger, states } = tableOf();
    await write(entryOf());
    outcomes.set('remove', Promise.reject(new Error('no')));
    for (let attempt = 0; attempt < 3; attempt++) assert.equal(await write(undefined), 'no');
    assert.equal(await write(undefined), undefined);
    assert.deepEqual(await states(), []);
    assert.equal(logger.records.at(-1)?.message, 'what a peer has left is not removed');
  });
});
