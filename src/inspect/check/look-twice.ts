/** Asking a host that does not answer in time once more: a busy one is not a silent one. */
import type { InspectionReport } from '../../api/inspection.ts';
import { PeerError, type PeerErrorCode } from '../../api/peer/peer-error.ts';
import type { Inspector } from '../inspector/inspector.ts';

const SILENT: readonly PeerErrorCode[] = ['UNREACHABLE', 'TIMEOUT'];

/** @throws PeerError; `signal.reason` */
export async function lookTwice(
  inspector: Pick<Inspector, 'look'>,
  signal: AbortSignal,
): Promise<InspectionReport> {
  try {
    return await inspector.look(signal);
  } catch (error) {
    if (!(error instanceof PeerError && SILENT.includes(error.code)) || signal.aborted) throw error;
    return await inspector.look(signal);
  }
}
