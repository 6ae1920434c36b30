/** What a step of mending says when a person has mended it by hand. Pure. */
import { messageOf } from '../../base/errors.ts';
import type { FaultStep } from './step.ts';

/** iptables and ebtables, nft and netlink, iproute2 and the kernel's extended errors, Docker. */
const IS_GONE =
  /does a matching rule exist|No such (file or directory|process)|Cannot find device|FIB table does not exist|Address not found|handle of zero|No such network|network \S+ not found/i;
const IS_THERE = /File exists|Address already assigned|already exists in network/;

/** Whether a step failed only because there is nothing left to remove, or because what it adds is there. */
export function isDoneAlready(step: FaultStep, error: unknown): boolean {
  if (step.kind !== 'run') return false;
  const message = messageOf(error);
  const isOne = (...words: readonly string[]) => step.words.some(word => words.includes(word));
  return (
    (isOne('delete', '-D', 'flush', 'rm') && IS_GONE.test(message)) ||
    (isOne('add', 'connect') && IS_THERE.test(message))
  );
}
