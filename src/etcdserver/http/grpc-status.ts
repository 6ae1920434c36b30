/** Which gRPC status an error is answered with, over gRPC and by the JSON gateway alike. */

import { type GrpcStatus, RpcError } from '../errors.ts';
import { PartialWriteError } from '../mvcc/commit-queue.ts';
import { DatabaseError } from '../sqlite/database-error.ts';

export function grpcStatusOf(error: unknown): GrpcStatus {
  if (error instanceof RpcError) return error.code;
  if (error instanceof PartialWriteError) return grpcStatusOf(error.cause);
  if (!(error instanceof DatabaseError)) return 'INTERNAL';
  // Later, on a better disk, the same request may succeed; what is damaged stays so.
  return error.code === 'CORRUPT_DATABASE' ? 'DATA_LOSS' : 'UNAVAILABLE';
}
