/** The thread of Renderer: on each message, makes JSON of an answer. */
import { parentPort } from 'node:worker_threads';
import { Auth } from '../../store/wire/generated/auth_pb.ts';
import { Cluster } from '../../store/wire/generated/cluster_pb.ts';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { Lease } from '../../store/wire/generated/lease_pb.ts';
import { Maintenance } from '../../store/wire/generated/maintenance_pb.ts';
import { jsonOf } from './json.ts';
import type { Task } from './renderer.ts';

const answers = new Map(
  [Auth, Cluster, KV, Lease, Maintenance]
    .flatMap(service => service.methods)
    .map(({ output }) => [output.typeName, output]),
);

parentPort?.on('message', ({ id, type, bytes }: Task) => {
  const schema = answers.get(type);
  if (schema === undefined) throw new TypeError(`no service answers with ${type}`);
  const json = new TextEncoder().encode(jsonOf(schema, bytes));
  parentPort?.postMessage({ id, json }, [json.buffer]);
});
