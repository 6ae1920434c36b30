/**
 * The JSON gateway: `POST /v3/kv/range` with a JSON request, for curl and for languages without gRPC. Field names,
 * base64 bytes and 64-bit numbers as text are those of protobuf's JSON mapping, paths those of etcd's gateway.
 * Streams answer with one `{"result": ...}` per line; the request body of a watch is its create request.
 *
 * JSON costs much more than gRPC, so answers are bounded, and large ones are made in another thread (renderer.ts).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type DescMessage, type DescMethod, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { messageOf } from '../../base/errors.ts';
import { readAll } from '../../base/read-all.ts';
import { GRPC_STATUS, type GrpcStatus, RpcError } from '../errors.ts';
import { bytesOf } from '../mvcc/encoding.ts';
import type { BidiMethod, Outgoing, ServerStreamMethod, Service, UnaryMethod } from '../rpc.ts';
import { callerOf } from './caller.ts';
import { grpcStatusOf } from './grpc-status.ts';
import { jsonOf } from './json.ts';
import { Renderer } from './renderer.ts';

/** `/v3/kv/range` and the like, by service and method. */
const PATHS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'etcdserverpb.KV': {
    range: 'kv/range',
    put: 'kv/put',
    deleteRange: 'kv/deleterange',
    txn: 'kv/txn',
    compact: 'kv/compaction',
  },
  'etcdserverpb.Watch': { watch: 'watch' },
  'etcdserverpb.Lease': {
    leaseGrant: 'lease/grant',
    leaseRevoke: 'lease/revoke',
    leaseKeepAlive: 'lease/keepalive',
    leaseTimeToLive: 'lease/timetolive',
    leaseLeases: 'lease/leases',
  },
  'etcdserverpb.Cluster': { memberList: 'cluster/member/list' },
  'etcdserverpb.Maintenance': {
    alarm: 'maintenance/alarm',
    status: 'maintenance/status',
    defragment: 'maintenance/defragment',
    hashKV: 'maintenance/hash',
    snapshot: 'maintenance/snapshot',
  },
  'etcdserverpb.Auth': {
    authEnable: 'auth/enable',
    authDisable: 'auth/disable',
    authenticate: 'auth/authenticate',
    userAdd: 'auth/user/add',
    userGet: 'auth/user/get',
    userList: 'auth/user/list',
    userDelete: 'auth/user/delete',
    userChangePassword: 'auth/user/changepw',
    userGrantRole: 'auth/user/grant',
    userRevokeRole: 'auth/user/revoke',
    roleAdd: 'auth/role/add',
    roleGet: 'auth/role/get',
    roleList: 'auth/role/list',
    roleDelete: 'auth/role/delete',
    roleGrantPermission: 'auth/role/grant',
    roleRevokePermission: 'auth/role/revoke',
  },
};

/** HTTP statuses of gRPC's, as grpc-gateway maps them; others are 500. */
const HTTP_STATUS: Partial<Record<GrpcStatus, number>> = {
  INVALID_ARGUMENT: 400,
  OUT_OF_RANGE: 400,
  FAILED_PRECONDITION: 412,
  NOT_FOUND: 404,
  PERMISSION_DENIED: 403,
  UNAUTHENTICATED: 401,
  RESOURCE_EXHAUSTED: 429,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
};

/** Bytes of the largest answer, as gRPC would send it; it holds any one value. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024;

/** Milliseconds without a byte that is read, after which an answer is given up. */
const READING_MS = 30_000;

const JSON_CONTENT = { 'content-type': 'application/json' };

type Any = object;

interface RpcRoute {
  readonly method: DescMethod;
  readonly implementation: unknown;
}

export class Gateway implements AsyncDisposable {
  readonly #routes = new Map<string, RpcRoute>();
  readonly #maxBytes: number;
  readonly #renderer = new Renderer(MAX_ANSWER_BYTES);

