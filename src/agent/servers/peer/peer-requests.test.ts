/** What a host answers another, directly and for a third: real servers on loopback, and a program in place of the inspector. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, mock, type TestContext, test } from 'node:test';
import { deadline, eventually, within } from '../../../../test/support/eventually.ts';
import { type CertifiedHost, hostAuthority } from '../../../../test/support/host-certificates.ts';
import { status as statusWith } from '../../../../test/support/status.ts';
import { bodyText, Exchange } from '../../../api/peer/exchange.ts';
import { PEER_LIMITS } from '../../../api/peer/peer-protocol.ts';
import { type KnownPeer, Peers, targetOf } from '../../../api/peer/peers.ts';
import type { Status } from '../../../api/status.ts';
import { systemClock } from '../../../base/clock.ts';
import { Ip } from '../../../base/ip.ts';
import { silentLogger } from '../../../base/log.ts';
import { RemoteInspector } from '../../../inspect/remote/remote-inspector.ts';
import { freePorts } from '../../../sys/free-ports.ts';
import { Inspectors } from './inspectors.ts';
import { peerListener } from './peer-requests.ts';
import { PeerServer } from './peer-server.ts';

const ADDRESS = '127.0.0.1';
const FLOW = { from: '10.5.1.2', to: '10.5.2.2', protocol: 'icmp', id: 1 } as const;
const REPORT = {
  host: 'docker2',
  time: 1,
  subnets: [],
  bridgeAddresses: [],
  underlayAddresses: [],
  containers: [],
  findings: [],
  blind: [],
};
const OBSERVATION = {
  host: 'docker2',
  sightings: [],
  drops: [],
  verdicts: [],
  silent: [],
  counters: [],
  blind: [],
};

/**
 * Speaks as `tulle inspector --many` does, and leaves its process id. An answer and its end are one write: who has read the answer
 * may ask again before the end is there, and is then answered by another inspector.
 */
const INSPECTOR = `#!/bin/sh
echo $$ >> "$0.pid"
while read -r line; do
  case $line in
    *look*) printf '%s\\n\\n' '{"report":${JSON.stringify(REPORT)}}'; read -r end ;;
    *) echo '{"ready":true}'; read -r end; printf '%s\\n\\n' '{"observation":${JSON.stringify(OBSERVATION)}}' ;;
  esac
done
`;

interface Host extends CertifiedHost {
  readonly known: KnownPeer;
  readonly program: string;
}

type Network = Awaited<ReturnType<typeof hostAuthority>>;

async function host(
  t: TestContext,
  { certify, root }: Network,
  name: string,
  { inspector = INSPECTOR, peers = () => [] as KnownPeer[] } = {},
): Promise<Host> {
  const certified = await certify();
  const program = join(root, `inspector-${name}`);
  writeFileSync(program, inspector);
  chmodSync(program, 0o755);
  const inspectors = new Inspectors({ program, socketPath: join(root, 'agent.sock') });
  t.after(() => inspectors[Symbol.dispose]());
  const listener = peerListener({
    status: () => statusWith({ host: { id: certified.hostId, name } }),
    peers,
    inspectors,
    credentials: certified.credentials,
  });
  const { credentials } = certified;
  const options = { credentials, listener, isPeer: () => true, clock: systemClock, logger: silentLogger };
  const server = await PeerServer.open([Ip.parse(ADDRESS)], 0, options);
  t.after(() => server[Symbol.asyncDispose]());
  const [{ port } = { port: 0 }] = server.addresses;
  const known = {
    key: name,
    hostId: certified.hostId,
    hostName: name,
    subnet: {},
    publicIp: { ipv4: ADDRESS },
    peerApi: { port },
  };
  return { ...certified, known, program };
}

/** As it is known to a host that does not reach it. */
const unreached = async ({ known }: Host): Promise<KnownPeer> => {
  const [port = 0] = await freePorts(1);
  return { ...known, peerApi: { port } };
};

const inspectorFrom = (caller: CertifiedHost, peer: KnownPeer, ...others: KnownPeer[]) =>
  new RemoteInspector(peer, new Peers([peer, ...others], caller.credentials));

// On a busy machine a connection within one process takes longer than the one to another host may.
before(() => mock.property(PEER_LIMITS, 'connect', 30_000));

test('a host is looked at and watched', async t => {
  const network = await hostAuthority(t);
  const other = await host(t, network, 'docker2');
  const inspector = inspectorFrom(await network.certify(), other.known);
  assert.deepEqual(await inspector.look(deadline('a report')), REPORT);
  assert.equal(inspector.via, undefined);
  await using watching = await inspector.observe(FLOW, deadline('it watches'));
  assert.deepEqual(await within('an observation', watching.finish()), OBSERVATION);
});

test('an inspector that has answered answers the next request; beside one that is at work another one does', async t => {
  const network = await hostAuthority(t);
  const other = await host(t, network, 'docker2');
  const inspector = inspectorFrom(await network.certify(), other.known);
  const started = () => readFileSync(`${other.program}.pid`, 'utf8').trim().split('\n').length;
  for (let time = 0; time < 3; time++) assert.deepEqual(await inspector.look(deadline('a report')), REPORT);
  assert.equal(started(), 1);
  const watching = await inspector.observe(FLOW, deadline('it watches'));
  assert.deepEqual(await inspector.look(deadline('a report')), REPORT);
  assert.equal(started(), 2);
  assert.deepEqual(await within('an observation', watching.finish()), OBSERVATION);
  assert.deepEqual(await inspector.look(deadline('a report')), REPORT);
  assert.equal(started(), 2);
});

