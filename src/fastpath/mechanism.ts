/** How the kernel runs programs at a link: by tcx, or before Linux 6.6 by filters of clsact. */
import type { LinkPoint } from '../bpf/attachment.ts';
import type { BpfProgram } from '../bpf/program.ts';

export interface LinkPlace {
  /** Of the link. */
  readonly index: number;
  readonly point: LinkPoint;
}

export interface NamedProgram {
  readonly program: BpfProgram;
  /** For people who look. */
  readonly name: string;
}

export interface Mechanism {
  readonly name: 'tcx' | 'clsact';
  /** Those of the links that may have programs. @throws NetlinkError */
  occupied(indexes: readonly number[]): Promise<readonly number[]>;
  /**
   * Ids of all programs there, of whomever, in the order in which they run; none when the link is gone.
   * @throws SysError, NetlinkError
   */
  programs(place: LinkPlace): Promise<readonly number[]>;
  /**
   * Behind those that are there, or in the place of one, without a packet between.
   *
   * @param replaced id of that one; if it has gone meanwhile, behind the others
   * @throws SysError, NetlinkError with the code ENODEV: the link is gone
   */
  attach(place: LinkPlace, added: NamedProgram, replaced?: number): Promise<void>;
  /** @param id of a program of ours; nothing happens when it is not there. @throws SysError, NetlinkError */
  detach(place: LinkPlace, id: number): Promise<void>;
}
