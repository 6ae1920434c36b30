/** The KV service: checks a request, lets the commit queue apply it, adds the header. */
import type { KV } from '../../store/wire/generated/kv_pb.ts';
import type { Core } from '../core.ts';
import { refusal } from '../errors.ts';
import { encodePut, encodeRange } from '../mvcc/encoding.ts';
import type { MvccWriter } from '../mvcc/mvcc.ts';
import type { Caller, Methods } from '../rpc.ts';
import { AnswerSize } from './answer-size.ts';
import { applyDelete, applyPut, applyTxn, bytesPut, checkPrevious, writes } from './apply.ts';
import { checkDelete, checkPut, checkRange, checkTxn } from './checks.ts';
import { select } from './selection.ts';

/** etcd's limit of a request that changes something. */
const MAX_REQUEST_BYTES = 1536 * 1024;
/** Of the answer to one transaction: it may hold many ranges, each of which could be everything there is. */
const MAX_TXN_ANSWER_BYTES = 64 * 1024 * 1024;

export function kvService(core: Core): Methods<typeof KV> {
  return {
    range(request, caller) {
      checkRange(request);
      return core.read(() => {
        core.access.range(caller, request);
        core.quota.assertSound();
        const selection = select(request, query => core.mvcc.range(query), answerSize(caller));
        return encodeRange(core.header(), selection);
      });
    },

    put(request, caller) {
      checkSize(caller);
      checkPut(request);
      const bytes = request.key.byteLength + request.value.byteLength;
      return core.write(writer => {
        core.access.put(caller, request);
        core.quota.claim(bytes);
        const { header, prevKv } = applyPut(writer, core.lessor, request);
        return encodePut(core.header(header.revision), prevKv);
      });
    },

    deleteRange(request, caller) {
      checkSize(caller);
      checkDelete(request);
      return core.write(writer => {
        core.access.deleteRange(caller, request);
        core.quota.assertSound();
        if (request.prevKv) checkPrevious(writer, request, answerSize(caller));
        const { header, ...result } = applyDelete(writer, request);
        return { ...result, header: core.header(header.revision) };
      });
    },

    txn(request, caller) {
      checkSize(caller);
      checkTxn(request);
      const bytes = bytesPut(request);
      const job = (writer: MvccWriter) => {
        core.access.txn(caller, request);
        if (bytes > 0) core.quota.claim(bytes);
        else core.quota.assertSound();
        const { header, ...result } = applyTxn(
          writer,
          core.lessor,
          request,
          answerSize(caller, MAX_TXN_ANSWER_BYTES),
        );
        return { ...result, header: core.header(header.revision) };
      };
      return writes(request) ? core.write(job) : core.read(() => job(core.mvcc.write()));
    },

    async compact(request, caller) {
      core.access.unrestricted(caller);
      const answer = await core.update(() => {
        core.mvcc.compact(request.revision);
        return { header: core.header() };
      });
      if (request.physical) await core.sweep();
      else core.sweepAlone();
      return answer;
    },
  };
}

/** undefined: any size. @param most bytes, where the way to the caller has no lower limit. */
function answerSize({ answerBytes }: Caller, most?: number): AnswerSize | undefined {
  const limit = answerBytes ?? most;
  return limit === undefined ? undefined : new AnswerSize(limit);
}

function checkSize({ requestBytes }: Caller): void {
  if (requestBytes > MAX_REQUEST_BYTES) throw refusal('requestTooLarge');
}
