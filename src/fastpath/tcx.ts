/** Programs at links by tcx, in a namespace. */
import { isCode } from '../base/errors.ts';
import { attachedPrograms, attachProgram, detachProgram } from '../bpf/attachment.ts';
import { BpfProgram } from '../bpf/program.ts';
import { SysError } from '../sys/errors.ts';
import type { Netns } from '../sys/netns.ts';
import type { LinkPlace, Mechanism, NamedProgram } from './mechanism.ts';

/** Others that change the same point at the same time end some time. */
const MOST_TRIES = 200;
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

  async attach({ index, point }: LinkPlace, { program }: NamedProgram, replaced?: number): Promise<void> {
    this.#netns.run(() =>
      withRevision(() => {
        const { ids = [], revision = 0n } = attachedPrograms(index, point) ?? {};
        const options = { index, point, program: program.fd, revision };
        using former =
          replaced !== undefined && ids.includes(replaced) ? BpfProgram.open(replaced) : undefined;
        attachProgram(options, former?.fd);
      }),
    );
  }

  async detach({ index, point }: LinkPlace, id: number): Promise<void> {
    this.#netns.run(() =>
      withRevision(() => {
        const { ids = [], revision = 0n } = attachedPrograms(index, point) ?? {};
        using program = ids.includes(id) ? BpfProgram.open(id) : undefined;
        if (program !== undefined) detachProgram({ index, point, program: program.fd, revision });
      }),
    );
  }
}

/** Looks again and does it again when somebody else was faster. @throws SysError ESTALE */
function withRevision(change: () => void): void {
  for (let left = MOST_TRIES; ; left--) {
    try {
      change();
      return;
    } catch (error) {
      if (left === 1 || !(error instanceof SysError && isCode(error, 'ESTALE'))) throw error;
    }
  }
}
