/** The Watch service: the requests of a stream become watchers, their events become responses. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  WatchCreateRequest_FilterType as FilterType,
  type Watch,
  type WatchCreateRequest,
  type WatchResponseSchema,
} from '../../store/wire/generated/watch_pb.ts';
import type { Core } from '../core.ts';
import { RpcError } from '../errors.ts';
import { compareKeys, type KeyRange, rangeOf } from '../kv/range.ts';
import { encodeWatch } from '../mvcc/encoding.ts';
import type { Caller, Methods, Outgoing } from '../rpc.ts';
import type { WatchEvent, WatchSink, WatchStream } from './watch-stream.ts';

type Response = MessageInitShape<typeof WatchResponseSchema>;

/** The watch id that means the whole stream. */
const WHOLE_STREAM = -1n;
/** Bytes of events in one response of a watch that allows fragments. */
const FRAGMENT_BYTES = 1024 * 1024;
/** Whatever is wrong with the caller, etcd cancels a watch in these words. */
const DENIED = 'rpc error: code = PermissionDenied desc = etcdserver: permission denied';
/** The smallest key; etcd's meaning of a watch without one. */
const FIRST_KEY = Uint8Array.of(0);

export function watchService(core: Core): Methods<typeof Watch> {
  return {
    watch(caller, out) {
      const stream = core.hub.open(sinkFor(core, out));
      out.onDrain(() => stream.resume());
      out.signal.addEventListener('abort', () => stream.close(), { once: true });
      return {
        message({ requestUnion }) {
          switch (requestUnion.case) {
            case 'createRequest':
              return create(core, caller, out, stream, requestUnion.value);
            case 'cancelRequest': {
              const { watchId } = requestUnion.value;
              if (stream.cancel(watchId))
                out.send({ header: core.header(core.hub.revision), watchId, canceled: true });
              return;
            }
            case 'progressRequest':
              return stream.askProgress();
            case undefined:
          }
        },
        end: () => out.close(),
      };
    },
  };
}

function create(
  core: Core,
  caller: Caller,
  out: Outgoing<Response>,
  stream: WatchStream,
  request: WatchCreateRequest,
): void {
  const range = rangeOf(request.key.byteLength === 0 ? FIRST_KEY : request.key, request.rangeEnd);
  const problem = problemOf(stream, request, range) ?? denial(core, caller, request);
  if (problem !== undefined) {
    out.send({
      header: core.header(core.hub.revision),
      watchId: WHOLE_STREAM,
      created: true,
      canceled: true,
      cancelReason: problem,
    });
    return;
  }
  const id = request.watchId === 0n ? stream.freeId() : request.watchId;
  out.send({ header: core.header(core.hub.revision), watchId: id, created: true });
  stream.add({
    id,
    range,
    from: request.startRevision === 0n ? core.hub.revision + 1n : request.startRevision,
    noPut: request.filters.includes(FilterType.NOPUT),
    noDelete: request.filters.includes(FilterType.NODELETE),
    prevKv: request.prevKv,
    fragment: request.fragment,
    progress: request.progressNotify,
  });
}

function problemOf(stream: WatchStream, request: WatchCreateRequest, range: KeyRange): string | undefined {
  if (range.end !== undefined && compareKeys(range.start, range.end) >= 0) {
    return 'mvcc: watcher range is empty';
  }
  if (request.watchId !== 0n && stream.has(request.watchId)) {
    return 'mvcc: duplicate watch ID provided on the WatchStream';
  }
  return undefined;
}

function denial({ access }: Core, caller: Caller, { key, rangeEnd }: WatchCreateRequest): string | undefined {
  try {
    access.range(caller, { key: key.byteLength === 0 ? FIRST_KEY : key, rangeEnd });
    return undefined;
  } catch (error) {
    if (error instanceof RpcError) return DENIED;
    throw error;
  }
}

function sinkFor(core: Core, out: Outgoing<Response>): WatchSink {
  return {
    get writable() {
      return out.writable;
    },
    events(watcher, revision, events) {
      const header = core.header(revision);
      const parts = watcher.fragment ? fragmentsOf(events) : [events];
      for (const [index, part] of parts.entries()) {
        const fragment = index < parts.length - 1;
        out.send(
          encodeWatch(
            header,
            watcher.id,
            fragment,
            part.map(event => event.encoded),
          ),
        );
      }
    },
    progress(id, revision) {
      out.send({ header: core.header(revision), watchId: id ?? WHOLE_STREAM });
    },
    failed(error) {
      out.close(core.database.noted(error));
    },
    compacted(watchId, compactRevision) {
      out.send({ header: core.header(0n), watchId, canceled: true, compactRevision });
    },
  };
}

/** Events in parts of about FRAGMENT_BYTES; at least one event each. */
function fragmentsOf(events: readonly WatchEvent[]): readonly (readonly WatchEvent[])[] {
  const parts: WatchEvent[][] = [];
  let part: WatchEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = sizeOf(event.kv) + (event.prevKv === undefined ? 0 : sizeOf(event.prevKv));
    if (part.length > 0 && bytes + size > FRAGMENT_BYTES) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(event);
    bytes += size;
  }
  parts.push(part);
  return parts;
}

function sizeOf(kv: WatchEvent['kv']): number {
  return kv.key.byteLength + kv.value.byteLength;
}
