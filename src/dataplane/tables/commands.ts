/**
 * Entries that commands of an operator make and undo: for a peer's subnet, the command that adds what is needed to reach
 * it, and the one that removes it. Who runs them hands a store to the data plane (store.ts).
 */
import type { Prefix } from '../../base/prefix.ts';
import type { Entry, EntryKind } from './entry.ts';
import type { StoreChange } from './store.ts';

/** A program, and everything that it gets. */
export interface HostCommand {
  /** What it is called in the configuration: `SubnetAddCommand`. */
  readonly name: string;
  /** The program and its arguments. */
  readonly words: readonly string[];
  /** Its environment, beside a search path. */
  readonly variables: Readonly<Record<string, string>>;
  /** Its standard input. */
  readonly input: string;
  /** Milliseconds that it may take. */
  readonly timeout: number;
}

export interface HostCommandEntry extends Entry {
  readonly subnet: Prefix;
  readonly add?: HostCommand;
  readonly remove?: HostCommand;
  /** Names what was done on this host before: when that is done again, so are these. */
  readonly after?: string;
  /** In what a store holds: made by an earlier run or only in part, and to be made again. */
  readonly isFormer?: true;
}

/** @param isStored whether there is a store for such entries. */
export const commandKind = (
  isStored: boolean,
): EntryKind<HostCommandEntry, StoreChange<HostCommandEntry>> => ({
  object: 'command',
  key: ({ subnet }) => subnet.key,
  name: ({ subnet }) => subnet.toString(),
  same: (desired, actual) => desired.isFormer === actual.isFormer && isSameCommand(desired, actual),
  ours: () => true,
  impossible: ({ name }) => (isStored ? undefined : `this host runs no commands for ${name}`),
  write: ({ name, index }, entry, former) => ({ link: { name, index }, entry, former }),
  remove: ({ name, index }, former) => ({ link: { name, index }, entry: undefined, former }),
  text: ({ subnet, add, remove, isFormer }) => {
    const { name = 'command', variables = {} } = add ?? remove ?? {};
    const values = Object.entries(variables).filter(([, value]) => value !== '');
    const words = values.length === 0 ? [subnet.toString()] : values.map(entry => entry.join('='));
    return `${name} ${words.join(' ')}${isFormer === true ? ' (run before)' : ''}`;
  },
});

type Commands = Pick<HostCommandEntry, 'add' | 'remove' | 'after'>;

export function isSameCommand(a: Commands, b: Commands): boolean {
  return a.after === b.after && isSameEffect(a, b);
}

/** Whether the same programs get the same, whenever they run. */
export function isSameEffect(a: Commands, b: Commands): boolean {
  return JSON.stringify([a.add, a.remove]) === JSON.stringify([b.add, b.remove]);
}
