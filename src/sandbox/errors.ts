/** An endpoint cannot be made as asked, for a reason the kernel did not have to be asked for. */
import { TulleError } from '../base/errors.ts';

export type SandboxErrorCode =
  /** The bridge to attach to does not exist, or is something else. */
  | 'NO_BRIDGE'
  /** The link was removed while it was being set up. */
  | 'VANISHED';

/** A container cannot be attached to its network. */
export class SandboxError extends TulleError<SandboxErrorCode> {
  static noBridge(name: string): SandboxError {
    return new SandboxError('NO_BRIDGE', `there is no bridge ${name}`, { op: 'attach', context: { name } });
  }

  static vanished(name: string): SandboxError {
    return new SandboxError('VANISHED', `${name} disappeared while it was being set up`, {
      op: 'attach',
      context: { name },
    });
  }
}
