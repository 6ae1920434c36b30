/** Which gRPC status an error is answered with, over gRPC and by the JSON gateway alike. */
import { HalfDone } from './commit-queue.ts';
import { DatabaseError } from './database-error.ts';
import { type GrpcStatus, RpcError } from './errors.ts';

export function statusOf(error: unknown): GrpcStatus {
  if (error instanceof RpcError) return error.code;
  if (error instanceof HalfDone) return statusOf(error.cause);
  if (!(error instanceof DatabaseError)) return 'INTERNAL';
  // Later, on a better disk, the same request may succeed; what is damaged stays so.
  return error.code === 'CORRUPT_DATABASE' ? 'DATA_LOSS' : 'UNAVAILABLE';
}
