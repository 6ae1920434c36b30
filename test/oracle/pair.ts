/**
 * Our store and a real etcd side by side, both empty at revision 1. As long as both are asked the same in the same
 * order, every answer must be the same, revisions included.
 */
import { Client, credentials } from '@grpc/grpc-js';
import { Etcd } from '../support/etcd.ts';
import { TulleStore } from '../support/tulle-store.ts';

export interface Member {
  readonly name: 'tulle' | 'etcd';
  readonly url: string;
  readonly client: Client;
}

export interface Pair extends AsyncDisposable {
  readonly tulle: Member;
  readonly etcd: Member;
}

/** Cheap passwords, and no election because the machine is busy for a moment. */
const ETCD_FLAGS = ['--bcrypt-cost=4', '--heartbeat-interval=1000', '--election-timeout=10000'];

export async function startPair(): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const member = (name: Member['name'], server: { readonly url: string; readonly port: number }): Member => {
    const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    stack.defer(() => client.close());
    return { name, url: server.url, client };
  };
  const tulle = member('tulle', stack.use(await TulleStore.start({ flags: ['--name=m0'] })));
  const etcd = member('etcd', stack.use(await Etcd.start({ flags: ETCD_FLAGS })));
  const owned = stack.move();
  return { tulle, etcd, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
