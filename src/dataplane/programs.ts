/** Programs that the kernel runs for each packet at a link: which ones a link is to have, and the seam to whoever has them. */
import type { StoreLink } from './tables/store.ts';

/** Before a packet that has come in is looked at, and before one that goes out is queued. */
export type ProgramPoint = 'ingress' | 'egress';

export const PROGRAM_POINTS: readonly ProgramPoint[] = ['ingress', 'egress'];

export interface DesiredProgram {
  /** Name of any link of the host. While there is none of that name, nothing is done and nothing is missing. */
  readonly link: string;
  readonly point: ProgramPoint;
  /** Names what the program does, in full: two programs of one name are the same program. */
  readonly program: string;
}

/** A program of ours at a link. `program` is undefined for one that nobody knows any more: it goes. */
export interface FoundProgram {
  readonly point: ProgramPoint;
  readonly program: string | undefined;
}

/**
 * Who makes, finds and removes the programs; those of others are never named by it, nor touched. A rejection with the code
 * ENODEV says that the link is gone, which is no failure; any other one is retried with backoff.
 */
export interface ProgramStore {
  /** What of ours runs at the link. @throws SysError */
  read(link: StoreLink): Promise<readonly FoundProgram[]>;
  /**
   * Replaces what of ours runs at that point, without a packet between. False where the very program runs there already:
   * then nothing is done. @throws SysError, BpfError
   */
  attach(link: StoreLink, point: ProgramPoint, program: string): Promise<boolean>;
  /** Nothing happens where there is none. @throws SysError */
  detach(link: StoreLink, point: ProgramPoint): Promise<void>;
  /** Calls back when programs of a link (undefined: of any) may have been changed by others, until it is disposed of. */
  watch(onChange: (link: string | undefined) => void): Disposable;
}
