/** Why a plugin of CNI refuses, as its runtime is told. docs/reference/cni.md has the table. */
import { ConfigError, formatProblem, messageOf, type Problem, TulleError } from '../../base/errors.ts';
import { AttachmentError, type AttachmentErrorCode } from '../../network/attachment/attachments.ts';

export type CniErrorCode =
  /** The version in the configuration, or the command in that version, is not supported. */
  | 'INCOMPATIBLE_VERSION'
  /** CHECK: the container is not attached. */
  | 'UNKNOWN_CONTAINER'
  /** Variables are missing or wrong; all of them are named. */
  | 'INVALID_ENVIRONMENT'
  /** The configuration is not JSON, too long, or does not end. */
  | 'DECODING_FAILED'
  /** Keys of the configuration are wrong; all of them are named. */
  | 'INVALID_CONFIG'
  /** The namespace is that of the host itself, cannot be opened, or the plugin runs on another host than the agent. */
  | 'INVALID_NETNS'
  /** No agent answers, or it has no lease or no such network yet. */
  | 'TRY_AGAIN'
  /** STATUS: no container can be attached now. */
  | 'NOT_AVAILABLE'
  /** Anything else; the message says what. */
  | 'FAILED'
  /** The namespace has a link of this name already. */
  | 'LINK_EXISTS'
  /** The address that was asked for is that of another container. */
  | 'ADDRESS_TAKEN'
  /** No address is free. */
  | 'NO_ADDRESS'
  /** A port of the host that was asked for is taken. */
  | 'PORT_TAKEN'
  /** CHECK: something is not as it was made. */
  | 'CHANGED'
  /** The network is there, and differs from what is wanted. */
  | 'DIFFERENT_NETWORK';

/** As the specification numbers them; from 100 on our own. The launcher gives 5 where there is no Node.js to run on. */
export const CNI_CODES: Readonly<Record<CniErrorCode, number>> = {
  INCOMPATIBLE_VERSION: 1,
  UNKNOWN_CONTAINER: 3,
  INVALID_ENVIRONMENT: 4,
  DECODING_FAILED: 6,
  INVALID_CONFIG: 7,
  INVALID_NETNS: 8,
  TRY_AGAIN: 11,
  NOT_AVAILABLE: 50,
  FAILED: 100,
  LINK_EXISTS: 101,
  ADDRESS_TAKEN: 102,
  NO_ADDRESS: 103,
  PORT_TAKEN: 104,
  CHANGED: 105,
  DIFFERENT_NETWORK: 106,
};

/** A call of a plugin cannot be done. */
export class CniError extends TulleError<CniErrorCode> {
  /** @param problems everything that is wrong with the call */
  static ofProblems(code: CniErrorCode, what: string, problems: readonly Problem[]): CniError {
    return new CniError(code, `${what}: ${problems.map(formatProblem).join('; ')}`);
  }
}

const OF_ATTACHMENT: Readonly<Record<AttachmentErrorCode, CniErrorCode>> = {
  NOT_FOUND: 'TRY_AGAIN',
  NOT_READY: 'TRY_AGAIN',
  DIFFERENT_NETWORK: 'DIFFERENT_NETWORK',
  INVALID_WISH: 'INVALID_CONFIG',
  PORT_TAKEN: 'PORT_TAKEN',
  ADDRESS_TAKEN: 'ADDRESS_TAKEN',
  NO_ADDRESS: 'NO_ADDRESS',
  NO_ROOM: 'NO_ADDRESS',
};

/** An error object of the specification. */
export interface CniErrorObject {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export function cniErrorObject(error: unknown, cniVersion: string): CniErrorObject {
  const { hint } = error instanceof TulleError ? error : { hint: undefined };
  const code = CNI_CODES[codeOf(error)];
  return { cniVersion, code, msg: messageOf(error), ...(hint !== undefined && { details: hint }) };
}

function codeOf(error: unknown): CniErrorCode {
  if (error instanceof CniError) return error.code;
  if (error instanceof AttachmentError) return OF_ATTACHMENT[error.code];
  if (error instanceof ConfigError) return 'INVALID_CONFIG';
  return 'FAILED';
}
