import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { eventually } from '../../../test/support/eventually.ts';
import type { InspectionReport, Observation } from '../../api/inspection.ts';
import type { InspectionAnswer } from '../../api/inspection-lines.ts';
import { TulleError } from '../../base/errors.ts';
import type { Inspector } from './inspector.ts';
import { type InspectionStream, serveInspection, serveInspections } from './serve.ts';

const REPORT = { host: 'near', findings: [] } as unknown as InspectionReport;
const OBSERVATION = { host: 'near', sightings: [] } as unknown as Observation;
const OBSERVE = '{"observe":{"flow":{"from":"10.5.1.2","to":"10.5.2.2","protocol":"icmp","id":1}}}\n';

/** A host whose observations are counted. */
function host(look: () => Promise<InspectionReport> = () => Promise.resolve(REPORT)) {
  const input = new PassThrough();
  const answers: InspectionAnswer[] = [];
  const ready = new PassThrough();
  let [open, finished] = [0, 0];
  const inspector: Inspector = {
    host: 'near',
    look,
    walk: () => assert.fail('nobody asks for a way'),
    echo: async () => {
      open++;
      return {
        port: 4711,
        [Symbol.asyncDispose]: async () => {
          open--;
        },
      };
    },
    observe: async () => {
      open++;
      return {
        finish: async () => {
          finished++;
          return OBSERVATION;
        },
        [Symbol.asyncDispose]: async () => {
          open--;
        },
      };
    },
  };
  const send = (answer: InspectionAnswer) => {
    answers.push(answer);
    if ('ready' in answer) ready.end('ready');
  };
  const stop = new AbortController();
  const serve = (options: Partial<InspectionStream> = {}) =>
    serveInspection(() => Promise.resolve(inspector), { input, send, ...options }, stop.signal);
  return { input, answers, ready, stop, serve, inspector, counts: () => ({ open, finished }) };
}

test('a look is answered with a report, and nothing asked with nothing', async () => {
  const looked = host();
  looked.input.end('{"look":{}}\n');
  assert.equal(await looked.serve(), true);
  assert.deepEqual(looked.answers, [{ report: REPORT }]);
  const silent = host();
  silent.input.end();
  assert.equal(await silent.serve(), true);
  assert.deepEqual(silent.answers, []);
});

test('an echo lasts until the caller ends its side', async () => {
  const { input, answers, serve, counts } = host();
  input.write('{"echo":{"address":"10.5.2.2","from":"10.5.1.2"}}\n');
  const served = serve();
  await eventually('the port is said', async () => answers.length > 0);
  assert.deepEqual([answers, counts().open], [[{ echoing: { port: 4711 } }], 1]);
  input.end();
  assert.equal(await served, true);
  assert.equal(counts().open, 0);
});

test('an observation lasts until the caller ends its side', async () => {
  const { input, answers, ready, serve, counts } = host();
  const served = serve();
  input.write(OBSERVE);
  await once(ready, 'data');
  assert.deepEqual(counts(), { open: 1, finished: 0 });
  input.end();
  assert.equal(await served, true);
  assert.deepEqual(answers, [{ ready: true }, { observation: OBSERVATION }]);
  assert.deepEqual(counts(), { open: 0, finished: 1 });
});

test('and no longer than it may, whatever the caller does', async () => {
  const { input, answers, serve, counts } = host();
  input.write(OBSERVE);
  assert.equal(await serve({ longest: 1 }), true);
  assert.deepEqual(answers, [{ ready: true }, { observation: OBSERVATION }]);
  assert.equal(counts().open, 0);
});

test('a second request ends it with a reason, and a stop without one', async () => {
  const two = host();
  two.input.end(OBSERVE + OBSERVE);
  assert.equal(await two.serve(), false);
  const last = two.answers.at(-1);
  assert.ok(last !== undefined && 'refusal' in last);
  assert.match(last.refusal.message, /an inspector answers one request/);
  assert.deepEqual(two.counts(), { open: 0, finished: 0 });

  const stopped = host();
  const served = stopped.serve();
  stopped.input.write(OBSERVE);
  await once(stopped.ready, 'data');
  stopped.stop.abort(new Error('the process ends'));
  await assert.rejects(served, /the process ends/);
  assert.deepEqual(stopped.counts(), { open: 0, finished: 0 });
});

test('one request follows the other, each ended by an empty line', async () => {
  let reads = 0;
  const { input, answers, ready, stop, inspector } = host(() =>
    ++reads === 2 ? Promise.reject(new TulleError('EPERM', 'not now')) : Promise.resolve(REPORT),
  );
  let ended = 0;
  const send = (answer: InspectionAnswer) => {
    answers.push(answer);
    if ('ready' in answer) ready.end('ready');
  };
  const served = serveInspections(
    () => Promise.resolve(inspector),
    { input, send, endAnswer: () => ended++ },
    stop.signal,
  );
  const { length: before } = answers;
  input.write('{"look":{}}\n');
  await eventually('the first is answered', async () => ended === 1);
  input.write('\n{"look":{}}\n\nno JSON\n\n');
  await eventually('two are refused', async () => ended === 3);
  input.write(OBSERVE);
  await once(ready, 'data');
  assert.equal(ended, 3);
  input.write('\n{"look":{}}\n\n');
  await eventually('all are answered', async () => ended === 5);
  input.end();
  await served;
  assert.deepEqual(
    answers.slice(before).map(answer => Object.keys(answer)[0]),
    ['report', 'refusal', 'refusal', 'ready', 'observation', 'report'],
  );
});

test('what fails is said with its code and hint', async () => {
  const failing = host(() =>
    Promise.reject(new TulleError('EPERM', 'the host cannot be read', { hint: 'root is needed' })),
  );
  failing.input.end('{"look":{}}\n');
  assert.equal(await failing.serve(), false);
  assert.deepEqual(failing.answers, [
    { refusal: { code: 'EPERM', message: 'the host cannot be read', hint: 'root is needed' } },
  ]);
});
