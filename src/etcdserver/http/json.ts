/** protobuf's JSON mapping, as etcd's gateway writes it. */
import { type DescMessage, fromBinary, toJson } from '@bufbuild/protobuf';

/** @param bytes the message as gRPC would send it. */
export function jsonOf(schema: DescMessage, bytes: Uint8Array): string {
  // Protobuf's names of the fields: `range_end`.
  return JSON.stringify(toJson(schema, fromBinary(schema, bytes), { useProtoFieldName: true }));
}
