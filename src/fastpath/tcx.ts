/** Programs at links by tcx, in a namespace. */
import { setImmediate } from 'node:timers/promises';
import { isCode } from '../base/errors.ts';
import { attachedPrograms, attachProgram, detachProgram } from '../bpf/attachment.ts';
import { BpfProgram } from '../bpf/program.ts';
import { SysError } from '../sys/errors.ts';
import type { Netns } from '../sys/netns.ts';
import type { LinkPlace, Mechanism, NamedProgram } from './mechanism.ts';

/** Of the loopback link, which every namespace has. */
const LOOPBACK = 1;

export class Tcx implements Mechanism {
  readonly name = 'tcx';
  readonly #netns: Netns;

  /** @param netns of the links; stays the caller's */
  constructor(netns: Netns) {
    this.#netns = netns;
  }

  /** Whether this kernel has it. @throws SysError EPERM */
  static isAvailable(netns: Netns): boolean {
    try {
      return netns.run(() => attachedPrograms(LOOPBACK, 'ingress')) !== undefined;
    } catch (error) {
      if (error instanceof SysError && isCode(error, 'EINVAL', 'ENOSYS')) return false;
      throw error;
    }
  }

  async occupied(indexes: readonly number[]): Promise<readonly number[]> {
    return indexes;
  }

  async programs({ index, point }: LinkPlace): Promise<readonly number[]> {
    return this.#netns.run(() => attachedPrograms(index, point))?.ids ?? [];
  }

  /** What others do at the point meanwhile does not matter: each change is one step for the kernel. */
  async attach({ index, point }: LinkPlace, { program }: NamedProgram, replaced?: number): Promise<void> {
    this.#netns.run(() => {
      using former = replaced === undefined ? undefined : BpfProgram.open(replaced);
      const options = { index, point, program: program.fd };
      const isReplaced = former !== undefined && unlessAbsent(() => attachProgram(options, former.fd));
      if (!isReplaced) attachProgram(options);
    });
    await othersTurn();
  }

  async detach({ index, point }: LinkPlace, id: number): Promise<void> {
    const isChanged = this.#netns.run(() => {
      if (attachedPrograms(index, point)?.ids.includes(id) !== true) return false;
      using program = BpfProgram.open(id);
      return (
        program !== undefined && unlessAbsent(() => detachProgram({ index, point, program: program.fd }))
      );
    });
    if (isChanged) await othersTurn();
  }
}

/**
 * A change waits in the kernel until no packet is in the former programs any more: up to tens of milliseconds (synchronize_rcu).
 * A host that gets a hundred containers at once still answers meanwhile. Another thread could wait instead, but threads that
 * Node makes do not tell in which namespace they are, and an index means another link in each.
 */
const othersTurn = () => setImmediate();

/** False where the program that is meant is not at the point. */
function unlessAbsent(change: () => void): boolean {
  try {
    change();
    return true;
  } catch (error) {
    if (error instanceof SysError && isCode(error, 'ENOENT')) return false;
    throw error;
  }
}