test('one that has ended by itself is not asked again', async t => {
  const network = await hostAuthority(t);
  const other = await host(t, network, 'docker2');
  const inspector = inspectorFrom(await network.certify(), other.known);
  assert.deepEqual(await inspector.look(deadline('a report')), REPORT);
  const [pid = ''] = readFileSync(`${other.program}.pid`, 'utf8').trim().split('\n');
  process.kill(Number(pid), 'SIGKILL');
  await eventually('it has ended', async () => !existsSync(`/proc/${pid}`));
  assert.deepEqual(await inspector.look(deadline('a report')), REPORT);
});

test('a host that is not reached is asked through another, and no further', async t => {
  const network = await hostAuthority(t);
  const far = await host(t, network, 'docker2');
  const between = await host(t, network, 'docker3', { peers: () => [far.known] });
  const caller = await network.certify();
  const inspector = inspectorFrom(caller, await unreached(far), between.known);
  assert.deepEqual(await inspector.look(deadline('a report')), REPORT);
  assert.equal(inspector.via, 'docker3');
  await using watching = await inspector.observe(FLOW, deadline('it watches'));
  assert.deepEqual(await within('an observation', watching.finish()), OBSERVATION);

  const lost = await unreached(far);
  const alone = await host(t, network, 'docker4', { peers: () => [lost] });
  const failing = inspectorFrom(caller, lost, alone.known);
  await assert.rejects(failing.look(deadline('a refusal')), {
    code: 'NOT_LISTENING',
    message: /^docker2 at 127\.0\.0\.1 port \d+ refuses connections$/,
  });
});

test('the status says nothing of files and users', async t => {
  const network = await hostAuthority(t);
  const other = await host(t, network, 'docker2');
  const caller = await network.certify();
  using exchange = await Exchange.open({ first: targetOf(other.known) }, 'status', {
    credentials: caller.credentials,
    signal: deadline('a status'),
  });
  const text = await bodyText(await exchange.incoming(), 1 << 20);
  const {
    host: { name },
    store,
    certificates,
    peerApi,
  } = JSON.parse(text) as Status;
  assert.equal(name, 'docker2');
  assert.doesNotMatch(JSON.stringify([store, certificates, peerApi]), /\.pem|username/);
});

test('what is no request of an inspector starts none', async t => {
  const network = await hostAuthority(t);
  const other = await host(t, network, 'docker2');
  const caller = await network.certify();
  for (const [line, message] of [
    ['{"walk":1}', /is not a request to an inspector/],
    ['no JSON', /it is not JSON/],
    [`{"look":"${'x'.repeat(5000)}"}`, /4096/],
  ] as const) {
    using exchange = await Exchange.open({ first: targetOf(other.known) }, 'inspect', {
      credentials: caller.credentials,
      signal: deadline(line),
    });
    exchange.outgoing.write(`${line}\n`);
    exchange.end();
    await assert.rejects(exchange.incoming(), { code: 'REFUSED', message });
  }
  assert.equal(existsSync(`${other.program}.pid`), false);
});

test('one caller does not have all places, and an inspection ends with its caller', async t => {
  const network = await hostAuthority(t);
  const other = await host(t, network, 'docker2');
  const [caller, second] = [await network.certify(), await network.certify()];
  const leave = new AbortController();
  const inspector = inspectorFrom(caller, other.known);
  for (let index = 0; index < 3; index++) await within('it watches', inspector.observe(FLOW, leave.signal));
  await assert.rejects(inspector.look(deadline('a refusal')), { code: 'REFUSED', context: { code: 'BUSY' } });
  assert.deepEqual(await inspectorFrom(second, other.known).look(deadline('a report')), REPORT);

  await using _watching = await inspectorFrom(second, other.known).observe(FLOW, deadline('it watches'));
  leave.abort();
  assert.deepEqual(
    await eventually('there are places again', () =>
      inspector.look(deadline('a report')).catch(() => undefined),
    ),
    REPORT,
  );
});

test('an inspector that fails or never ends is named, and ended', async t => {
  const network = await hostAuthority(t);
  const broken = await host(t, network, 'docker2', {
    inspector: '#!/bin/sh\necho no such thing >&2\nexit 3\n',
  });
  const caller = await network.certify();
  await assert.rejects(inspectorFrom(caller, broken.known).look(deadline('a refusal')), {
    code: 'REFUSED',
    context: { code: 'INSPECTOR_FAILED' },
    message: 'the inspector ended with status 3: no such thing',
  });
  const stuck = await host(t, network, 'docker3', {
    inspector: '#!/bin/sh\necho $$ > "$0.pid"\nexec sleep 1000\n',
  });
  const leave = new AbortController();
  const looking = inspectorFrom(caller, stuck.known).look(leave.signal);
  looking.catch(() => undefined);
  // The file is there before its line is.
  const pid = await eventually(
    'it runs',
    async () => readFileSync(`${stuck.program}.pid`, 'utf8').trim() || undefined,
  );
  leave.abort();
  await eventually('it is ended', async () => !existsSync(`/proc/${pid}`));
});
