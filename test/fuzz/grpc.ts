/** What a client may send to the gRPC services of the store: messages, in pieces. */
import { RpcError } from '../../src/etcdserver/errors.ts';
import { frameMessage, MessageReader } from '../../src/etcdserver/http/grpc-messages.ts';
import type { FuzzTarget } from './fuzz.ts';

const MAX_MESSAGE = 64;

export const grpcTargets: readonly FuzzTarget[] = [
  {
    name: 'gRPC messages',
    seeds: ['', 'one', 'x'.repeat(MAX_MESSAGE)].map(text =>
      Buffer.concat([frameMessage(Buffer.from(text)), frameMessage(Buffer.from('last'))]),
    ),
    accepts(input) {
      const reader = new MessageReader(MAX_MESSAGE);
      let bytes = 0;
      try {
        for (const byte of input) {
          reader.push(Buffer.from([byte]), message => {
            bytes += message.byteLength;
          });
        }
        return bytes <= input.length;
      } catch (error) {
        if (error instanceof RpcError) return false;
        throw error;
      }
    },
  },
];