  constructor(services: readonly Service[], maxBytes: number) {
    this.#maxBytes = maxBytes;
    for (const { description, methods } of services) {
      for (const method of description.methods) {
        const path = PATHS[description.typeName]?.[method.localName];
        const implementation = methods[method.localName];
        if (path !== undefined && implementation !== undefined) {
          this.#routes.set(`/v3/${path}`, { method, implementation });
        }
      }
    }
  }

  /** @returns false when the path is none of the gateway's. */
  handle(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    const route = this.#routes.get(path);
    if (route === undefined) return false;
    this.#answer(route, request, response).catch((error: unknown) => refuse(response, error));
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#renderer[Symbol.asyncDispose]();
  }

  async #answer(
    { method, implementation }: RpcRoute,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (request.method !== 'POST') {
      response.writeHead(405, { allow: 'POST' }).end();
      return;
    }
    const over = ended(response);
    const body = await readAll(request, this.#maxBytes);
    if (body === undefined) throw new RpcError('RESOURCE_EXHAUSTED', 'the request is too large');
    const message = parse(method.input, body);
    const caller = callerOf(request.socket, request.headers.authorization, body.byteLength);
    if (method.methodKind === 'unary') {
      const answer = await (implementation as UnaryMethod<Any, Any>)(message, {
        ...caller,
        answerBytes: MAX_ANSWER_BYTES,
      });
      // A client that does not read its answer keeps others from large answers.
      response.setTimeout(READING_MS, () => response.destroy());
      write(response, 200, await this.#renderer.render(method.output, answer, over.signal));
      return;
    }
    const out = lines(response, method.output, over);
    if (method.methodKind === 'server_streaming') {
      (implementation as ServerStreamMethod<Any, Any>)(message, caller, out);
      return;
    }
    const incoming = (implementation as BidiMethod<Any, Any>)(caller, out);
    incoming.message(message);
    // A watch goes on until the client leaves; every other stream has had its one request.
    if (method.localName !== 'watch') incoming.end();
  }
}

function parse(schema: DescMessage, body: Uint8Array): Any {
  try {
    const text = new TextDecoder().decode(body);
    return fromJson(schema, JSON.parse(text === '' ? '{}' : text) as JsonValue);
  } catch (error) {
    throw new RpcError('INVALID_ARGUMENT', messageOf(error));
  }
}

/** Aborted when the response is sent, or its client is gone. */
function ended(response: ServerResponse): AbortController {
  const over = new AbortController();
  response.once('close', () => over.abort());
  return over;
}

function lines(response: ServerResponse, schema: DescMessage, over: AbortController): Outgoing<Any> {
  let full = false;
  response.on('drain', () => {
    full = false;
  });
  const writeLine = (line: string) => {
    if (!response.headersSent) response.writeHead(200, JSON_CONTENT);
    full = !response.write(`${line}\n`);
  };
  return {
    signal: over.signal,
    get writable() {
      return !full && !over.signal.aborted;
    },
    send(message) {
      if (!over.signal.aborted) writeLine(`{"result":${jsonOf(schema, bytesOf(schema, message))}}`);
    },
    onDrain: listener => void response.on('drain', listener),
    drained: () =>
      new Promise(resolve => {
        if (!full || over.signal.aborted) return resolve();
        response.once('drain', resolve);
        response.once('close', resolve);
      }),
    close(error) {
      if (over.signal.aborted) return;
      if (error !== undefined && !response.headersSent) refuse(response, error);
      else if (error !== undefined) writeLine(JSON.stringify({ error: problemOf(error) }));
      response.end();
      over.abort();
    },
  };
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const problem = problemOf(error);
  write(
    response,
    HTTP_STATUS[grpcStatusOf(error)] ?? 500,
    JSON.stringify({ error: problem.message, ...problem }),
  );
}

function problemOf(error: unknown): { readonly code: number; readonly message: string } {
  return { code: GRPC_STATUS[grpcStatusOf(error)], message: messageOf(error) };
}

function write(response: ServerResponse, status: number, json: string | Uint8Array): void {
  response.writeHead(status, JSON_CONTENT).end(json);
}
