/** A consistent copy of a running store, from its Maintenance service into a file. */
import { open, rename, rm } from 'node:fs/promises';
import type { EtcdClient } from '../store/etcd/client.ts';
import { Maintenance } from '../store/wire/generated/maintenance_pb.ts';

/**
 * Writes beside the target and renames, so that `file` is a whole snapshot or not there.
 * @returns its length in bytes. @throws StoreError
 */
export async function saveSnapshot(client: EtcdClient, file: string, signal: AbortSignal): Promise<number> {
  const temporary = `${file}.part`;
  const stream = await client.stream(Maintenance.method.snapshot, signal);
  let bytes = 0;
  try {
    await using output = await open(temporary, 'w', 0o600);
    stream.send({});
    stream.end();
    for await (const { blob } of stream) {
      await output.appendFile(blob);
      bytes += blob.byteLength;
    }
    await output.sync();
    await rename(temporary, file);
    return bytes;
  } finally {
    stream.close();
    await rm(temporary, { force: true });
  }
}
